// Schedules and flow control: engine checklist I 171 to 188, B 28, 29, 44.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, bin, pgUrl, run, step, until } from './lib.mjs';

let s;
before(async () => { s = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '200' } }); });
after(() => s.stop());

const emitAll = async (name, data = {}) => (await s.rest('POST', '/events', { name, data })).body;
const emit = async (name, data) => (await emitAll(name, data)).run_ids[0];
const b64 = (text) => Buffer.from(text).toString('base64url');
const runsOf = async (fn) =>
  (await s.rest('GET', `/runs?function_id=${fn}&limit=1000`)).body.runs.reverse();
const eventOf = async (id) => (await s.rest('GET', `/events/${id}`)).body;
const entries = async (fn) =>
  (await s.rest('GET', '/debounce/entries')).body.filter((e) => e.function_id === fn);
/** Everything the worker gets without waiting. */
const drain = async (w) => {
  const reply = await w.poll(100);
  return reply.status === 204 ? [] : reply.body.jobs;
};
const complete = async (w, job) =>
  assert.equal((await w.update(job, { status: 'completed', output: {} })).status, 200);

// ---- schedules ---------------------------------------------------------------------------------------

test('I172 I173 I174 a six-field schedule starts one run for each tick', async () => {
  await s.register('tick', undefined, { triggers: [{ cron: '*/2 * * * * *', event: 'tick.now' }] });
  const runs = await until('three ticks', async () => {
    const list = await runsOf('tick');
    return list.length >= 3 && list;
  });
  const times = [];
  for (const r of runs) {
    const e = await eventOf(r.event_id);
    assert.equal(e.source, 'cron');
    assert.equal(e.name, 'tick.now');
    times.push(Date.parse(e.data.scheduled_at));
  }
  for (let i = 1; i < times.length; i++) assert.equal(times[i] - times[i - 1], 2000);
  assert.equal(times[0] % 2000, 0);
  const id = await emit('tick.now', { by: 'hand' });
  assert.equal((await s.getRun(id)).function_id, 'tick');
  assert.equal((await eventOf((await s.getRun(id)).event_id)).source, 'api');
  await s.rpc('DeleteFunction', { id: 'tick' });
});

test('I171 the next run of `* * * * *` is the next full minute, and only active functions have one', async () => {
  const at = Date.now();
  const { function: f } = await s.register('minutely', undefined, { triggers: [{ cron: '* * * * *' }] });
  const next = Date.parse(f.nextRun);
  assert.equal(next % 60000, 0);
  assert.ok(next > at && next <= at + 60000 + 2000);
  const rest = await s.rest('GET', '/functions/minutely');
  assert.ok(Date.parse(rest.body.next_run) % 60000 === 0);
  await s.rpc('UpdateFunctionStatus', { id: 'minutely', status: 'FUNCTION_STATUS_PAUSED' });
  assert.equal((await s.rest('GET', '/functions/minutely')).body.next_run, undefined);
  await s.rpc('DeleteFunction', { id: 'minutely' });
});

test('I173 a schedule without an event has its own name and starts only its owner', async () => {
  await s.register('lonely', undefined, { triggers: [{ cron: '* * * * * *' }], debounce: { period_ms: 60000, key: '' } });
  await s.register('lonely-watch', 'ironflow.cron.>');
  const [first] = await until('a tick', async () => {
    const list = await runsOf('lonely');
    return list.length >= 1 && list;
  });
  assert.equal((await eventOf(first.event_id)).name, 'ironflow.cron.lonely');
  assert.deepEqual(await runsOf('lonely-watch'), []);
  assert.deepEqual(await entries('lonely'), []);
  // paused: no more ticks; a new schedule takes the place of the old one at once
  await s.rpc('UpdateFunctionStatus', { id: 'lonely', status: 'FUNCTION_STATUS_PAUSED' });
  const n = (await runsOf('lonely')).length;
  await s.register('lonely-clock', undefined, { triggers: [{ cron: '* * * * * *' }] });
  await until('two ticks of another', async () => (await runsOf('lonely-clock')).length >= 2);
  assert.equal((await runsOf('lonely')).length, n);
  await s.register('lonely-clock', undefined, { triggers: [{ cron: '0 0 1 1 *' }] });
  const m = (await runsOf('lonely-clock')).length;
  await s.rpc('UpdateFunctionStatus', { id: 'lonely', status: 'FUNCTION_STATUS_ACTIVE' });
  await until('two ticks again', async () => (await runsOf('lonely')).length >= n + 2);
  assert.equal((await runsOf('lonely-clock')).length, m);
  await s.rpc('DeleteFunction', { id: 'lonely' });
});

