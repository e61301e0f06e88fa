// Drives the agent at DEBROS_COMPAT_HOST:DEBROS_COMPAT_PORT with the unmodified npm package consul.
// Run by ../npm_test.go, which starts the agent.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { test } = require("node:test");
const Consul = require("consul");

const host = process.env.DEBROS_COMPAT_HOST;
const port = Number(process.env.DEBROS_COMPAT_PORT);
const node = process.env.DEBROS_COMPAT_NODE;
const consul = new Consul({ host, port });

const prefix = "npm/";
const unknown = "11111111-2222-3333-4444-555555555555";

// no is what set and del give when the condition did not hold: the package makes undefined of the
// JSON false, whatever server sent it.
const no = undefined;

// refused asks for an error reply of this status.
async function refused(promise, status) {
  await assert.rejects(promise, (err) => {
    assert.equal(err.statusCode, status, err.message);
    return true;
  });
}

test("kv: set, get and del", async () => {
  const key = prefix + "a key/ünï?&#%+";
  assert.equal(await consul.kv.get(key), undefined);
  assert.equal(await consul.kv.set(key, "hello"), true);
  const pair = await consul.kv.get(key);
  assert.equal(pair.Key, key);
  assert.equal(pair.Value, "hello");
  assert.equal(pair.Flags, 0);
  assert.equal(pair.LockIndex, 0);
  assert.equal(pair.Session, undefined);
  assert.ok(pair.CreateIndex > 0 && pair.CreateIndex === pair.ModifyIndex);

  const bytes = Buffer.from([0, 1, 254, 255]);
  assert.equal(await consul.kv.set({ key, value: bytes, flags: 42 }), true);
  const back = await consul.kv.get({ key, buffer: true });
  assert.deepEqual(back.Value, bytes);
  assert.equal(back.Flags, 42);
  assert.deepEqual(await consul.kv.get({ key, raw: true }), bytes);

  await consul.kv.del(key);
  assert.equal(await consul.kv.get(key), undefined);
});

test("kv: an empty value", async () => {
  assert.equal(await consul.kv.set(prefix + "empty", ""), true);
  assert.equal((await consul.kv.get(prefix + "empty")).Value, null);
});

test("kv: check and set", async () => {
  const key = prefix + "cas";
  assert.equal(await consul.kv.set({ key, value: "1", cas: "0" }), true);
  assert.equal(await consul.kv.set({ key, value: "2", cas: "0" }), no);
  const { ModifyIndex } = await consul.kv.get(key);
  assert.equal(await consul.kv.set({ key, value: "2", cas: String(ModifyIndex + 1) }), no);
  assert.equal(await consul.kv.set({ key, value: "2", cas: String(ModifyIndex) }), true);
  assert.equal(await consul.kv.del({ key, cas: String(ModifyIndex) }), no);
  assert.equal((await consul.kv.get(key)).Value, "2");
});

test("kv: keys, recurse and delete of a tree", async () => {
  for (const k of ["t/1", "t/2", "t/x/3"]) {
    await consul.kv.set(prefix + k, k);
  }
  assert.deepEqual(await consul.kv.keys(prefix + "t/"), [prefix + "t/1", prefix + "t/2", prefix + "t/x/3"]);
  assert.deepEqual(await consul.kv.keys({ key: prefix + "t/", separator: "/" }), [prefix + "t/1", prefix + "t/2", prefix + "t/x/"]);
  const pairs = await consul.kv.get({ key: prefix + "t/", recurse: true });
  assert.deepEqual(pairs.map((p) => p.Value), ["t/1", "t/2", "t/x/3"]);
  await consul.kv.del({ key: prefix + "t/", recurse: true });
  assert.equal(await consul.kv.get({ key: prefix + "t/", recurse: true }), undefined);
});

test("kv: errors are text with a status", async () => {
  await refused(consul.kv.set({ key: prefix + "big", value: Buffer.alloc(512 * 1024 + 1) }), 413);
  await refused(consul.kv.set({ key: prefix + "a", value: "", acquire: unknown }), 500);
});

