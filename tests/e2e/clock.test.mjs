// The wall clock is set back and forward by an hour, while the server runs and while it is down: ids
// keep their order, nothing that has a time is lost, early by much or done twice. Servers that share a
// database go by its clock, whatever their own walls show.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Server, bin, pgUrl, step, until } from './lib.mjs';
import { releaseBin } from '../lib/disk.mjs';

const ON_SQLITE = { skip: pgUrl ? 'the clock of the database counts' : false };
const ON_PG = { skip: pgUrl ? false : 'needs PostgreSQL' };
const HOUR = 3600_000, LEASE = 4000, GRACE = 500, HOLD = 300, KEY = 'a signing key';

/** A server whose wall clock is `set` to so many milliseconds beside ours, from the start on `by`. */
async function start(t, env = {}, { by = 0, ...options } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-clock-')), file = join(dir, 'offset');
  const fd = openSync(file, 'w');
  const set = (ms) => { // one aligned write of eight bytes
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(ms));
    writeSync(fd, bytes, 0, 8, 0);
  };
  set(by);
  const s = await Server.start({ bin: releaseBin, dir, flags: ['--node-id', `beside-${by}`], ...options, env: {
    LD_PRELOAD: resolve(dirname(bin), 'tests/wallclock.so'), WALLCLOCK: file, IRONFLOW_SIGNING_KEY: KEY,
    IRONFLOW_LEASE_MS: `${LEASE}`, IRONFLOW_LEASE_CLAIM_MS: `${LEASE}`, IRONFLOW_GRACE_MS: `${GRACE}`,
    IRONFLOW_POLL_HOLD_MS: `${HOLD}`, ...env } });
  t.after(async () => {
    await s.stop();
    closeSync(fd);
    rmSync(dir, { recursive: true, force: true });
  });
  return { s, set };
}

const emit = async (s, name, data = {}) => {
  const answer = await s.rest('POST', '/events', { name, data });
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
};
const runsOf = async (s, fn) => (await s.rest('GET', `/runs?function_id=${fn}&limit=1000`)).body.runs;
const yields = (w, job, y) => w.update(job, { status: 'yielded', yield: y });
/** The next job of this run, whatever else comes. */
const jobOf = (s, w, run) => until(`a job of ${run}`, async () => {
  const answer = await w.poll(10), jobs = answer.body?.jobs ?? [];
  if (answer.status === 404) await s.worker(w.id, ['c']); // forgotten, as one that was silent for an hour
  for (const job of jobs) if (job.run_id !== run) await w.update(job, { status: 'completed', output: null });
  return jobs.find((job) => job.run_id === run);
});

/** Everything that waits for a time, by its own kind of row. */
async function waiting(s) {
  await s.register('c', 'c.go', { retry: { maxAttempts: 2, initialDelayMs: 1500, backoffFactor: 1 } });
  await s.register('burst', 'burst.go', { debounce: { period_ms: 1500, key: '' } });
  await s.register('tick', undefined, { triggers: [{ cron: '* * * * * *', event: 'tick.now' }] });
  const w = await s.worker('w', ['c']);
  const all = {};
  for (const kind of ['sleeps', 'retries', 'times', 'dead']) all[kind] = (await emit(s, 'c.go', { kind })).run_ids[0];
  const jobs = Object.fromEntries((await w.take(4)).map((job) => [job.event.data.kind, job]));
  for (const job of Object.values(jobs)) assert.equal((await w.ack(job)).status, 200);
  await yields(w, jobs.sleeps, { step_id: `${all.sleeps}:nap:0`, type: 'sleep', until: new Date(Date.now() + 1500).toISOString() });
  await w.update(jobs.retries, { status: 'failed', error: { message: 'again', retryable: true } });
  await yields(w, jobs.times, { step_id: `${all.times}:ok:0`, type: 'wait_for_event', event_filter: { event: 'c.never', timeout: '1500ms' } });
  await w.update(jobs.dead, { status: 'progress', steps: [step(jobs.dead, 'a', 1)] });
  await emit(s, 'burst.go');
  return { w, jobs, ...all };
}

/** All of it has happened, once. */
async function happened(s, { w, jobs, sleeps, retries, times, dead }) {
  const again = await jobOf(s, w, sleeps);
  assert.deepEqual(again.completed_steps.map((x) => x.name), ['nap']);
  assert.equal((await w.update(again, { status: 'completed', output: 1 })).status, 200);
  if ((await s.getRun(retries)).status !== 'completed') {
    const retry = await jobOf(s, w, retries);
    assert.equal(retry.attempt, 2);
    await w.update(retry, { status: 'completed', output: 1 });
  }
  if ((await s.getRun(dead)).status !== 'completed') {
    const job = await jobOf(s, w, dead);
    assert.deepEqual(job.completed_steps.map((x) => x.name), ['a']);
    assert.equal((await w.update(jobs.dead, { status: 'completed', output: 'late' })).status, 409);
    await w.update(job, { status: 'completed', output: 1 });
  }
  assert.equal((await s.untilRun(times, 'failed')).error.code, 'WAIT_TIMEOUT');
  await until('the burst', async () => (await runsOf(s, 'burst')).length === 1);
}