test('a schedule that cannot be read is refused with its place', async () => {
  const bad = await s.rpc('RegisterFunction', { id: 'bad-cron', triggers: [{ event: 'x' }, { cron: '61 * * * *' }] });
  assert.equal(bad.status, 400);
  assert.match(bad.body.message, /triggers\[1\]\.cron/);
});

test('a schedule that never fires is refused and leaves the function as it was', async () => {
  const cron = (text) => s.rpc('RegisterFunction', { id: 'never-cron', triggers: [{ event: 'never.go' }, { cron: text }] });
  for (const text of ['0 0 30 2 *', '0 0 31 2,4,6,9,11 *', '0 0 0 31 4 *', '@never', '@every 0s']) {
    const bad = await cron(text);
    assert.equal(bad.status, 400, `${text}: ${bad.text}`);
    assert.match(bad.body.message, /triggers\[1\]\.cron/);
  }
  assert.equal((await cron('0 0 29 2 *')).status, 200, 'seldom is not never');
  const bad = await cron('0 0 30 2 *');
  assert.equal(bad.status, 400);
  assert.equal((await s.rpc('GetFunction', { id: 'never-cron' })).body.triggers[1].cron, '0 0 29 2 *');
});

// ---- debouncing --------------------------------------------------------------------------------------

