// What a user of node-postgres does. Argument: the port. Makes tables of its own, and drops them. Prints a line for each step that went
// well; a step that does not is told, and the next begins on a new connection.

import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import Cursor from "pg-cursor";
import QueryStream from "pg-query-stream";

const config = { host: "127.0.0.1", port: Number(process.argv[2]), database: "postgres", user: "damson", password: "damson" };
const only = process.argv.slice(3);
// Takes an hour, if nobody ends it.
const LONG =
  "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) WHERE x * 7 % 11 = y % 13";

// Nothing here takes long: what hangs must not take the other tests' time.
setTimeout(() => {
  console.error("still running after 600 s");
  process.exit(3);
}, 600_000).unref();

let allWell = true;

async function step(name, run, options = {}) {
  if (only.length > 0 && !only.includes(name)) return;
  const client = new pg.Client({ ...config, ...options });
  // What is lost while nobody waits for an answer.
  client.on("error", (error) => console.error(`${name}: ${error.message}`));
  try {
    await client.connect();
    await run(client);
    console.log(`passed ${name}`);
  } catch (error) {
    allWell = false;
    console.error(`failed ${name}`, error);
  } finally {
    await client.end();
  }
}

async function value(client, text, values) {
  const { rows } = await client.query({ text, values, rowMode: "array" });
  assert.equal(rows.length, 1, text);
  return rows[0][0];
}

async function fails(promise, code, part = "") {
  const error = await promise.then(
    () => assert.fail(`no error, ${code} was expected`),
    (error) => error,
  );
  assert.equal(error.code, code, error.message);
  assert.ok(error.message.includes(part), error.message);
  return error;
}

await step(
  "connect",
  async (client) => {
    const { rows, fields, command, rowCount } = await client.query("SELECT 1::int AS one, 'two' AS two");
    assert.deepEqual(rows, [{ one: 1, two: "two" }]);
    assert.deepEqual(
      fields.map((field) => [field.name, field.dataTypeID]),
      [
        ["one", 23],
        ["two", 25],
      ],
    );
    assert.deepEqual([command, rowCount], ["SELECT", 1]);
    assert.equal(await value(client, "SHOW application_name"), "of a test");
    // In units of the server's choice.
    for (const name of ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]) {
      assert.notEqual(await value(client, `SHOW ${name}`), "0", name);
    }
  },
  {
    application_name: "of a test",
    statement_timeout: 60_000,
    lock_timeout: 5_000,
    idle_in_transaction_session_timeout: 60_000,
  },
);

await step("parameters", async (client) => {
  await client.query("DROP TABLE IF EXISTS node_p");
  await client.query("CREATE TABLE node_p (id int PRIMARY KEY, name text, price numeric(10,2), tags text)");
  for (let id = 1; id <= 20; id++) {
    const insert = "INSERT INTO node_p (id, name, price, tags) VALUES ($1, $2, $3, $4)";
    const { rowCount } = await client.query(insert, [id, `row ${id}`, id / 4, id % 3 ? null : { id }]);
    assert.equal(rowCount, 1);
  }
  // Named: prepared once.
  for (let id = 1; id <= 10; id++) {
    const query = { name: "by id", text: "SELECT name, price FROM node_p WHERE id = $1", values: [id] };
    assert.deepEqual((await client.query(query)).rows, [{ name: `row ${id}`, price: (id / 4).toFixed(2) }]);
  }
  assert.equal(await value(client, "SELECT count(*) FROM node_p WHERE id = ANY ($1)", [[1, 2, 1000]]), "2");
  assert.equal(await value(client, "SELECT count(*) FROM node_p WHERE name = ANY ($1::text[])", [["row 3", "x,\"y\""]]), "1");
  assert.equal(await value(client, "SELECT count(*) FROM node_p WHERE tags IS NULL AND id < $1", ["10"]), "6");
  assert.equal(await value(client, "SELECT tags FROM node_p WHERE id = $1", [3]), '{"id":3}');
  assert.equal(await value(client, "SELECT $1::text || $2", ["a", "b"]), "ab");
  assert.equal(await value(client, "SELECT count(*) FROM node_p WHERE name LIKE $1 AND price BETWEEN $2 AND $3", ["row 1%", 2.5, "4.75"]), "10");
  const page = await client.query("SELECT id FROM node_p ORDER BY id LIMIT $1 OFFSET $2", [2, 5]);
  assert.deepEqual(page.rows, [{ id: 6 }, { id: 7 }]);
  const updated = await client.query("UPDATE node_p SET price = price + $1 WHERE id <= $2 RETURNING id, price", [1, 2]);
  assert.deepEqual(updated.rows.sort((a, b) => a.id - b.id), [
    { id: 1, price: "1.25" },
    { id: 2, price: "1.50" },
  ]);
  assert.equal((await client.query("DELETE FROM node_p WHERE id > $1", [10])).rowCount, 10);
  await client.query("DROP TABLE node_p");
});

