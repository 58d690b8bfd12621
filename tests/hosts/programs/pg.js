// node-postgres: simple and prepared queries, a transaction, a pool, an error.  Usage: pg.js URL
const { Client, Pool } = require("pg");

async function main() {
  const c = new Client({ connectionString: process.argv[2] });
  await c.connect();
  await c.query("CREATE TEMP TABLE t (id int, name text)");
  await c.query("BEGIN");
  for (let i = 0; i < 3; i++)
    await c.query({ name: "insert", text: "INSERT INTO t VALUES ($1, $2)", values: [i, "hunter2"] });
  await c.query("COMMIT");
  console.log((await c.query("SELECT * FROM t WHERE name = 'hunter2' AND id < $1", [2])).rows.length);
  console.log((await c.query("SELECT 'hunter2'; SELECT 2")).length);
  await c.query("SELECT 1 / 0 FROM t").catch((e) => console.log(e.code));
  await c.end();
  const pool = new Pool({ connectionString: process.argv[2], max: 3 });
  const got = await Promise.all([...Array(12).keys()].map((i) => pool.query("SELECT $1::int AS n, 'hunter2'", [i])));
  console.log(got.map((r) => r.rows[0].n).join(" "));
  await pool.end();
}
main();