test('I176 I177 I179 I180 five quick events are one run with the last data, for each key', async () => {
  await s.register('deb', 'deb.go', { debounce: { period_ms: 4000, key: 'user' } });
  for (let i = 1; i <= 5; i++) {
    const a = await emitAll('deb.go', { user: 'ann', n: i });
    assert.deepEqual(a.run_ids, []);
    assert.match(a.event_id, /^evt_/);
    await emitAll('deb.go', { user: 'bob', n: 10 * i });
  }
  const armed = await entries('deb');
  assert.deepEqual(armed.map((e) => e.debounce_key).sort(), ['ann', 'bob']);
  for (const e of armed) {
    assert.deepEqual(Object.keys(e), ['environment_id', 'function_id', 'debounce_key', 'event_id',
      'function_version', 'period_ms', 'armed_at', 'fires_at']);
    assert.match(e.fires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.match(e.armed_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(e.environment_id, 'env_default');
    assert.equal(e.period_ms, 4000);
    assert.equal(e.function_version, 1);
    assert.ok(Date.parse(e.fires_at) >= Date.parse(e.armed_at) + 4000);
  }
  assert.deepEqual(await runsOf('deb'), []);
  const runs = await until('two runs', async () => {
    const list = await runsOf('deb');
    return list.length === 2 && list;
  });
  const data = [];
  for (const r of runs) data.push((await eventOf(r.event_id)).data);
  assert.deepEqual(data.sort((a, b) => a.n - b.n), [{ user: 'ann', n: 5 }, { user: 'bob', n: 50 }]);
  assert.deepEqual(await entries('deb'), []);
  assert.equal((await s.rest('GET', '/events?name=deb.go')).body.events.length, 10);
});

test('I178 max_wait_ms fires under a constant stream', async () => {
  await s.register('deb-max', 'deb-max.go', { debounce: { period_ms: 4000, key: '', max_wait_ms: 5000 } });
  const at = Date.now();
  await until('a run in spite of the stream', async () => {
    await emitAll('deb-max.go', {});
    return (await runsOf('deb-max')).length > 0;
  });
  const took = Date.now() - at;
  assert.ok(took >= 5000, `took ${took} ms`);
});

test('I181 I182 cancelling an entry: 204 twice, nothing fires; bad keys and foreign environments', async () => {
  await s.register('deb-c', 'deb-c.go', { debounce: { period_ms: 4000, key: 'data.k' } });
  await s.register('deb-other', 'deb-c.go', { debounce: { period_ms: 4000, key: '' } });
  for (const k of ['a/b.c', 'kept']) await emitAll('deb-c.go', { k });
  const path = `/debounce/entries/env_default/deb-c/${b64('a/b.c')}`;
  assert.equal((await s.rest('DELETE', path)).status, 204);
  assert.equal((await s.rest('DELETE', path)).status, 204);
  assert.equal((await s.rest('DELETE', '/debounce/entries/env_default/deb-c/***')).status, 400);
  assert.equal((await s.rest('DELETE', `/debounce/entries/env_other/deb-c/${b64('kept')}`)).status, 403);
  assert.equal((await s.rest('DELETE', '/debounce/entries/env_default/deb-other/')).status, 204);
  const [run] = await until('the entry that was left', async () => {
    const list = await runsOf('deb-c');
    return list.length > 0 && list;
  });
  assert.deepEqual((await eventOf(run.event_id)).data, { k: 'kept' });
  assert.deepEqual(await entries('deb-c'), []);
  assert.equal((await runsOf('deb-c')).length, 1);
  assert.deepEqual(await runsOf('deb-other'), []);
});

test('I183 an entry survives a crash and fires once', async () => {
  await s.register('deb-crash', 'deb-crash.go', { debounce: { period_ms: 4000, key: '' } });
  await s.register('deb-later', 'deb-crash.go', { debounce: { period_ms: 600000, key: '' } });
  await emitAll('deb-crash.go', { n: 1 });
  await emitAll('deb-crash.go', { n: 2 });
  const later = await entries('deb-later');
  assert.equal(later.length, 1);
  await s.crash();
  assert.deepEqual(await entries('deb-later'), later); // the other may have fired by now
  const [run] = await until('the run', async () => {
    const list = await runsOf('deb-crash');
    return list.length > 0 && list;
  });
  assert.deepEqual((await eventOf(run.event_id)).data, { n: 2 });
  await s.crash();
  assert.equal((await runsOf('deb-crash')).length, 1);
  assert.deepEqual(await entries('deb-crash'), []);
});

test('B44 TriggerSync on a debounced function is failed_precondition and stores nothing', async () => {
  await s.register('deb-sync', 'deb-sync.go', { debounce: { period_ms: 60000, key: '' } });
  const answer = await s.rpc('TriggerSync', { event: 'deb-sync.go', data: {}, timeoutMs: 1000 });
  assert.equal(answer.body.code, 'failed_precondition');
  assert.deepEqual((await s.rest('GET', '/events?name=deb-sync.go')).body.events, []);
  assert.deepEqual(await entries('deb-sync'), []);
  // an invoke goes past it
  const invoked = await s.rest('POST', '/functions/deb-sync/invoke', { data: {} });
  assert.equal(invoked.status, 200);
  assert.equal((await runsOf('deb-sync')).length, 1);
});

test('a function that is paused before its entry fires drops it', async () => {
  await s.register('deb-paused', 'deb-paused.go', { debounce: { period_ms: 4000, key: '' } });
  await emitAll('deb-paused.go', {});
  await s.rpc('UpdateFunctionStatus', { id: 'deb-paused', status: 'FUNCTION_STATUS_PAUSED' });
  await until('the entry to go', async () => (await entries('deb-paused')).length === 0);
  assert.deepEqual(await runsOf('deb-paused'), []);
});

test('the command line lists and cancels', async () => {
  await s.register('deb-cli', 'deb-cli.go', { debounce: { period_ms: 60000, key: 'k' } });
  await emitAll('deb-cli.go', { k: 'key.with/dots' });
  const env = { PATH: process.env.PATH, IRONFLOW_SERVER_URL: s.url };
  const list = await run(bin, ['debounce', 'list'], { env });
  assert.equal(list.code, 0, list.stderr);
  assert.match(list.stdout, /^FUNCTION_ID +KEY +FIRES_AT +PERIOD_MS +EVENT_ID\n/);
  assert.match(list.stdout, /deb-cli +key\.with\/dots +\d{4}-.*Z +60000 +evt_/);
  const cancel = await run(bin, ['debounce', 'cancel', 'deb-cli', 'key.with/dots'], { env });
  assert.equal(cancel.code, 0, cancel.stderr);
  assert.deepEqual(await entries('deb-cli'), []);
  const again = await run(bin, ['debounce', 'cancel', 'deb-cli', 'key.with/dots'], { env });
  assert.equal(again.code, 1);
});

// ---- concurrency -------------------------------------------------------------------------------------

test('I184 I185 I186 a limit with a key: never three of one customer, others go on, in order', async () => {
  await s.register('lim', 'lim.go', { concurrency: { limit: 2, key: 'event.data.customerId' } });
  const w = await s.worker('w-lim', ['lim'], { max_concurrent_jobs: 100 });
  const a = [], b = [];
  for (let i = 0; i < 6; i++) a.push(await emit('lim.go', { customerId: 'a' }));
  for (let i = 0; i < 3; i++) b.push(await emit('lim.go', { customerId: 'b' }));
  let held = await drain(w);
  assert.deepEqual(held.map((j) => j.run_id), [a[0], a[1], b[0], b[1]]);
  assert.deepEqual(await drain(w), []);
  for (const r of [a[2], a[5], b[2]]) assert.equal((await s.getRun(r)).status, 'pending');
  assert.equal((await s.rest('GET', '/runs?function_id=lim&status=pending')).body.total_count, 5);
  const order = [];
  while (held.length > 0) {
    const job = held.shift();
    order.push(job.run_id);
    await complete(w, job);
    const next = await drain(w);
    assert.ok(next.length <= 1, 'one leaves, one comes');
    held.push(...next);
    for (const key of ['a', 'b'])
      assert.ok(held.filter((j) => j.event.data.customerId === key).length <= 2);
  }
  assert.deepEqual(order.filter((r) => a.includes(r)), a);
  assert.deepEqual(order.filter((r) => b.includes(r)), b);
});

test('I187 a sleeping run frees its slot and queues again when it wakes', async () => {
  await s.register('lim-sleep', 'lim-sleep.go', { concurrency: { limit: 1 } });
  const w = await s.worker('w-lim-sleep', ['lim-sleep']);
  const [x, y, z] = [await emit('lim-sleep.go'), await emit('lim-sleep.go'), await emit('lim-sleep.go')];
  const jx = await w.take();
  assert.equal(jx.run_id, x);
  const until_ = new Date(Date.now() + 300).toISOString();
  assert.equal((await w.update(jx, { status: 'yielded', steps: [],
    yield: { step_id: `${x}:nap:0`, type: 'sleep', until: until_ } })).status, 200);
  const jy = await w.take();
  assert.equal(jy.run_id, y);
  await until('x to be awake', async () => (await s.getRun(x)).status === 'pending');
  assert.deepEqual(await drain(w), []);
  await complete(w, jy);
  const jz = await w.take();
  assert.equal(jz.run_id, z, 'who woke stands behind who waited');
  await complete(w, jz);
  const again = await w.take();
  assert.equal(again.run_id, x);
  await complete(w, again);
});

test('a failing run frees its slot while it waits for its retry; cancelling frees it too', async () => {
  await s.register('lim-fail', 'lim-fail.go', { concurrency: { limit: 1 },
    retry: { maxAttempts: 2, initialDelayMs: 600 } });
  const w = await s.worker('w-lim-fail', ['lim-fail']);
  const [x, y, z, last] = [await emit('lim-fail.go'), await emit('lim-fail.go'), await emit('lim-fail.go'),
    await emit('lim-fail.go')];
  const jx = await w.take();
  assert.equal((await w.update(jx, { status: 'failed', error: { message: 'x' }, retryable: true })).status, 200);
  const jy = await w.take();
  assert.equal(jy.run_id, y);
  assert.equal((await s.rest('POST', `/runs/${z}/cancel`, {})).status, 200); // one that stands in line
  assert.equal((await s.rest('POST', `/runs/${y}/cancel`, {})).status, 200); // the one that runs
  const jl = await w.take();
  assert.equal(jl.run_id, last);
  await complete(w, jl);
  const again = await w.take();
  assert.equal(again.run_id, x);
  assert.equal(again.attempt, 2);
  await complete(w, again);
});

test('a slot held by a dead worker is freed with its lease, and its late report still counts', async () => {
  const s = await Server.start({ env: { IRONFLOW_LEASE_MS: '900', IRONFLOW_LEASE_CLAIM_MS: '60000',
    IRONFLOW_GRACE_MS: '60000', IRONFLOW_POLL_HOLD_MS: '200' } });
  const emit = async (name) => (await s.rest('POST', '/events', { name, data: {} })).body.run_ids[0];
  await s.register('lim-dead', 'lim-dead.go', { concurrency: { limit: 1 } });
  const w = await s.worker('w-lim-dead', ['lim-dead']);
  const [x, y] = [await emit('lim-dead.go'), await emit('lim-dead.go')];
  const jx = await w.take();
  await w.ack(jx);
  const jy = await w.take(); // after the lease of x; without an ack it has the longer one of a claim
  assert.equal(jy.run_id, y);
  assert.equal((await s.getRun(x)).status, 'waiting');
  // the place of x is taken: its progress is kept, but it does not run again
  assert.equal((await w.update(jx, { status: 'progress', steps: [step(jx, 'late', 1)] })).status, 200);
  assert.equal((await s.getRun(x)).status, 'waiting');
  assert.equal((await s.getRun(y)).status, 'running');
  await complete(w, jx);
  assert.equal((await s.getRun(x)).status, 'completed');
  await complete(w, jy);
  const z = await emit('lim-dead.go');
  const jz = await w.take();
  assert.equal(jz.run_id, z);
  await complete(w, jz);
  await s.stop();
});

test('raising the limit admits those who wait, lowering it lets nobody in until there is room', async () => {
  await s.register('lim-up', 'lim-up.go', { concurrency: { limit: 1 } });
  const w = await s.worker('w-lim-up', ['lim-up'], { max_concurrent_jobs: 100 });
  for (let i = 0; i < 5; i++) await emit('lim-up.go');
  let held = await drain(w);
  assert.equal(held.length, 1);
  await s.register('lim-up', 'lim-up.go', { concurrency: { limit: 3 } });
  held.push(...(await w.take(100)));
  await until('three', async () => { held.push(...(await drain(w))); return held.length === 3; });
  await s.register('lim-up', 'lim-up.go', { concurrency: { limit: 1 } });
  for (const job of held.splice(0, 2)) {
    await complete(w, job);
    assert.deepEqual(await drain(w), []);
  }
  await complete(w, held.pop());
  held = await drain(w);
  assert.equal(held.length, 1);
  // without a limit nobody waits
  await s.register('lim-up', 'lim-up.go');
  held.push(...(await w.take(100)));
  assert.equal(held.length, 2);
});

test('lanes survive a crash', async () => {
  await s.register('lim-crash', 'lim-crash.go', { concurrency: { limit: 1 } });
  let w = await s.worker('w-lim-crash', ['lim-crash']);
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push(await emit('lim-crash.go'));
  const job = await w.take();
  await w.ack(job);
  await s.crash();
  assert.deepEqual(await drain(w), []);
  await complete(w, job);
  for (const id of ids.slice(1)) {
    const next = await w.take();
    assert.equal(next.run_id, id);
    await complete(w, next);
  }
});

// ---- actors ------------------------------------------------------------------------------------------

test('I188 runs of one actor go to one worker, one after the other', async () => {
  await s.register('act', 'act.go', { actorKey: 'data.user' });
  const a = await s.worker('w-act-a', ['act'], { max_concurrent_jobs: 100 });
  const b = await s.worker('w-act-b', ['act'], { max_concurrent_jobs: 100 });
  const first = await emit('act.go', { user: 'ann' });
  const [job] = await drain(a);
  assert.equal(job.run_id, first);
  assert.equal(job.actor_id, 'ann');
  assert.equal((await s.getRun(first)).actor_id, 'ann');
  const second = await emit('act.go', { user: 'ann' });
  assert.deepEqual(await drain(b), []);
  assert.deepEqual(await drain(a), []);
  await complete(a, job);
  assert.deepEqual(await drain(b), []);
  const [next] = await drain(a);
  assert.equal(next.run_id, second);
  await complete(a, next);
  // the owner keeps the actor while it is there; another actor is free
  const third = await emit('act.go', { user: 'ann' });
  const other = await emit('act.go', { user: 'ben' });
  const none = await emit('act.go', {});
  assert.deepEqual((await drain(b)).map((j) => j.run_id), [other, none]);
  assert.deepEqual((await drain(a)).map((j) => j.run_id), [third]);
  // a waiting poll of the owner hears of it, whoever else waits
  const waiting = b.poll(1);
  const mine = a.poll(1);
  await emit('act.go', { user: 'carl' });
  const jobs = [...((await waiting).body?.jobs ?? []), ...((await mine).body?.jobs ?? [])];
  assert.equal(jobs.length, 1);
});

test('actors and limits together', async () => {
  await s.register('both', 'both.go', { actorKey: 'user', concurrency: { limit: 2 } });
  const w = await s.worker('w-both', ['both'], { max_concurrent_jobs: 100 });
  const ids = {};
  for (const name of ['a1', 'a2', 'b1', 'c1']) ids[name] = await emit('both.go', { user: name[0], name });
  const names = (jobs) => jobs.map((j) => j.event.data.name);
  let held = await drain(w);
  assert.deepEqual(names(held), ['a1', 'b1']);
  await complete(w, held[0]);
  held = [held[1], ...(await drain(w))];
  assert.deepEqual(names(held), ['b1', 'c1'], 'who waits for an actor has no place in the other line yet');
  await complete(w, held[0]);
  held = [held[1], ...(await drain(w))];
  assert.deepEqual(names(held), ['c1', 'a2']);
  for (const job of held) await complete(w, job);
});

test('a worker that serves the function no more gives its actors up', async () => {
  await s.register('act-move', 'act-move.go', { actorKey: 'user' });
  await s.register('act-none', 'act-none.go');
  const a = await s.worker('w-move-a', ['act-move']);
  const b = await s.worker('w-move-b', ['act-move']);
  await emit('act-move.go', { user: 'x' });
  await complete(a, (await drain(a))[0]);
  const id = await emit('act-move.go', { user: 'x' });
  assert.deepEqual(await drain(b), []);
  await s.worker('w-move-a', ['act-none']);
  const [job] = await drain(b);
  assert.equal(job.run_id, id);
  assert.equal(job.actor_id, 'x');
});

// ---- filters -----------------------------------------------------------------------------------------

test('B28 B29 filters in both spellings; a missing field, a type clash and a division by zero are no match', async () => {
  const filters = {
    'f-short': 'data.total > 50', 'f-long': 'event.data.total > 50', 'f-name': 'name == "f.go" && has(metadata.tier)',
    'f-list': 'data.items.exists(i, i.sku == "x")', 'f-zero': '100 / data.total > 0', 'f-star': 'data.total > 50.5',
  };
  for (const [id, expression] of Object.entries(filters))
    await s.register(id, undefined, { triggers: [{ event: id === 'f-star' ? 'f.*' : 'f.go', expression }] });
  const started = async (data, metadata) => {
    const reply = await s.rest('POST', '/events', { name: 'f.go', data, metadata });
    assert.equal(reply.status, 200);
    const fns = [];
    for (const id of reply.body.run_ids) fns.push((await s.getRun(id)).function_id);
    return fns.sort();
  };
  assert.deepEqual(await started({ total: 51 }), ['f-long', 'f-short', 'f-star', 'f-zero']);
  assert.deepEqual(await started({ total: 50 }), ['f-zero']);
  assert.deepEqual(await started({ total: 0 }), []);
  assert.deepEqual(await started({ total: 'many' }), []);
  assert.deepEqual(await started({}), []);
  assert.deepEqual(await started([1]), []);
  assert.deepEqual(await started({ items: [{ sku: 'y' }, { sku: 'x' }] }), ['f-list']);
  assert.deepEqual(await started({}, { tier: 'gold' }), ['f-name']);
  await s.crash(); // compiled again from what is stored
  assert.deepEqual(await started({ total: 51 }), ['f-long', 'f-short', 'f-star', 'f-zero']);
});

test('two triggers of one function with filters make one run; a false filter does not fall back to the id', async () => {
  await s.register('f.twice', undefined, { triggers: [
    { event: 'f.twice', expression: 'data.a == 1' }, { event: 'f.twice', expression: 'data.b == 1' }] });
  assert.equal((await emitAll('f.twice', { a: 1, b: 1 })).run_ids.length, 1);
  assert.equal((await emitAll('f.twice', { b: 1 })).run_ids.length, 1);
  assert.equal((await emitAll('f.twice', { a: 2, b: 2 })).run_ids.length, 0);
});

test('an expression that cannot be compiled is refused with its place and reason', async () => {
  for (const expression of ['data.n >', 'nonsense > 1', '"a".matches("(")', '('.repeat(200), 'x'.repeat(10000)]) {
    const answer = await s.rpc('RegisterFunction', { id: 'f-bad', triggers: [{ event: 'a' }, { event: 'x', expression }] });
    assert.equal(answer.status, 400, expression);
    assert.equal(answer.body.code, 'invalid_argument');
    assert.match(answer.body.message, /^triggers\[1\]\.expression: /);
  }
  const answer = await s.rpc('RegisterFunction', { id: 'f-bad', triggers: [{ event: 'x', expression: 'data.n >' }] });
  assert.match(answer.body.message, /expression: 1:\d+: /);
  assert.equal((await s.rest('GET', '/functions/f-bad')).status, 404);
});

test('an expression that costs too much is no match, and holds nobody up', async () => {
  await s.register('f-dear', undefined, { triggers: [{ event: 'dear.go',
    expression: 'data.l.all(a, data.l.all(b, data.l.all(c, a + b + c >= 0)))' }] });
  const at = Date.now();
  const answer = await emitAll('dear.go', { l: Array.from({ length: 1000 }, (_, i) => i) });
  assert.deepEqual(answer.run_ids, []);
  assert.ok(Date.now() - at < 30000); // all of it would take many minutes
  assert.equal((await emitAll('dear.go', { l: [1, 2] })).run_ids.length, 1);
});

// ---- three nodes -------------------------------------------------------------------------------------

test('I175 I184 three nodes fire a tick once, end a burst once, and keep a limit together', { skip: !pgUrl }, async () => {
  const env = { IRONFLOW_POLL_HOLD_MS: '200' };
  const nodes = [await Server.start({ env })];
  for (let i = 0; i < 2; i++) nodes.push(await Server.start({ env, pg: nodes[0].pg }));
  const [a, b, c] = nodes;
  const total = async (id) => (await c.rest('GET', `/runs?function_id=${id}`)).body.total_count;
  await a.register('n-tick', undefined, { triggers: [{ cron: '* * * * * *', event: 'n-tick.go' }] });
  await b.register('n-deb', 'n-deb.go', { debounce: { period_ms: 4000, key: '' } });
  await c.register('n-lim', 'n-lim.go', { concurrency: { limit: 2, key: 'k' } });
  for (let i = 0; i < 9; i++) await nodes[i % 3].rest('POST', '/events', { name: 'n-deb.go', data: { i } });
  const N = 40, running = { x: 0, y: 0 }, most = { x: 0, y: 0 };
  for (let i = 0; i < N; i++)
    await nodes[i % 3].rest('POST', '/events', { name: 'n-lim.go', data: { k: i % 2 ? 'x' : 'y' } });
  let done = 0;
  const serve = async (node, id) => {
    const w = await node.worker(id, ['n-lim']);
    while (done < N) {
      const reply = await w.poll(3);
      for (const job of reply.body?.jobs ?? []) {
        const k = job.event.data.k;
        most[k] = Math.max(most[k], ++running[k]);
        await new Promise((resolve) => setImmediate(resolve));
        running[k]--; // before the report: what follows may start the next one
        assert.equal((await w.update(job, { status: 'completed', output: {} })).status, 200);
        done++;
      }
    }
  };
  await Promise.all(nodes.flatMap((n, i) => [serve(n, `w${i}-1`), serve(n, `w${i}-2`)]));
  assert.equal(await total('n-lim'), N);
  assert.ok(most.x <= 2 && most.y <= 2, JSON.stringify(most));
  b.child.kill('SIGKILL'); // a node dies: the others go on
  const before = await total('n-tick');
  await until('more ticks', async () => (await total('n-tick')) >= before + 3);
  await until('the burst to end', async () => (await c.rest('GET', '/debounce/entries')).body.length === 0);
  assert.equal(await total('n-deb'), 1);
  const runs = (await c.rest('GET', '/runs?function_id=n-tick&limit=1000')).body.runs;
  const times = [];
  for (const r of runs) times.push((await a.rest('GET', `/events/${r.event_id}`)).body.data.scheduled_at);
  assert.equal(new Set(times).size, times.length);
  for (const n of nodes) await n.stop();
});
