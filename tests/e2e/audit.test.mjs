// Recording and the audit trail (engine checklist K 212 to 216, 222); dead letters (L 227 to 230).
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, served, step, until, run as execute, bin } from './lib.mjs';

let s;
const ENV = { IRONFLOW_POLL_HOLD_MS: '200', IRONFLOW_REFUSED_EVENTS: 'poison.', IRONFLOW_OUTBOX_BACKOFF_MS: '1' };
before(async () => { s = await Server.start({ env: { ...ENV } }); });
after(() => s.stop());

let n = 0;
const setup = (extra = { recording: true }) => served(s, `audit-${n++}`, { retry: { maxAttempts: 2, initialDelayMs: 1 }, ...extra });
const ok = (answer) => { assert.equal(answer.status, 200, answer.text); return answer.body; };
const trail = async (run, query = '') => ok(await s.rest('GET', `/runs/${run}/audit${query}`));
const types = (t) => t.events.map((e) => e.event_type);

test('K212 a recording function has run.created and step.completed, in causal order; others have none', async () => {
  const f = await setup();
  const run = await f.emit({ order: 7 });
  const job = await f.take();
  const times = { started_at: new Date(Date.now() - 5).toISOString(), ended_at: new Date().toISOString() };
  ok(await f.w.update(job, { status: 'completed', output: 'x',
    steps: [step(job, 'a', { v: 1 }, times), step(job, 'b', null, times)] }));
  const t = await trail(run);
  assert.deepEqual(types(t), ['run.created', 'run.status_changed',
    'step.created', 'step.started', 'step.created', 'step.started', 'step.completed', 'step.completed',
    'run.status_changed']);
  assert.equal(t.total_count, 9);
  assert.equal(t.totalCount, 9);
  const [created, running] = t.events;
  const event = (await s.getRun(run)).event_id;
  assert.deepEqual(created.payload, { runId: run, functionId: f.id, eventId: event, input: { order: 7 } });
  assert.deepEqual(running.payload, { runId: run, oldStatus: 'pending', newStatus: 'running', reason: 'dispatched' });
  assert.deepEqual(t.events.at(-1).payload, { runId: run, oldStatus: 'running', newStatus: 'completed', reason: 'completed' });
  const done = t.events.filter((e) => e.event_type === 'step.completed');
  const steps = ok(await s.rest('GET', `/runs/${run}/steps`)).steps;
  assert.deepEqual(done[0].payload, { stepId: steps[0].id, name: 'a', output: { v: 1 }, durationMs: 5 });
  assert.equal(done[1].payload.output, null);
  assert.deepEqual(t.events[3].payload, { stepId: steps[0].id, name: 'a', stepName: 'a', stepType: 'invoke' });
  for (const e of t.events) {
    for (const key of ['id', 'run_id', 'function_id', 'event_type', 'created_at']) assert.ok(e[key], key);
    assert.equal(e.runId, run);
    assert.equal(e.functionId, f.id);
    assert.equal(e.eventType, e.event_type);
    assert.equal(e.createdAt, e.created_at);
    assert.ok(Object.values(e.metadata).every((v) => typeof v === 'string'));
    assert.equal(e.step_id ?? '', e.payload.stepId ?? '');
  }
  const order = t.events.map((e) => [Date.parse(e.created_at), e.id]);
  for (let i = 1; i < order.length; i++)
    assert.ok(order[i - 1][0] <= order[i][0] && order[i - 1][1] < order[i][1], 'sorted by time and id');

  const off = await setup({});
  const quiet = await off.emit();
  const other = await off.take();
  ok(await off.w.update(other, { status: 'completed', output: 1, steps: [step(other, 'a', 1)] }));
  assert.deepEqual(await trail(quiet), { events: [], total_count: 0, totalCount: 0 });
  assert.equal((await s.rest('GET', '/runs/run_0000000000000/audit')).status, 404);
});

