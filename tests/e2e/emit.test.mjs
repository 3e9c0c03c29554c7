// Emitting, invoking, matching and idempotency: engine checklist B.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, until } from './lib.mjs';

let s;
before(async () => { s = await Server.start(); });
after(() => s.stop());

const emit = (body, headers) => s.rest('POST', '/events', body, headers);
const functionsOf = async (runIds) =>
  (await Promise.all(runIds.map((id) => s.getRun(id)))).map((r) => r.function_id).sort();

test('B21 B22 emit answers one run id for each matching function, none without a match', async () => {
  await s.register('b21a', 'b21.go');
  await s.register('b21b', 'b21.go');
  const hit = await emit({ name: 'b21.go', data: { x: 1 } });
  assert.equal(hit.status, 200, hit.text);
  assert.match(hit.body.event_id, /^evt_[0-9a-z]+$/);
  assert.deepEqual(await functionsOf(hit.body.run_ids), ['b21a', 'b21b']);
  const miss = await emit({ name: 'b21.nobody' });
  assert.equal(miss.status, 200);
  assert.deepEqual(miss.body.run_ids, []);
});

test('B23 B24 metadata and version reach the handler', async () => {
  await s.register('b23', 'b23.go');
  const w = await s.worker('w-b23', ['b23']);
  await emit({ name: 'b23.go', data: {}, metadata: { source: 'cli', n: 1 } });
  const job = await w.take();
  assert.deepEqual(job.event.metadata, { source: 'cli', n: 1 });
  assert.equal(job.event.version, 1);
  assert.equal(typeof job.event.timestamp, 'string');
  await emit({ name: 'b23.go', version: 3 });
  assert.equal((await w.take()).event.version, 3);
  assert.equal((await emit({ name: 'b23.go', version: -1 })).status, 400);
});

test('B25 B26 B27 patterns: one token, trailing tokens, case', async () => {
  await s.register('b25', 'stripe.payment.*');
  await s.register('b26', 'order.>');
  const runs = async (name) => functionsOf((await emit({ name })).body.run_ids);
  assert.deepEqual(await runs('stripe.payment.ok'), ['b25']);
  assert.deepEqual(await runs('stripe.payment.ok.eu'), []);
  assert.deepEqual(await runs('stripe.payment'), []);
  assert.deepEqual(await runs('Stripe.payment.ok'), []);
  assert.deepEqual(await runs('order.a'), ['b26']);
  assert.deepEqual(await runs('order.a.b'), ['b26']);
  assert.deepEqual(await runs('order'), []);
});

test('B30 two matching triggers of one function make one run', async () => {
  await s.register('b30', null, { triggers: [{ event: 'b30.x' }, { event: 'b30.*' }] });
  assert.equal((await emit({ name: 'b30.x' })).body.run_ids.length, 1);
});

test('B31 B32 an idempotency key makes one event, also in twenty parallel emits', async () => {
  await s.register('b31', 'b31.go');
  const first = await emit({ name: 'b31.go', data: { a: 1 }, idempotency_key: 'k31' });
  const again = await emit({ name: 'b31.other', data: { b: 2 }, idempotencyKey: 'k31' });
  assert.deepEqual(again.body, first.body);
  const many = await Promise.all(Array.from({ length: 20 }, () =>
    emit({ name: 'b31.go', idempotency_key: 'k32' })));
  assert.equal(new Set(many.map((m) => m.body.event_id)).size, 1, many[0].text);
  assert.equal(new Set(many.map((m) => m.body.run_ids[0])).size, 1);
});

test('B34 B35 B36 keys are not shared between flows or functions', async () => {
  await s.register('b34', 'b34.go');
  await s.register('b35', 'b35.go');
  await emit({ name: 'b34.go', idempotency_key: 'k34' });
  const invoke = (id, key) => s.rest('POST', `/functions/${id}/invoke`, { data: {} }, { 'idempotency-key': key });
  assert.equal((await invoke('b34', 'k34')).status, 409);
  const first = await invoke('b34', 'k35');
  assert.equal(first.status, 200, first.text);
  assert.deepEqual((await invoke('b34', 'k35')).body, first.body);
  assert.equal((await invoke('b35', 'k35')).status, 409);
  assert.equal((await emit({ name: 'b34.go', idempotency_key: 'k35' })).status, 409);
  const rpc = await s.rpc('Trigger', { event: 'b34.go', idempotency_key: 'k35' });
  assert.equal(rpc.status, 409);
  assert.equal(rpc.body.code, 'already_exists');
});

