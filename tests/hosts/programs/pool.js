// A pool of pg or mysql2 that does what it is told, a word a line, and then says `used idle`.  Usage: pool.js pg|mysql2 URL
//
// take give: a connection out of the pool, and asked something in a transaction; back into it
const [library, url] = process.argv.slice(2);
const taken = [];
let take, give, count;

if (library === "pg") {
  const pool = new (require("pg").Pool)({ connectionString: url, max: 10 });
  take = async () => {
    const c = await pool.connect();
    await c.query("BEGIN");
    return c;
  };
  give = async (c) => {
    await c.query("COMMIT");
    c.release();
  };
  count = () => [pool.totalCount - pool.idleCount, pool.idleCount];
} else {
  const pool = require("mysql2/promise").createPool({ uri: url, connectionLimit: 10 });
  take = async () => {
    const c = await pool.getConnection();
    await c.query("START TRANSACTION WITH CONSISTENT SNAPSHOT");
    return c;
  };
  give = async (c) => {
    await c.query("COMMIT");
    c.release();
  };
  count = () => [pool.pool._allConnections.length - pool.pool._freeConnections.length, pool.pool._freeConnections.length];
}

async function main() {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    if (line === "take") taken.push(await take());
    else if (line === "give") await give(taken.shift());
    console.log(count().join(" "));
  }
  process.exit(0);
}
main();