test('K212 the flag is read when the run is made', async () => {
  const f = await setup();
  const run = await f.emit();
  await s.register(f.id, `${f.id}.go`, { recording: false });
  const later = await f.emit();
  const jobs = await f.w.take(2);
  for (const job of jobs) ok(await f.w.update(job, { status: 'completed', output: 1 }));
  assert.equal((await trail(run)).total_count, 3);
  assert.equal((await trail(later)).total_count, 0);
});

test('K212 retries, sleeps, waits, cancels and lost results leave their rows', async () => {
  const f = await setup();
  const run = await f.emit();
  let job = await f.take();
  ok(await f.w.update(job, { status: 'failed', error: { message: 'x', retryable: true },
    steps: [step(job, 'a', undefined, { status: 'failed', error: { message: 'x' } })] }));
  job = await f.take();
  ok(await f.w.update(job, { status: 'yielded', steps: [step(job, 'a', 1)],
    yield: { step_id: `${run}:nap:0`, type: 'sleep', until: new Date(Date.now() + 30).toISOString() } }));
  job = await f.take();
  ok(await s.rest('POST', `/runs/${run}/cancel`, {}));
  const t = await trail(run);
  const moves = t.events.filter((e) => e.event_type === 'run.status_changed').map((e) => [e.payload.newStatus, e.payload.reason]);
  assert.deepEqual(moves, [['running', 'dispatched'], ['waiting', 'retry'], ['pending', 'retry'], ['running', 'dispatched'],
    ['paused', 'sleep'], ['pending', 'wake'], ['running', 'dispatched'], ['cancelled', 'user']]);
  assert.deepEqual(t.events.filter((e) => e.event_type === 'run.paused').map((e) => e.payload.reason), ['sleep']);
  const steps = t.events.filter((e) => e.step_id).map((e) => [e.event_type, e.payload.name]);
  assert.deepEqual(steps, [['step.created', 'a'], ['step.started', 'a'], ['step.failed', 'a'], ['step.started', 'a'],
    ['step.completed', 'a'], ['step.created', 'nap'], ['step.started', 'nap'], ['step.completed', 'nap']]);
  const failure = t.events.find((e) => e.event_type === 'step.failed');
  assert.equal(failure.payload.error.message, 'x');
  assert.equal(failure.payload.attempt, 1);
});

test('K212 an event that ends a wait is the output of its step', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  ok(await f.w.update(job, { status: 'yielded',
    yield: { step_id: `${run}:ok:0`, type: 'wait_for_event', event_filter: { event: `${f.id}.ok`, timeout: '1h' } } }));
  const event = ok(await s.rest('POST', '/events', { name: `${f.id}.ok`, data: { by: 'me' } })).event_id;
  await s.untilRun(run, 'pending');
  const done = (await trail(run, '?event_type=step.completed')).events;
  assert.equal(done.length, 1);
  assert.equal(done[0].payload.output.id, event);
  assert.deepEqual(done[0].payload.output.data, { by: 'me' });
});

test('K213 K222 injection writes step.injected, patch writes step.patched, resume run.resumed', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  ok(await s.rpc('PauseRun', { run_id: run }));
  ok(await f.w.update(job, { status: 'progress', steps: [step(job, 'a', 1)] }));
  const [a] = ok(await s.rest('GET', `/runs/${run}/steps`)).steps;
  ok(await s.rpc('InjectStepOutput', { run_id: run, step_id: a.id, new_output: '2', reason: 'why' }));
  ok(await s.rest('POST', '/steps/patch', { step_id: a.id, output: 3, reason: 'because' }));
  ok(await s.rest('POST', '/runs/resume', { run_id: run }));
  const t = await trail(run);
  const by = (type) => t.events.filter((e) => e.event_type === type).map((e) => e.payload);
  assert.deepEqual(by('run.paused'), [{ runId: run, oldStatus: 'running', newStatus: 'paused', reason: 'injection' }]);
  assert.deepEqual(by('step.injected'), [{ stepId: a.id, name: 'a', previousOutput: 1, newOutput: 2, reason: 'why' }]);
  assert.deepEqual(by('step.patched'), [{ stepId: a.id, name: 'a', originalOutput: 2, patchedOutput: 3, patchedBy: 'system', reason: 'because' }]);
  assert.deepEqual(by('run.resumed'), [{ runId: run, oldStatus: 'paused', newStatus: 'running', reason: 'resumed' }]);
  const injected = t.events.find((e) => e.event_type === 'step.injected');
  assert.deepEqual(injected.metadata, { actor: 'system', reason: 'why' });
  assert.deepEqual(types(t).slice(-4), ['step.injected', 'step.patched', 'run.status_changed', 'run.resumed']);
});

