// node_server.js PORT LEAF: node's own http on both sides, with its agent.
'use strict';
const http = require('http');

const port = Number(process.argv[2]);
const leaf = Number(process.argv[3]);
const agent = new http.Agent({ keepAlive: true });

http.createServer((request, response) => {
  const path = '/leaf/' + request.url.split('/').pop();
  const headers = { 'X-Truth': request.headers['x-truth'] || '' };
  http.get({ host: '127.0.0.1', port: leaf, path, headers, agent }, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => response.end(Buffer.concat(parts)));
  }).on('error', () => { response.statusCode = 502; response.end(); });
}).listen(port, '127.0.0.1', 512);

process.on('SIGTERM', () => process.exit(0));