await step("types", async (client) => {
  await client.query("DROP TABLE IF EXISTS node_t");
  await client.query(
    "CREATE TABLE node_t (id int PRIMARY KEY, flag boolean, small smallint, big bigint, half real, whole double precision, exact numeric(20,4), " +
      "words text, bytes bytea, day date, moment time, stamp timestamp, instant timestamptz, span interval, key uuid)",
  );
  const instant = new Date("2026-02-28T23:30:00.250Z");
  const bytes = Buffer.from([0, 1, 255, 92, 39]);
  const key = "00112233-4455-6677-8899-aabbccddeeff";
  const values = [7, true, -5, "9223372036854775807", 1.5, -1e-15, "1234567890123456.7891", "ä€😀 'q' \\", bytes, "1969-12-31", "12:34:56.5",
    "2026-02-28 23:59:59.123", instant, "1 mon 2 days 03:04:05", key];
  await client.query("INSERT INTO node_t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)", values);
  await client.query("INSERT INTO node_t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)", [8, ...Array(14).fill(null)]);
  for (const binary of [false, true]) {
    const { rows } = await client.query({ text: "SELECT * FROM node_t WHERE id = $1", values: [7], binary });
    const [row] = rows;
    assert.equal(row.flag, true);
    assert.equal(row.words, "ä€😀 'q' \\");
    if (!binary) {
      // Of these the client has no binary reader, or a wrong one.
      assert.equal(row.small, -5);
      assert.deepEqual(row.bytes, bytes);
      assert.equal(row.half, 1.5);
      assert.equal(row.big, "9223372036854775807");
      assert.equal(row.whole, -1e-15);
      assert.equal(row.exact, "1234567890123456.7891");
      assert.deepEqual(row.instant, instant);
      assert.deepEqual(row.day, new Date(1969, 11, 31));
      assert.equal(row.moment, "12:34:56.5");
      assert.deepEqual(row.stamp, new Date(2026, 1, 28, 23, 59, 59, 123));
      assert.deepEqual({ ...row.span }, { months: 1, days: 2, hours: 3, minutes: 4, seconds: 5 });
      assert.equal(row.key, key);
    }
  }
  const { rows: nulls } = await client.query({ text: "SELECT * FROM node_t WHERE id = 8", rowMode: "array" });
  assert.deepEqual(nulls, [[8, ...Array(14).fill(null)]]);
  for (const [column, value_] of [["flag", true], ["big", "9223372036854775807"], ["exact", "1234567890123456.7891"], ["bytes", bytes],
    ["day", "1969-12-31"], ["instant", instant], ["key", key], ["span", "1 mon 2 days 03:04:05"]]) {
    assert.equal(await value(client, `SELECT count(*) FROM node_t WHERE ${column} = $1`, [value_]), "1", column);
  }
  assert.deepEqual(await value(client, "SELECT ARRAY[1, NULL, 3]::int[]"), [1, null, 3]);
  assert.deepEqual(await value(client, "SELECT ARRAY['a,b', 'c\"d']"), ["a,b", 'c"d']);
  await client.query("DROP TABLE node_t");
});

await step("cursor", async (client) => {
  const cursor = client.query(new Cursor("SELECT x::int AS x FROM generate_series(1, 20000) AS g(x) WHERE x > $1 ORDER BY 1", [10]));
  let seen = 10;
  for (let rows = await cursor.read(3000); rows.length > 0; rows = await cursor.read(3000)) {
    for (const { x } of rows) assert.equal(x, ++seen);
  }
  assert.equal(seen, 20000);
  await cursor.close();
  const early = client.query(new Cursor("SELECT x FROM generate_series(1, 20000) AS g(x)"));
  assert.equal((await early.read(10)).length, 10);
  await early.close();
  let streamed = 0;
  for await (const _ of client.query(new QueryStream("SELECT x FROM generate_series(1, 50000) AS g(x)"))) streamed++;
  assert.equal(streamed, 50000);
});