test('K214 compensation writes saga.compensation.*', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  const undo = (name, extra) => step(job, name, undefined,
    { id: `${run}:compensate:${name}:0`, type: 'compensate', compensation_for: `${run}:book:0`, ...extra });
  ok(await f.w.update(job, { status: 'failed', error: { message: 'x', retryable: false },
    steps: [step(job, 'book', 1), undo('one', { output: 'undone' }), undo('two', { status: 'failed', error: { message: 'no' } })] }));
  const saga = (await trail(run)).events.filter((e) => e.event_type.startsWith('saga.'));
  const of = (type) => saga.filter((e) => e.event_type === `saga.compensation.${type}`).map((e) => e.payload);
  assert.equal(of('started').length, 2);
  assert.equal(of('started')[0].compensationTargetStep, `${run}:book:0`);
  assert.equal(of('completed')[0].result, 'undone');
  assert.equal(of('failed')[0].error.message, 'no');
  assert.ok(types(await trail(run)).includes('step.created'));
});

test('K215 a step sent by progress and again by the final report is audited once', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  const a = step(job, 'a', 1);
  ok(await f.w.update(job, { status: 'progress', steps: [a] }));
  ok(await f.w.update(job, { status: 'completed', output: 1, steps: [a], step_offset: 0 }));
  ok(await f.w.update(job, { status: 'completed', output: 1, steps: [a], step_offset: 0 }));
  assert.equal((await trail(run, '?event_type=step.completed')).total_count, 1);
  assert.equal((await trail(run, '?event_type=step.created')).total_count, 1);
});

test('K216 filters by type and time, limits and cursors', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  ok(await f.w.update(job, { status: 'completed', output: 1, steps: ['a', 'b', 'c', 'd'].map((x) => step(job, x, x)) }));
  const all = await trail(run);
  const seen = [];
  let cursor = '', pages = 0;
  do {
    const page = await trail(run, `?limit=4&cursor=${cursor}`);
    assert.equal(page.total_count, all.total_count);
    seen.push(...page.events);
    cursor = page.next_cursor ?? '';
    pages++;
  } while (cursor);
  assert.deepEqual(seen, all.events);
  assert.equal(pages, Math.ceil(all.total_count / 4));
  const end = all.events.at(-1).created_at;
  assert.equal((await trail(run, `?to=${end}`)).events.length, all.events.filter((e) => e.created_at < end).length);
  assert.deepEqual((await trail(run, `?from=${end}`)).events, all.events.filter((e) => e.created_at >= end));
  assert.equal((await trail(run, '?event_type=nothing')).total_count, 0);
  assert.equal((await s.rest('GET', `/runs/${run}/audit?from=yesterday`)).status, 400);
  assert.equal((await s.rest('GET', `/runs/${run}/audit?cursor=x`)).status, 400);
  const rpc = ok(await s.rpc('AuditService/GetAuditTrail', { run_id: run, eventType: 'step.completed', limit: 2, fromTimestamp: '2020-01-01T00:00:00Z' }));
  assert.equal(rpc.totalCount, 4);
  assert.equal(rpc.total_count, 4);
  assert.ok(rpc.nextCursor && rpc.next_cursor === rpc.nextCursor);
  assert.equal(rpc.events[0].stepId, rpc.events[0].step_id);
  assert.deepEqual(rpc.entries.map((e) => [e.id, e.type, e.data]), rpc.events.map((e) => [e.id, e.eventType, e.payload]));
  assert.equal(rpc.entries[0].timestamp, rpc.events[0].createdAt);
  const strict = ok(await s.rpc('AuditService/GetAuditTrail', { runId: run }, { 'connect-protocol-version': '1' }));
  assert.equal(strict.entries, undefined);
  assert.equal(strict.total_count, undefined);
  assert.equal(strict.events.length, all.total_count);
  assert.equal((await s.rpc('AuditService/GetAuditTrail', { runId: 'run_0000000000000' })).body.code, 'not_found');
});

