// node_server.js PORT LEAF [twice]: node's own http on both sides, with its agent. twice: each request makes a second call at
// the same time, from a queue.
'use strict';
const http = require('http');

const port = Number(process.argv[2]);
const leaf = Number(process.argv[3]);
const twice = process.argv[4] === 'twice';
const agent = new http.Agent({ keepAlive: true });

http.createServer((request, response) => {
  const path = '/leaf/' + request.url.split('/').pop();
  const headers = { 'X-Truth': request.headers['x-truth'] || '' };
  let left = twice ? 2 : 1;
  const call = () => http.get({ host: '127.0.0.1', port: leaf, path, headers, agent }, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => { if (--left === 0) response.end(Buffer.concat(parts)); });
  }).on('error', () => { response.statusCode = 502; response.end(); });
  if (twice) setImmediate(call);
  call();
}).listen(port, '127.0.0.1', 512);

process.on('SIGTERM', () => process.exit(0));