/** Runs of the schedule: each tick once. */
async function ticks(s) {
  const times = [];
  for (const run of await runsOf(s, 'tick')) times.push((await s.rest('GET', `/events/${run.event_id}`)).body.data.scheduled_at);
  assert.equal(new Set(times).size, times.length, times.join(' '));
  return times.length;
}

for (const [word, by] of [['back', -HOUR], ['forward', HOUR]]) {
  test(`set ${word} by an hour while the server runs: all that has a time happens, once, and ids grow`, ON_SQLITE, async (t) => {
    const { s, set } = await start(t);
    const all = await waiting(s);
    const ids = [(await emit(s, 'x')).event_id];
    set(by);
    ids.push((await emit(s, 'x')).event_id);
    await happened(s, all);
    const before = await ticks(s);
    await until('more ticks', async () => (await runsOf(s, 'tick')).length >= before + 2);
    ids.push((await emit(s, 'x')).event_id);
    set(0);
    ids.push((await emit(s, 'x')).event_id);
    const then = await ticks(s);
    await until('more ticks after the way back', async () => (await runsOf(s, 'tick')).length >= then + 2);
    await ticks(s);
    assert.deepEqual(ids, [...ids].sort());
    assert.equal(new Set(ids).size, ids.length);
    const listed = (await s.rest('GET', '/events?limit=100')).body.events.filter((e) => e.name === 'x').map((e) => e.id);
    assert.deepEqual(listed, [...ids].reverse());
    assert.equal((await runsOf(s, 'burst')).length, 1);
  });

  test(`set ${word} by an hour: polls are held, synchronous emits wait, a push is signed with the wall's time`, ON_SQLITE, async (t) => {
    const { s, set } = await start(t, { IRONFLOW_POLL_HOLD_MS: '1000' });
    const seen = [];
    const server = http.createServer((request, response) => {
      const chunks = [];
      request.on('data', (d) => chunks.push(d));
      request.on('end', () => {
        seen.push({ header: request.headers['x-ironflow-signature'], raw: Buffer.concat(chunks).toString() });
        response.setHeader('content-type', 'application/json');
        response.end('{"status":"completed","result":1,"steps":[]}');
      });
    });
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    t.after(() => { server.closeAllConnections(); server.close(); });
    await s.register('c', 'c.go');
    await s.rpc('RegisterFunction', { id: 'p', triggers: [{ event: 'p.go' }], endpointUrl: `http://127.0.0.1:${server.address().port}/` });
    const w = await s.worker('w', ['c']);
    await emit(s, 'x');
    set(by);
    const at = performance.now();
    assert.equal((await w.poll()).status, 204);
    assert.ok(performance.now() - at > 900, `a poll was held for ${performance.now() - at} ms`);
    const poll = w.take();
    const answer = s.rpc('TriggerSync', { event: 'c.go', data: {}, timeoutMs: 10000 });
    assert.equal((await w.update(await poll, { status: 'completed', output: 5 })).status, 200);
    assert.equal((await answer).body.results[0].status, 'RUN_STATUS_COMPLETED');
    await s.untilRun((await emit(s, 'p.go')).run_ids[0], 'completed');
    const { header, raw } = seen[0];
    const signed = Number(header.match(/t=(\d+)/)[1]);
    assert.ok(Math.abs(signed - (Date.now() + by) / 1000) < 60, `signed at ${signed - Date.now() / 1000} s beside ours`);
    assert.ok(header.includes(createHmac('sha256', KEY).update(`${signed}.${raw}`).digest('hex')));
  });
}