test('E99 GET /audit lists the environment, newest first, with the filters of the reference', async (t) => {
  const d = await Server.start({ dev: false, env: { IRONFLOW_POLL_HOLD_MS: '200' } });
  t.after(() => d.stop());
  const list = async (query = '') => ok(await d.rest('GET', `/audit${query}`));
  assert.deepEqual(await list(), { events: [], total_count: 0, totalCount: 0 });
  const runs = [];
  for (const id of ['one', 'two', 'quiet']) {
    await d.register(id, `${id}.go`, { recording: id !== 'quiet' });
    const w = await d.worker(`w-${id}`, [id]);
    for (let i = 0; i < 2; i++) {
      const run = ok(await d.rest('POST', '/events', { name: `${id}.go`, data: { i } })).run_ids[0];
      const job = await w.take();
      // steps whose times lie before what the trail has already
      const old = { started_at: new Date(Date.now() - 60000).toISOString(), ended_at: new Date(Date.now() - 59000).toISOString() };
      ok(await w.update(job, { status: 'progress', steps: [step(job, 'a', i, old)] }));
      ok(await w.update(job, { status: 'completed', output: i, steps: [step(job, 'b', i, old)] }));
      if (id !== 'quiet') runs.push(run);
    }
  }
  const trails = {};
  for (const run of runs) trails[run] = ok(await d.rest('GET', `/runs/${run}/audit`)).events;
  const all = await list('?limit=1000');
  assert.equal(all.total_count, Object.values(trails).flat().length);
  for (const run of runs) assert.deepEqual(all.events.filter((e) => e.run_id === run).reverse(), trails[run], 'as the trail says');
  assert.deepEqual(all.events.map((e) => e.id), all.events.map((e) => e.id).sort().reverse());
  assert.equal(all.events[0].environment_id, 'env_default');

  const walked = [];
  let cursor = '';
  do {
    const page = await list(`?limit=3&cursor=${cursor}`);
    assert.equal(page.total_count, all.total_count);
    walked.push(...page.events);
    cursor = page.next_cursor ?? '';
  } while (cursor);
  assert.deepEqual(walked, all.events);

  const same = async (query, keep) => {
    const got = await list(`?limit=1000&${query}`), want = all.events.filter(keep);
    assert.deepEqual([got.events, got.total_count], [want, want.length], query);
    assert.ok(want.length > 0, query);
  };
  const middle = trails[runs[2]][0].created_at;
  await same(`run_id=${runs[1]}`, (e) => e.run_id === runs[1]);
  await same('function_id=two', (e) => e.function_id === 'two');
  await same('event_type=step.completed', (e) => e.event_type === 'step.completed');
  await same(`from=${middle}`, (e) => e.created_at >= middle);
  await same(`to=${middle}`, (e) => e.created_at < middle);
  await same(`function_id=one&event_type=run.created&run_id=${runs[0]}`, (e) => e.run_id === runs[0] && e.event_type === 'run.created');
  for (const query of ['run_id=nonsense', 'run_id=run_0000000000000', 'function_id=nobody', `function_id=two&run_id=${runs[0]}`, 'event_type=none', 'function_id=quiet'])
    assert.deepEqual((await list(`?${query}`)).events, [], query);
  for (const query of ['from=yesterday', 'to=1', 'cursor=x', 'limit=x'])
    assert.equal((await d.rest('GET', `/audit?${query}`)).status, 400, query);
  assert.equal((await d.rest('GET', '/audit', undefined, { authorization: 'Bearer ifkey_00000000000000000000000000000000' })).status, 401);
});

