// redis: commands one by one and many in a turn, transactions, a pool, errors, what is subscribed to.  Usage: ask.js PORT RESP
const { createClient, createClientPool } = require("redis");

async function main() {
  const settings = { url: `redis://127.0.0.1:${process.argv[2]}/2`, RESP: +process.argv[3] };
  const c = await createClient(settings).connect();
  console.log(await c.set("hunter2", "hunter2"), await c.get("hunter2"), await c.get("nothing"));
  console.log((await Promise.all([...Array(1000).keys()].map((i) => c.set(`k${i}`, "v".repeat(100))))).length);
  console.log(await c.multi().set("a", "1").incr("a").hSet("h", { f: "hunter2", g: "2" }).exec(), await c.hGetAll("h"));
  console.log((await c.multi().incr("a").incr("a").execAsPipeline()).join(" "));
  await c.lPush("a", "1").catch((e) => console.log(e.message));
  console.log(await c.set("big", "b".repeat(3000000)), (await c.get("big")).length, await c.mGet(["a", "none"]));
  console.log(await c.eval("return KEYS[1]", { keys: ["hunter2"] }), await c.blPop("empty", 0.2));
  let found = 0;
  for await (const keys of c.scanIterator({ COUNT: 500 })) found += keys.length;
  console.log(found);
  const pool = await createClientPool(settings, { minimum: 4, maximum: 4 }).connect();
  console.log((await Promise.all([...Array(200).keys()].map(() => pool.incr("n")))).length, await pool.get("n"));
  await pool.close();
  const sub = await createClient(settings).connect();
  const told = new Promise((done) => sub.subscribe("news", done).then(() => c.publish("news", "hunter2")));
  console.log(await told);
  sub.destroy();
  await c.close();
}
main();
