// Registration, versions and history: engine checklist A.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server } from './lib.mjs';

let s;
before(async () => { s = await Server.start(); });
after(() => s.stop());

const base = (id, extra = {}) => ({
  id, name: 'A function', triggers: [{ event: `${id}.go` }], preferredMode: 'EXECUTION_MODE_PULL',
  retry: { maxAttempts: 4, initialDelayMs: 500 }, metadata: { team: 'east', __ironflow_code_hash: '5c0f9a12b7d3e644' },
  ...extra,
});
const register = (body) => s.rpc('RegisterFunction', body);

test('A1 A2 a new function is created at version 1 and stays there when registered again', async () => {
  const first = await register(base('a1'));
  assert.equal(first.status, 200, first.text);
  assert.equal(first.body.created, true);
  assert.equal(first.body.function.version, 1);
  const again = await register(base('a1'));
  assert.ok(!again.body.created);
  assert.equal(again.body.function.version, 1);
});

test('A3 A4 code hash, trigger, retry and description each raise the version by one', async () => {
  await register(base('a3'));
  const versions = [];
  for (const extra of [
    { metadata: { team: 'east', __ironflow_code_hash: '0000000000000000' } },
    { triggers: [{ event: 'a3.other' }] },
    { retry: { maxAttempts: 5 } },
    { description: 'told' },
  ]) versions.push((await register(base('a3', extra))).body.function.version);
  assert.deepEqual(versions, [2, 3, 4, 5]);
});

test('A5 to A8 history holds what was before each change', async () => {
  await register(base('a5', { description: 'one' }));
  let history = await s.rpc('ListFunctionHistory', { function_id: 'a5' });
  assert.deepEqual(history.body.entries ?? [], []);
  await register(base('a5', { description: 'two', change_reason: 'deploy two' }));
  await register(base('a5', { description: 'three' }));
  history = await s.rpc('ListFunctionHistory', { function_id: 'a5', limit: 1 });
  assert.equal(history.body.entries.length, 1);
  assert.equal(history.body.has_more, true);
  const entry = history.body.entries[0];
  assert.equal(entry.change_type, 'update');
  assert.equal(entry.change_reason, 'deploy two');
  assert.equal(entry.entity_version, 1);
  assert.equal(entry.entityVersion, '1');
  assert.match(entry.event_id, /^evt_/);
  assert.equal(entry.function_snapshot.description, 'one');
  const next = await s.rpc('ListFunctionHistory', { function_id: 'a5', from_version: 1 });
  assert.deepEqual(next.body.entries.map((e) => e.entity_version), [2]);
  assert.ok(!next.body.has_more);
  const at1 = await s.rpc('GetFunctionAtVersion', { function_id: 'a5', version: 1 });
  assert.equal(at1.body.entry.function_snapshot.description, 'one');
  const at3 = await s.rpc('GetFunctionAtVersion', { function_id: 'a5', version: 3 });
  const live = at3.body.entry.function_snapshot ?? at3.body.entry.functionSnapshot;
  assert.equal(live.description, 'three');
  const strict = await s.rpc('GetFunctionAtVersion', { function_id: 'a5', version: 1 },
    { 'connect-protocol-version': '1' });
  assert.equal(strict.body.entry.function_snapshot, undefined);
  assert.equal(strict.body.entry.functionSnapshot.description, 'one');
  assert.equal((await s.rpc('GetFunctionAtVersion', { function_id: 'a5', version: 9 })).status, 404);
});

test('A9 A10 A11 rollback, status change and delete are recorded', async () => {
  await register(base('a9', { description: 'old' }));
  await register(base('a9', { description: 'new' }));
  const rolled = await s.rpc('RollbackFunction', { function_id: 'a9', version: 1, change_reason: 'bad' });
  assert.equal(rolled.status, 200, rolled.text);
  assert.equal(rolled.body.function.description, 'old');
  assert.equal((await s.rpc('UpdateFunctionStatus', { id: 'a9', status: 'FUNCTION_STATUS_ARCHIVED' })).status, 200);
  assert.equal((await s.rpc('UpdateFunctionStatus', { id: 'a9', status: 'active' })).status, 200);
  const history = await s.rpc('ListFunctionHistory', { function_id: 'a9' });
  assert.deepEqual(history.body.entries.map((e) => e.change_type),
    ['update', 'rollback', 'status_change', 'status_change']);
  assert.deepEqual(history.body.entries.map((e) => e.entity_version), [1, 2, 3, 4]);
  const archived = await s.rpc('RollbackFunction', { function_id: 'a9', version: 4 });
  assert.equal(archived.status, 400, archived.text);
  assert.equal(archived.body.code, 'invalid_argument');
  assert.equal((await s.rpc('DeleteFunction', { id: 'a9' })).status, 200);
  assert.equal((await s.rpc('GetFunction', { id: 'a9' })).status, 404);
  const after = await s.rpc('ListFunctionHistory', { function_id: 'a9', from_version: 4 });
  assert.deepEqual(after.body.entries.map((e) => e.change_type), ['delete']);
  const again = await register(base('a9'));
  assert.equal(again.body.created, true);
  assert.ok(again.body.function.version > 5);
});

