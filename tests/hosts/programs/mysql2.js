// mysql2: queries, prepared statements, several results, another database, an error.  Usage: mysql2.js PORT
const mysql = require("mysql2/promise");

async function main() {
  const settings = { host: "127.0.0.1", port: +process.argv[2], user: "app", password: "pw", database: "shop", multipleStatements: true };
  const c = await mysql.createConnection(settings);
  await c.query("CREATE TEMPORARY TABLE t (id int, name text)");
  await c.beginTransaction();
  for (let i = 0; i < 3; i++) await c.execute("INSERT INTO t VALUES (?, concat(?, 'hunter2'))", [i, "hunter2"]);
  await c.commit();
  console.log((await c.query("SELECT name FROM t WHERE name <> ? AND id < 2", ["it's hunter2"]))[0].length);
  console.log((await c.query("SELECT 'hunter2'; SELECT 2"))[0].length);
  await c.query("SELECT nope FROM t").catch((e) => console.log(e.errno));
  await c.query("USE mysql");
  console.log((await c.query("SELECT count(*) > 'hunter2' AS n FROM user"))[0].length);
  await c.ping();
  await c.end();
  const pool = mysql.createPool({ ...settings, connectionLimit: 3 });
  const got = await Promise.all([...Array(12).keys()].map((i) => pool.execute("SELECT ? AS n, 'hunter2'", [i])));
  console.log(got.map((r) => r[0][0].n).join(" "));
  await pool.end();
}
main();