test('B37 B38 B39 B40 invoke starts only the named function and leaves its version', async () => {
  await s.register('b37', 'b37.go');
  await s.register('b38', '>');
  const invoked = await s.rest('POST', '/functions/b37/invoke', { data: { n: 1 } });
  const run = await s.getRun(invoked.body.run_id);
  assert.equal(run.function_id, 'b37');
  const event = await s.rest('GET', `/events/${invoked.body.event_id}`);
  assert.equal(event.body.name, 'ironflow.invoke.b37');
  const triggered = await s.rpc('Trigger', { event: 'ironflow.invoke.b37' });
  assert.deepEqual(await functionsOf(triggered.body.runIds), ['b37']);
  const fn = await s.rpc('GetFunction', { id: 'b37' });
  assert.equal(fn.body.version, 1);
  assert.equal(fn.body.triggers.at(-1).event, 'ironflow.invoke.b37');
  const again = await s.register('b37', 'b37.go');
  assert.equal(again.function.version, 1);
  assert.equal((await s.rest('POST', '/functions/unknown/invoke', {})).status, 404);
  await s.rpc('DeleteFunction', { id: 'b38' });
});

test('B41 B43 B45 TriggerSync waits, times out with the status, carries errors', async () => {
  await s.register('b41', 'b41.go', { retry: { maxAttempts: 1 } });
  const w = await s.worker('w-b41', ['b41']);
  const pending = s.rpc('TriggerSync', { event: 'b41.go', data: {}, timeout_ms: 20000 });
  const job = await w.take();
  await w.ack(job);
  await w.update(job, { status: 'completed', output: { ok: [1, null] } });
  const done = await pending;
  assert.equal(done.status, 200, done.text);
  assert.match(done.body.eventId, /^evt_/);
  assert.equal(done.body.results[0].status, 'RUN_STATUS_COMPLETED');
  assert.deepEqual(done.body.results[0].output, { ok: [1, null] });
  assert.equal(typeof done.body.results[0].durationMs, 'number');
  const failing = s.rpc('TriggerSync', { event: 'b41.go', timeout_ms: 20000 });
  const second = await w.take();
  await w.update(second, { status: 'failed', error: { message: 'declined', code: 'CARD', retryable: false } });
  const failed = (await failing).body.results[0];
  assert.equal(failed.status, 'RUN_STATUS_FAILED');
  assert.deepEqual([failed.error.message, failed.error.code], ['declined', 'CARD']);
  const late = await s.rpc('TriggerSync', { event: 'b41.go', timeout_ms: 100 });
  assert.equal(late.body.results[0].status, 'RUN_STATUS_WAITING_FOR_CAPACITY');
});

test('B42 B46 B47 no match, batches and non-objects over RPC', async () => {
  const none = await s.rpc('TriggerSync', { event: 'b42.nobody' });
  assert.equal(none.status, 200);
  assert.deepEqual(none.body.results ?? [], []);
  assert.match(none.body.eventId, /^evt_/);
  await s.register('b46', 'b46.*');
  const batch = await s.rpc('TriggerBatch', { events: [{ event: 'b46.a' }, { event: 'nobody' }, { event: 'b46.b' }] });
  assert.deepEqual(batch.body.results.map((r) => (r.runIds ?? []).length), [1, 0, 1]);
  const names = await Promise.all(batch.body.results.map((r) => s.rest('GET', `/events/${r.eventId}`)));
  assert.deepEqual(names.map((e) => e.body.name), ['b46.a', 'nobody', 'b46.b']);
  const bad = await s.rpc('Trigger', { event: 'x', data: [1] });
  assert.equal(bad.status, 400);
  assert.equal(bad.body.code, 'invalid_argument');
  assert.equal((await s.rpc('TriggerBatch', { events: Array.from({ length: 1001 }, () => ({ event: 'x' })) })).status, 400);
});

test('PubSub Emit and a name of a function start the same way', async () => {
  await s.register('b-direct', 'b.direct');
  const bridge = await s.rpc('PubSubService/Emit', { event: 'b.direct', data: { a: 1 }, namespace: 'default' });
  assert.equal(bridge.body.runIds.length, 1, bridge.text);
  const byId = await s.rpc('Trigger', { event: 'b-direct' });
  assert.equal(byId.body.runIds.length, 1);
});