test('A12 bad ids are refused with the reason', async () => {
  for (const id of ['', 'a*b', 'x.>', 'a..b', 'with space', 'tab\tid', '.a', 'a.']) {
    const answer = await register(base(id, { triggers: [] }));
    assert.equal(answer.status, 400, `${JSON.stringify(id)}: ${answer.text}`);
    assert.equal(answer.body.code, 'invalid_argument');
    assert.match(answer.body.message, /id/);
  }
});

test('A13 a function without triggers registers and can be invoked', async () => {
  await register(base('a13', { triggers: [] }));
  const invoked = await s.rest('POST', '/functions/a13/invoke', { data: {} });
  assert.equal(invoked.status, 200, invoked.text);
});

test('A14 A15 bad debounce and duplicate cancelOn are refused by name', async () => {
  const bad = [
    [{ debounce: { period_ms: 10 } }, /period_ms/],
    [{ cancelOn: [{ event: 'x', match: 'a' }, { event: 'x', match: 'a' }] }, /cancel/i],
    [{ cancelOn: [{ event: '', match: 'a' }] }, /cancel/i],
    [{ retry: { maxAttempts: -1 } }, /max_?attempts/i],
    [{ retry: { backoffFactor: 0.5 } }, /backoff_?factor/i],
    [{ concurrency: { limit: -1 } }, /limit/],
    [{ triggers: [{}] }, /trigger/],
    [{ triggers: [{ cron: 'not a cron' }] }, /cron/],
    [{ triggers: [{ cron: '0 0 31 2 *' }] }, /cron/],
    [{ preferredMode: 'push', endpointUrl: 'ftp://x' }, /endpoint/i],
  ];
  for (const [extra, reason] of bad) {
    const answer = await register(base('a14', extra));
    assert.equal(answer.status, 400, `${JSON.stringify(extra)}: ${answer.text}`);
    assert.match(answer.body.message, reason);
  }
});

test('A16 A17 both spellings are the same configuration, unknown fields are ignored', async () => {
  await register({ id: 'a16', preferredMode: 'EXECUTION_MODE_PULL', retry: { maxAttempts: 4 }, triggers: [{ event: 'a16.go' }] });
  const snake = await register({ id: 'a16', preferred_mode: 2, retry: { max_attempts: 4 }, triggers: [{ event: 'a16.go' }], mode: 'push', nothing: { at: 'all' } });
  assert.equal(snake.status, 200, snake.text);
  assert.equal(snake.body.function.version, 1);
});

test('A19 lists filter by mode and name; without a limit all are returned', async () => {
  for (let i = 0; i < 120; i++) await register(base(`many-${i}`, { triggers: [] }));
  const all = await s.rest('GET', '/functions?name=many-');
  assert.equal(all.status, 200);
  assert.equal(all.body.functions.length, 120);
  assert.equal((await s.rest('GET', '/functions?mode=push')).body.functions.length, 0);
  assert.ok((await s.rest('GET', '/functions?mode=pull&limit=7')).body.functions.length === 7);
});

test('A20 a paused function is not started; invoking it is a failed precondition', async () => {
  await register(base('a20'));
  await s.rpc('UpdateFunctionStatus', { id: 'a20', status: 'FUNCTION_STATUS_PAUSED' });
  const emitted = await s.rest('POST', '/events', { name: 'a20.go', data: {} });
  assert.deepEqual(emitted.body.run_ids, []);
  assert.equal((await s.rest('POST', '/functions/a20/invoke', { data: {} })).status, 412);
  const again = await register(base('a20', { description: 'changed' }));
  assert.equal(again.body.function.status, 'FUNCTION_STATUS_PAUSED');
});

test('what this release does not build is refused, not ignored', async () => {
  for (const extra of [
    { secrets: ['X'] },
  ]) {
    const answer = await register(base('later', extra));
    assert.equal(answer.status, 501, `${JSON.stringify(extra)}: ${answer.text}`);
    assert.equal(answer.body.code, 'unimplemented');
  }
});