await step("transactions", async (client) => {
  await client.query("DROP TABLE IF EXISTS node_x");
  await client.query("CREATE TABLE node_x (k int PRIMARY KEY)");
  await client.query("BEGIN");
  await client.query("INSERT INTO node_x VALUES ($1)", [1]);
  await client.query("SAVEPOINT s");
  await fails(client.query("INSERT INTO node_x VALUES ($1)", [1]), "23505");
  await fails(client.query("SELECT 1"), "25P02");
  await client.query("ROLLBACK TO SAVEPOINT s");
  await client.query("INSERT INTO node_x VALUES ($1)", [2]);
  await client.query("COMMIT");
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  await client.query("DELETE FROM node_x");
  await client.query("ROLLBACK");
  assert.equal(await value(client, "SELECT count(*) FROM node_x"), "2");
  // Several in one text are one transaction, and give a result each.
  const results = await client.query("INSERT INTO node_x VALUES (3); SELECT count(*)::int AS n FROM node_x");
  assert.deepEqual([results[0].rowCount, results[1].rows], [1, [{ n: 3 }]]);
  await fails(client.query("INSERT INTO node_x VALUES (4); SELECT 1 / 0"), "22012");
  assert.equal(await value(client, "SELECT count(*) FROM node_x"), "3");
  await client.query("DROP TABLE node_x");
});

await step("errors", async (client) => {
  await client.query("DROP TABLE IF EXISTS node_e");
  await client.query("CREATE TABLE node_e (k int PRIMARY KEY, n int NOT NULL)");
  const error = await fails(client.query("SELECT nothing FROM node_e"), "42703", "nothing");
  assert.equal(error.position, "8");
  assert.equal(error.severity, "ERROR");
  await fails(client.query("SELECT * FROM node_nothing"), "42P01");
  await fails(client.query("SELEC 1"), "42601");
  await fails(client.query("SELECT $1::int", ["x"]), "22P02");
  await fails(client.query("INSERT INTO node_e VALUES ($1, $2)", [1, null]), "23502");
  await fails(client.query("SELECT * FROM node_e WHERE k = $1", ["99999999999"]), "22003");
  await fails(client.query("SELECT $1::int + $2::int", [1]), "08P01");
  assert.equal(await value(client, "SELECT 1::int"), 1);
  const notices = [];
  client.on("notice", (notice) => notices.push(notice.message));
  await client.query("DROP TABLE IF EXISTS node_nothing");
  assert.ok(notices[0].includes("node_nothing"), notices);
  await client.query("DROP TABLE node_e");
  const other = new pg.Client({ ...config, database: "nothing" });
  await fails(other.connect(), "3D000", "nothing");
});

await step("cancel", async (client) => {
  const query = new pg.Query(LONG);
  const ended = new Promise((resolve, reject) => {
    query.on("error", reject);
    query.on("end", resolve);
  });
  client.query(query);
  await sleep(500);
  new pg.Client(config).cancel(client, query);
  await fails(ended, "57014");
  assert.equal(await value(client, "SELECT 1::int"), 1);
});

await step("timeout", async (client) => {
  await client.query("SET statement_timeout = 500");
  await fails(client.query(LONG), "57014");
  await client.query("RESET statement_timeout");
  assert.equal(await value(client, "SELECT 1::int"), 1);
});

await step("copy", async (client) => {
  await client.query("DROP TABLE IF EXISTS node_c");
  await client.query("CREATE TABLE node_c (k int, w text)");
  const lines = Array.from({ length: 5000 }, (_, k) => `${k}\tw${k}\n`);
  await pipeline(Readable.from(lines), client.query(copyFrom("COPY node_c FROM STDIN")));
  let text = "";
  const sink = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  await pipeline(client.query(copyTo("COPY (SELECT * FROM node_c ORDER BY k) TO STDOUT")), sink);
  assert.equal(text, lines.join(""));
  await fails(pipeline(Readable.from(["x\ty\n"]), client.query(copyFrom("COPY node_c FROM STDIN"))), "22P02");
  assert.equal(await value(client, "SELECT count(*)::int FROM node_c"), 5000);
  await client.query("DROP TABLE node_c");
});

await step("pool", async () => {
  const pool = new pg.Pool({ ...config, max: 5 });
  const sums = await Promise.all(Array.from({ length: 40 }, (_, n) => pool.query("SELECT $1::int + 1 AS sum", [n])));
  assert.deepEqual(sums.map(({ rows }) => rows[0].sum), Array.from({ length: 40 }, (_, n) => n + 1));
  await pool.end();
});

process.exit(allWell ? 0 : 1);
