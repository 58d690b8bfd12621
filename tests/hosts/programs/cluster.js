// cluster.js PORT WORKERS: node's cluster, whose primary hands connections to its workers.
'use strict';
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
  for (let i = 0; i < Number(process.argv[3]); i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const id in cluster.workers) cluster.workers[id].kill();
    process.exit(0);
  });
} else {
  http.createServer((request, response) => response.end('ok')).listen(Number(process.argv[2]), '127.0.0.1', 512);
}