test('I181 cancelling a debounce entry is recorded as debounce.cancelled, once', async () => {
  const id = `burst-${n++}`;
  await s.register(id, `${id}.go`, { debounce: { period_ms: 60000, key: 'k' } });
  const event = ok(await s.rest('POST', '/events', { name: `${id}.go`, data: { k: 'a/b.c' } })).event_id;
  const path = `/debounce/entries/env_default/${id}/${Buffer.from('a/b.c').toString('base64url')}`;
  for (let i = 0; i < 2; i++) assert.equal((await s.rest('DELETE', path)).status, 204);
  const found = ok(await s.rest('GET', `/audit?event_type=debounce.cancelled&function_id=${id}`));
  assert.equal(found.total_count, 1);
  const [e] = found.events;
  assert.deepEqual(e.payload, { eventId: event, functionId: id, debounceKey: 'a/b.c' });
  assert.deepEqual([e.function_id, e.run_id ?? '', e.metadata], [id, '', { actor: 'system' }]);
  assert.equal(ok(await s.rest('GET', '/audit?event_type=debounce.cancelled&function_id=nobody')).total_count, 0);
});

test('recordingRetention is checked', async () => {
  for (const good of ['7d', '30d', '90d', '1y', 'forever', ''])
    await s.register(`keep-${good}`, 'x', { recording: true, recordingRetention: good });
  for (const bad of ['7', 'd', '0d', '-1d', '7w', 'always'])
    assert.equal((await s.rpc('RegisterFunction', { id: 'bad', recordingRetention: bad })).body.code, 'invalid_argument', bad);
});

test('a trail survives a crash', async () => {
  const f = await setup();
  const run = await f.emit();
  await f.take();
  const before = await trail(run);
  await s.crash();
  assert.deepEqual(await trail(run), before);
});

const letters = (query = '?env=default', headers = {}) => s.rest('GET', `/outbox/dead-letter${query}`, undefined, headers);
const dead = (id) => until('a dead letter', async () => {
  const found = ok(await letters()).items.filter((x) => x.event_id === id);
  return found.length > 0 && found;
}, 60000);

test('L227 the list without an environment is 400; a header is enough', async () => {
  const none = await letters('');
  assert.equal(none.status, 400);
  assert.match(none.body.error, /environment/);
  assert.deepEqual(ok(await letters('', { 'x-ironflow-environment': 'default' })).items, []);
  for (const [query, limit, offset] of [['&limit=0', 1, 0], ['&limit=9999&offset=20000', 500, 10000], ['&limit=-1&offset=-1', 1, 0], ['', 50, 0]])
    assert.deepEqual(ok(await letters(`?env=default${query}`)), { items: [], limit, offset });
});