test('numbers, key order and duplicates of users survive byte for byte', async () => {
  await s.register('bytes', 'bytes.go');
  const w = await s.worker('w-bytes', ['bytes']);
  const data = '{"z":1e400,"big":12345678901234567890,"f":0.1000,"a":{"b":[ 1 , 2 ]},"dup":1,"dup":2,"u":"\\u00e9\u00e9"}';
  const sent = await emit(`{"name":"bytes.go","data":${data}}`);
  assert.equal(sent.status, 200, sent.text);
  const poll = await until('the job', async () => { const r = await w.poll(1); return r.status === 200 && r; });
  assert.ok(poll.text.includes(`"data":${data}`), poll.text);
  const job = poll.body.jobs[0];
  const fence = `"execution_seq":${job.execution_seq},"lease_token":"${job.lease_token}"`;
  const output = '{"q":1e400,"p":-0.0,"big":12345678901234567890}';
  const stepOutput = '[0.1000,1E5,{"k":null}]';
  const done = await s.rest('PUT', `/workers/w-bytes/jobs/${job.job_id}`,
    `{"status":"completed","output":${output},"steps":[{"id":"${job.run_id}:a:0","name":"a","status":"completed","output":${stepOutput}}],${fence}}`);
  assert.equal(done.status, 200, done.text);
  assert.ok((await s.rest('GET', `/runs/${job.run_id}`)).text.includes(`"output":${output}`));
  assert.ok((await s.rest('GET', `/runs/${job.run_id}`)).text.includes(`"input":${data}`));
  assert.ok((await s.rest('GET', `/runs/${job.run_id}/steps`)).text.includes(`"output":${stepOutput}`));
  assert.ok((await s.rpc('GetRun', { id: job.run_id })).text.includes(output));
});

test('events are listed newest first in keyset pages without gaps or repeats', async () => {
  for (let i = 0; i < 25; i++) await emit({ name: 'page.me', data: { i } });
  const seen = [];
  let path = '/events?name=page.me&limit=10', page;
  do {
    page = await s.rest('GET', path);
    assert.equal(page.status, 200, page.text);
    seen.push(...page.body.events.map((e) => e.data.i));
    path = `/events?name=page.me&limit=10&cursor=${encodeURIComponent(page.body.next_cursor ?? '')}`;
  } while (page.body.has_next);
  assert.deepEqual(seen, Array.from({ length: 25 }, (_, i) => 24 - i));
  assert.equal(page.body.has_prev, true);
  const back = await s.rest('GET', `/events?name=page.me&limit=10&before=${encodeURIComponent(page.body.prev_cursor)}`);
  assert.deepEqual(back.body.events.map((e) => e.data.i), [14, 13, 12, 11, 10, 9, 8, 7, 6, 5]);
  assert.equal(back.body.has_next, true);
  const first = await s.rest('GET', '/events?limit=1');
  assert.equal(first.body.has_prev, false);
  assert.ok(first.body.approx_total >= 25);
  assert.equal(first.body.approx_total_capped, false);
  for (const bad of ['cursor=!!', `cursor=${page.body.prev_cursor}&before=${page.body.prev_cursor}`, 'since=yesterday', 'limit=-1'])
    assert.equal((await s.rest('GET', `/events?${bad}`)).status, 400, bad);
  assert.equal((await s.rest('GET', '/events/evt_unknown')).status, 404);
});

test('bad event names and bodies are refused by name', async () => {
  for (const [body, reason] of [
    [{}, /name/], [{ name: '' }, /name/], [{ name: '  ' }, /name/], [{ name: 'a.*' }, /name/],
    [{ name: 'x\u0001y' }, /name/], [{ name: 5 }, /name/], [{ name: 'x', metadata: [] }, /metadata/],
    [{ name: 'x', idempotency_key: 'a\u0000b' }, /idempotency_key/],
    [{ name: 'x', version: 1.5 }, /version/], [{ name: 'x', version: 1e30 }, /version/],
  ]) {
    const answer = await emit(body);
    assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
    assert.match(answer.body.message, reason);
    assert.equal(answer.body.error, answer.body.message);
    assert.equal(answer.body.code, 'invalid_argument');
  }
});
