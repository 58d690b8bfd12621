// http2.js serve PORT | call PORT COUNT: Node's own HTTP/2 in clear text; COUNT requests on one session, all at once
const http2 = require('http2');
const [what, port, count] = process.argv.slice(2);

if (what === 'serve') {
  const server = http2.createServer();
  server.on('stream', (stream, headers) => {
    let size = 0;
    stream.on('data', (chunk) => { size += chunk.length; });
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'text/plain' });
      stream.end(`${headers[':path']} ${size}\n`);
    });
  });
  server.listen(Number(port), '127.0.0.1');
} else {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const answers = [];
  for (let i = 0; i < Number(count); i++) {
    const request = session.request({ ':path': `/n/${i}`, ':method': i % 2 ? 'POST' : 'GET' });
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk) => { text += chunk; });
    request.on('end', () => {
      answers.push(text);
      if (answers.length === Number(count)) {
        session.close();
        process.stdout.write(answers.sort().join(''));
      }
    });
    if (i % 2) request.write('b'.repeat(i));
    request.end();
  }
}