test("session: create, get, list, node, renew, destroy", async () => {
  const { ID } = await consul.session.create({ name: "npm", ttl: "15s", lockdelay: "5s", behavior: "delete" });
  const session = await consul.session.get(ID);
  assert.equal(session.ID, ID);
  assert.equal(session.Name, "npm");
  assert.equal(session.Node, node);
  assert.equal(session.TTL, "15s");
  assert.equal(session.LockDelay, 5e9);
  assert.equal(session.Behavior, "delete");
  assert.ok((await consul.session.list()).some((s) => s.ID === ID));
  assert.ok((await consul.session.node(node)).some((s) => s.ID === ID));
  assert.equal((await consul.session.renew(ID))[0].ID, ID);
  await consul.session.destroy(ID);
  assert.equal(await consul.session.get(ID), undefined);
  await refused(consul.session.renew(unknown), 404);
  await refused(consul.session.create({ ttl: "5s" }), 400);
});

test("session: locks", async () => {
  const key = prefix + "lock";
  const { ID: mine } = await consul.session.create({ lockdelay: "1ms" });
  const { ID: theirs } = await consul.session.create({ lockdelay: "1ms" });
  assert.equal(await consul.kv.set({ key, value: "1", acquire: mine }), true);
  assert.equal(await consul.kv.set({ key, value: "2", acquire: theirs }), no);
  assert.equal((await consul.kv.get(key)).Session, mine);
  assert.equal(await consul.kv.set({ key, value: "3", release: theirs }), no);
  assert.equal(await consul.kv.set({ key, value: "3", release: mine }), true);
  assert.equal(await consul.kv.set({ key, value: "4", acquire: theirs }), true);
  await consul.session.destroy(theirs);
  assert.equal((await consul.kv.get(key)).Session, undefined);
  await consul.session.destroy(mine);
});

test("watch: tells of every change, and of nothing else", { timeout: 30000 }, async () => {
  const key = prefix + "watched";
  await consul.kv.set(key, "1");
  const watch = consul.watch({ method: consul.kv.get, options: { key, wait: "10s" } });
  const seen = [];
  watch.on("change", (pair) => seen.push(pair.Value));
  watch.on("error", (err) => assert.fail(err));
  await once(watch, "change");
  for (const value of ["2", "3"]) {
    await consul.kv.set(prefix + "other", value);
    const changed = once(watch, "change");
    await consul.kv.set(key, value);
    await changed;
  }
  watch.end();
  assert.deepEqual(seen, ["1", "2", "3"]);
});

test("watch: a key that comes", { timeout: 30000 }, async () => {
  const key = prefix + "comes";
  const watch = consul.watch({ method: consul.kv.get, options: { key, wait: "10s" } });
  watch.on("error", (err) => assert.fail(err));
  const [missing] = await once(watch, "change");
  assert.equal(missing, undefined);
  const changed = once(watch, "change");
  await consul.kv.set(key, "here");
  assert.equal((await changed)[0].Value, "here");
  watch.end();
});

test("transaction", async () => {
  const rep = await consul.transaction.create([
    { KV: { Verb: "set", Key: prefix + "txn", Value: Buffer.from("v").toString("base64") } },
    { KV: { Verb: "get", Key: prefix + "txn" } },
  ]);
  assert.equal(rep.Results.length, 2);
  assert.equal(Buffer.from(rep.Results[1].KV.Value, "base64").toString(), "v");
  await refused(consul.transaction.create([{ KV: { Verb: "get", Key: prefix + "missing" } }]), 409);
});

test("status, members and nodes", async () => {
  assert.match(await consul.status.leader(), /^127\.0\.0\.1:\d+$/);
  assert.equal((await consul.status.peers()).length, 1);
  assert.equal((await consul.agent.self()).Config.NodeName, node);
  assert.equal((await consul.agent.members())[0].Name, node);
  assert.deepEqual(await consul.catalog.datacenters(), ["dc1"]);
  assert.equal((await consul.catalog.node.list())[0].Node, node);
});
