// client.js PORT COUNT: so many requests through one keep-alive agent, eight at a time; then a POST, a failing one.
'use strict';
const http = require('http');

const port = Number(process.argv[2]);
const count = Number(process.argv[3]);
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

function ask(path, options = {}, body = null) {
  return new Promise((resolve) => {
    const request = http.request({ host: '127.0.0.1', port, path, agent, ...options }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve(`${response.statusCode} ${Buffer.concat(parts).length}`));
    });
    request.on('error', (error) => resolve(error.code));
    request.end(body);
  });
}

async function main() {
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => ask(`/n/${i}`)));
  const kinds = {};
  for (const answer of answers) kinds[answer.split(' ')[0]] = (kinds[answer.split(' ')[0]] || 0) + 1;
  console.log(JSON.stringify(kinds));
  console.log(await ask('/post', { method: 'POST' }, 'x'.repeat(100000)));
  console.log(await ask('/head', { method: 'HEAD' }));
  console.log(await ask('/refused', { port: 1, agent: false }));
  agent.destroy();
}
main();
