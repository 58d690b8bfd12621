// gRPC by @grpc/grpc-js, without generated code.  grpc.js serve PORT | call PORT COUNT
"use strict";
const grpc = require("@grpc/grpc-js");

// message Text { string text = 1; } of greeter.proto, by hand, for up to 16383 bytes.
function put(text) {
	const body = Buffer.from(text);
	const size = body.length < 128 ? [body.length] : [body.length & 127 | 128, body.length >> 7];

	return Buffer.concat([Buffer.from([10, ...size]), body]);
}

// An object: an empty string would be no message for grpc-js.
function take(message) {
	return Object(message.length ? message.subarray(message[1] & 128 ? 3 : 2).toString() : "");
}

function method(name, requestStream, responseStream) {
	return { path: `/demo.Greeter/${name}`, requestStream, responseStream, requestSerialize: put, requestDeserialize: take,
		responseSerialize: put, responseDeserialize: take };
}

const greeter = { Hello: method("Hello", false, false), Many: method("Many", false, true), Collect: method("Collect", true, false),
	Chat: method("Chat", true, true), Fail: method("Fail", false, false), Slow: method("Slow", false, false) };

function serve(port) {
	const server = new grpc.Server();

	server.addService(greeter, {
		Hello: (call, done) => done(null, "hello " + call.request),
		Many(call) {
			for (let i = 0; i < 5; i++)
				call.write(call.request);
			call.end();
		},
		Collect(call, done) {
			let count = 0;

			call.on("data", () => count++).on("end", () => done(null, String(count)));
		},
		Chat: (call) => call.on("data", (text) => call.write(text)).on("end", () => call.end()),
		Fail: (call, done) => done({ code: grpc.status.NOT_FOUND, details: "no such thing" }),
		Slow: (call, done) => call.on("cancelled", () => done(null, "")),
	});
	server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), () => 0);
}

// Plays one call to its end. returns (status, answers)
function play(client, name, texts, options = {}) {
	const { path, requestStream, responseStream } = greeter[name];

	return new Promise((resolve) => {
		const answers = [];
		const ended = (error, text) => resolve([error ? error.code : 0, text === undefined ? answers : [...answers, text]]);
		const kind = `make${requestStream ? responseStream ? "Bidi" : "Client" : responseStream ? "Server" : "Unary"}` +
			`${requestStream || responseStream ? "Stream" : ""}Request`;
		const words = [path, put, take, ...(requestStream ? [] : [texts[0]]), new grpc.Metadata(), options];
		const call = client[kind](...words, ...(responseStream ? [] : [ended]));

		if (responseStream)
			call.on("data", (text) => answers.push(text)).on("error", () => 0).on("status", (s) => ended(s.code ? s : null));
		if (requestStream) {
			texts.forEach((text) => call.write(text));
			call.end();
		}
	});
}

async function call(port, count) {
	const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
	const text = "x".repeat(300), seen = {};

	async function round() {
		const found = await Promise.all([play(client, "Hello", [text]), play(client, "Many", [text]),
			play(client, "Collect", [text, text, text]), play(client, "Chat", [text, text]), play(client, "Fail", [text])]);

		found.forEach(([status, answers]) => {
			const key = `${status} ${answers.length} ${answers.join("").length}`;

			seen[key] = (seen[key] || 0) + 1;
		});
	}
	for (let i = 0; i < count; i += 4)
		await Promise.all([round(), round(), round(), round()]);
	const [status] = await play(client, "Slow", [""], { deadline: Date.now() + 200 });
	console.log(JSON.stringify(seen), status);
	client.close();
}

const [what, port, count] = process.argv.slice(2);

if (what === "serve")
	serve(port);
else
	call(port, +count);
