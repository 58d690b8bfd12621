// node's own http module: prints its port, answers until it is killed.
'use strict';

const body = 'x'.repeat(700);

const server = require('http').createServer((request, response) => {
	response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
	response.end(body);
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