test('set forward by an hour: who works keeps the job, who was asked is not asked again', ON_SQLITE, async (t) => {
  const { s, set } = await start(t, { IRONFLOW_LEASE_MS: '30000', IRONFLOW_LEASE_CLAIM_MS: '30000', IRONFLOW_GRACE_MS: '100',
    IRONFLOW_PUSH_TIMEOUT_MS: '60000' });
  let calls = 0;
  const waiting_ = [];
  const server = http.createServer((request, response) => { calls++; request.resume(); waiting_.push(response); });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  t.after(() => { server.closeAllConnections(); server.close(); });
  await s.register('c', 'c.go');
  await s.rpc('RegisterFunction', { id: 'p', triggers: [{ event: 'p.go' }], endpointUrl: `http://127.0.0.1:${server.address().port}/` });
  const w = await s.worker('w', ['c']);
  const acked = (await emit(s, 'c.go')).run_ids[0], claimed = (await emit(s, 'c.go')).run_ids[0];
  const jobs = await w.take(2);
  assert.equal((await w.ack(jobs.find((j) => j.run_id === acked))).status, 200);
  const pushed = (await emit(s, 'p.go')).run_ids[0];
  await until('the request', () => calls === 1);
  set(HOUR);
  // sweeps come every two seconds; a timer of a minute ago says that time has gone on
  const slept = (await emit(s, 'c.go')).run_ids[0];
  const other = await s.worker('w2', ['c']);
  const job = await jobOf(s, other, slept);
  await yields(other, job, { step_id: `${slept}:nap:0`, type: 'sleep', until: new Date(Date.now() + HOUR + 2500).toISOString() });
  assert.equal((await jobOf(s, other, slept)).run_id, slept);
  assert.equal(calls, 1, 'pushed again');
  for (const id of [acked, claimed, pushed]) assert.equal((await s.getRun(id)).status, 'running');
  for (const j of jobs) assert.equal((await w.update(j, { status: 'completed', output: 1 })).status, 200);
  waiting_[0].setHeader('content-type', 'application/json');
  waiting_[0].end('{"status":"completed","result":1,"steps":[]}');
  await s.untilRun(pushed, 'completed');
});

test('set back by an hour while the server is down: ids grow, dead workers lose their jobs, ticks come once', ON_SQLITE, async (t) => {
  const { s, set } = await start(t);
  const { w, dead, jobs } = await waiting(s);
  await until('a tick', async () => (await runsOf(s, 'tick')).length > 0);
  const last = (await emit(s, 'x')).event_id;
  set(-HOUR);
  await s.crash();
  const next = (await emit(s, 'x')).event_id;
  assert.ok(next > last, `${next} after ${last}`);
  await s.worker('w', ['c']);
  const job = await jobOf(s, w, dead);
  assert.deepEqual(job.completed_steps.map((x) => x.name), ['a']);
  assert.equal((await w.update(jobs.dead, { status: 'completed', output: 'late' })).status, 409);
  set(0);
  await s.worker('w', ['c']);
  await until('ticks', async () => (await runsOf(s, 'tick')).length > 2);
  await ticks(s);
});

test('servers whose walls are hours apart, one set on the way: leases, sleeps and ticks go by one clock', ON_PG, async (t) => {
  const leases = { IRONFLOW_LEASE_MS: '30000', IRONFLOW_LEASE_CLAIM_MS: '30000' };
  const { s, set } = await start(t, leases);
  const late = (await start(t, leases, { by: -HOUR, pg: s.pg })).s, early = (await start(t, leases, { by: HOUR, pg: s.pg })).s;
  await s.register('c', 'c.go');
  await s.register('tick', undefined, { triggers: [{ cron: '* * * * * *', event: 'tick.now' }] });
  const held = (await emit(early, 'c.go')).run_ids[0], sleeps = (await emit(early, 'c.go')).run_ids[0];
  const w = await late.worker('w-late', ['c']);
  const jobs = await w.take(2), of = (run) => jobs.find((job) => job.run_id === run);
  assert.equal((await w.ack(of(held))).status, 200);
  const due = Date.now() + 3000;
  await yields(w, of(sleeps), { step_id: `${sleeps}:nap:0`, type: 'sleep', until: new Date(due).toISOString() });
  const ids = [];
  for (const node of [late, early, s, early, late]) ids.push((await emit(node, 'x')).event_id);
  set(-HOUR);
  const other = await early.worker('w-early', ['c']), again = await jobOf(early, other, sleeps);
  assert.ok(Date.now() >= due - 1000, 'woken early'); // clocks are read as well as a loaded machine allows
  assert.equal((await other.update(again, { status: 'completed', output: 1 })).status, 200);
  const before = await ticks(s); // sweeps of leases come every two seconds
  await until('more ticks', async () => (await runsOf(s, 'tick')).length >= before + 5);
  await ticks(s);
  assert.equal((await other.poll()).status, 204, 'nobody takes the job that is held');
  assert.equal((await w.update(of(held), { status: 'completed', output: 1 })).status, 200);
  assert.ok(ids[0] < ids[4] && ids[1] < ids[3], `each server's own grow: ${ids}`);
  for (const e of (await s.rest('GET', '/events?limit=1000')).body.events)
    assert.ok(Math.abs(Date.parse(e.timestamp) - Date.now()) < HOUR / 2, e.timestamp);
});
