// Drives the agent at DEBROS_COMPAT_HOST:DEBROS_COMPAT_PORT with the unmodified npm package rqlite-js.
// Run by ../npm_test.go, which starts the agent.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { DataApiClient, StatusApiClient } = require("rqlite-js");

const url = `http://${process.env.DEBROS_COMPAT_HOST}:${process.env.DEBROS_COMPAT_PORT}`;
const data = new DataApiClient(url);

// ok fails with the error that a result carries.
function ok(results) {
  assert.equal(results.hasError(), false, String(results.getFirstError()));
  return results;
}

test("create, insert, select, update and delete", async () => {
  ok(await data.execute("CREATE TABLE foo (id integer not null primary key, name text, at datetime, fine boolean)"));
  const inserted = ok(await data.execute("INSERT INTO foo (name, at, fine) VALUES ('fiona', '2024-02-29 12:00:00', 1)")).get(0);
  assert.equal(inserted.getLastInsertId(), 1);
  assert.equal(inserted.getRowsAffected(), 1);
  for (const level of ["none", "weak", "linearizable", "strong"]) {
    const row = ok(await data.query("SELECT * FROM foo WHERE id = 1", { level })).get(0);
    assert.deepEqual(row.toObject(), { id: 1, name: "fiona", at: "2024-02-29T12:00:00Z", fine: true });
  }
  assert.equal(ok(await data.execute("UPDATE foo SET name = 'justin'")).get(0).getRowsAffected(), 1);
  assert.equal(ok(await data.query("SELECT name FROM foo")).get(0).get("name"), "justin");
  assert.equal(ok(await data.execute("DELETE FROM foo")).get(0).getRowsAffected(), 1);
  assert.deepEqual(ok(await data.query("SELECT name FROM foo")).get(0)?.toObject() ?? {}, {});
});

test("parameters", async () => {
  ok(await data.execute("CREATE TABLE bar (id integer primary key, name text, n)"));
  ok(await data.execute([["INSERT INTO bar (name, n) VALUES (?, ?)", "it's", 2.5], ["INSERT INTO bar (name, n) VALUES (:name, :n)", { name: "ü", n: null }]]));
  const rows = ok(await data.query([["SELECT name, n FROM bar WHERE id <= ? ORDER BY id", 2]])).toArray();
  assert.deepEqual(rows, [{ name: "it's", n: 2.5 }, { name: "ü", n: null }]);
});

test("transactions", async () => {
  ok(await data.execute("CREATE TABLE baz (id integer primary key)"));
  const failed = await data.execute(["INSERT INTO baz VALUES (1)", "INSERT INTO baz VALUES (1)"], { transaction: true });
  assert.equal(failed.hasError(), true);
  assert.match(String(failed.getFirstError()), /UNIQUE constraint failed: baz.id/);
  assert.equal(ok(await data.query("SELECT count(*) AS n FROM baz")).get(0).get("n"), 0);
  ok(await data.execute(["INSERT INTO baz VALUES (1)", "INSERT INTO baz VALUES (2)"], { transaction: true }));
  assert.equal(ok(await data.query("SELECT count(*) AS n FROM baz")).get(0).get("n"), 2);
});

test("an SQL error is a result", async () => {
  const results = await data.query("SELECT * FROM missing");
  assert.equal(results.hasError(), true);
  assert.match(String(results.getFirstError()), /no such table: missing/);
});

test("status", async () => {
  const { body } = await new StatusApiClient(url).status();
  assert.ok(body.store.leader.node_id);
});