test('L228 L229 L230 refused ten times, dead, requeued, dead again, discarded; the event stays', async () => {
  const data = { n: 1e21, text: 'ä' };
  const id = ok(await s.rest('POST', '/events', { name: 'poison.pill', data, metadata: { k: 'v' } })).event_id;
  const fine = ok(await s.rest('POST', '/events', { name: 'fine.pill', data: {} })).event_id;
  const [letter] = await dead(id);
  assert.deepEqual(Object.keys(letter).sort(), ['attempts', 'created_at', 'dead_at', 'entity_id', 'environment_id', 'event_id',
    'id', 'kind', 'last_error', 'metadata', 'payload', 'topic']);
  assert.match(letter.id, /^ob_/);
  assert.equal(letter.attempts, 10);
  assert.equal(letter.topic, 'poison.pill');
  assert.equal(letter.kind, 'events');
  assert.equal(letter.environment_id, 'env_default');
  assert.match(letter.last_error, /refused/);
  assert.deepEqual(JSON.parse(Buffer.from(letter.payload, 'base64')), data);
  assert.deepEqual(JSON.parse(Buffer.from(letter.metadata, 'base64')), { k: 'v' });
  assert.ok(Date.parse(letter.dead_at) >= Date.parse(letter.created_at));
  assert.equal(ok(await s.rest('GET', `/events/${id}`)).nats_seq ?? null, null);
  await until('the other to be published', async () => (await s.rest('GET', `/events/${fine}`)).body.nats_seq > 0);
  assert.deepEqual(ok(await s.rest('POST', `/outbox/dead-letter/${id}/requeue`)), { event_id: id, result: 'requeued' });
  assert.equal((await s.rest('POST', `/outbox/dead-letter/${id}/requeue`)).status, 404, 'it is no dead letter now');
  assert.equal((await dead(id))[0].attempts, 10);
  assert.deepEqual(ok(await s.rest('DELETE', `/outbox/dead-letter/${id}`)), { event_id: id, result: 'discarded' });
  assert.equal((await s.rest('DELETE', `/outbox/dead-letter/${id}`)).status, 404);
  assert.deepEqual(ok(await letters()).items, []);
  assert.equal(ok(await s.rest('GET', `/events/${id}`)).name, 'poison.pill');
  assert.equal((await s.rest('POST', '/outbox/dead-letter/nonsense/requeue')).status, 404);
});

test('L229 a requeued letter is published when the cause is gone; newest first', async () => {
  const ids = [];
  for (let i = 0; i < 2; i++) ids.push(ok(await s.rest('POST', '/events', { name: 'poison.again', data: { i } })).event_id);
  for (const id of ids) await dead(id);
  assert.deepEqual(ok(await letters()).items.map((x) => x.event_id), [...ids].reverse());
  assert.deepEqual(ok(await letters('?env=default&limit=1&offset=1')).items.map((x) => x.event_id), [ids[0]]);
  const cli = (args, env = {}) => execute(bin, ['outbox', 'dlq', ...args, '-s', s.url], { env: { PATH: process.env.PATH, ...env } });
  assert.match((await cli(['list', '--env', 'default'])).stdout, new RegExp(`^EVENT_ID .*\n${ids[1]}  poison.again  events  10 `));
  assert.equal((await cli(['list'])).code, 1);
  s.options.env = { ...ENV, IRONFLOW_REFUSED_EVENTS: '' };
  await s.crash();
  assert.equal((await cli(['requeue', ids[0]], { IRONFLOW_ENV: 'default' })).stdout, `Requeued ${ids[0]}\n`);
  await until('the letter to be published', async () => (await s.rest('GET', `/events/${ids[0]}`)).body.nats_seq > 0);
  assert.deepEqual(ok(await letters()).items.map((x) => x.event_id), [ids[1]]);
  assert.equal((await cli(['discard', ids[1], '--env', 'default'])).code, 1, 'nobody was asked');
  assert.equal((await cli(['discard', ids[1], '--env', 'default', '--yes'])).stdout, `Discarded ${ids[1]}\n`);
  assert.deepEqual(ok(await letters()).items, []);
});

test('functions start although their event is refused', async () => {
  s.options.env = { ...ENV };
  await s.crash();
  const id = `poisoned-${n++}`;
  await s.register(id, 'poison.start');
  assert.equal(ok(await s.rest('POST', '/events', { name: 'poison.start', data: {} })).run_ids.length, 1);
});
