// Processes that stand still for longer than every lease and then go on, as a virtual machine that was
// suspended: the server, a worker, one of two nodes. What they held is taken over once, what they say
// later is refused, what has a time happens, and nobody executes what another one has.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import http from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server, pgUrl, step, until } from './lib.mjs';
import { connect, fence } from '../lib/stream.mjs';
import { Load, pause } from '../crash/load.mjs';
import { Plain } from '../crash/plain.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const LEASE = 2400, CLAIM = 2400, GRACE = 2400;
const STOPPED = LEASE * 7 / 6 + GRACE + 1500; // as long as all that a worker is given, and more
const env = { IRONFLOW_LEASE_MS: `${LEASE}`, IRONFLOW_LEASE_CLAIM_MS: `${CLAIM}`, IRONFLOW_GRACE_MS: `${GRACE}`,
  IRONFLOW_POLL_HOLD_MS: '300', IRONFLOW_PUSH_TIMEOUT_MS: '30000', IRONFLOW_PUSH_STALE_MS: '60000' };

async function start(t, extra = {}) {
  const s = await Server.start({ env: { ...env, ...extra } });
  t.after(async () => {
    s.child.kill('SIGCONT');
    await s.stop();
  });
  return s;
}
const emit = async (s, name, data = {}) => (await s.rest('POST', '/events', { name, data })).body.run_ids[0];
const runsOf = async (s, fn) => (await s.rest('GET', `/runs?function_id=${fn}&limit=1000`)).body.runs;
const stateOf = async (s, run) => (await s.getRun(run)).status;

/** All jobs that come to several workers until there are n, and no other one behind them. They and
 *  those in `jobs`, {w, job}, are kept alive. */
async function collect(workers, n, jobs) {
  const had = jobs.length;
  await until(`${n} jobs`, async () => {
    const answers = await Promise.all(workers.map((w) => w.poll(10)));
    for (const [i, a] of answers.entries())
      for (const job of a.body?.jobs ?? []) {
        jobs.push({ w: workers[i], job });
        assert.equal((await workers[i].ack(job)).status, 200);
      }
    await Promise.all(jobs.map(({ w, job }) => w.heartbeat({ active_jobs: 1, jobs: [{ job_id: job.job_id }] })));
    return jobs.length - had >= n;
  });
  const more = await Promise.all(workers.map((w) => w.poll(10)));
  assert.deepEqual(more.map((a) => a.status), workers.map(() => 204), 'handed out twice');
  return jobs.slice(had);
}

test('236 the server stands still: leases recover once, late reports are 409, timers fire, who is alive goes on', async (t) => {
  const s = await start(t);
  let calls = 0, answer;
  const endpoint = http.createServer((request, response) => { calls++; request.resume(); answer = response; });
  await new Promise((resolve) => { endpoint.listen(0, '127.0.0.1', resolve); });
  t.after(() => { endpoint.closeAllConnections(); endpoint.close(); });
  await s.register('f', 'f.go', { retry: { maxAttempts: 2, initialDelayMs: 800 } });
  await s.register('st', 'st.go');
  await s.register('d', 'd.go', { debounce: { period_ms: 1000, key: '' } });
  await s.register('tick', undefined, { triggers: [{ cron: '* * * * * *' }] });
  await s.rpc('RegisterFunction', { id: 'p', triggers: [{ event: 'p.go' }], endpointUrl: `http://127.0.0.1:${endpoint.address().port}/` });
  const [w, alive, idle] = [await s.worker('w', ['f']), await s.worker('alive', ['f']), await s.worker('idle', ['f'])];
  const stream = await connect(s, 'w-stream', ['st']);

  const lively = await emit(s, 'f.go');
  const held = await alive.take();
  assert.equal((await alive.ack(held)).status, 200);
  const ids = {};
  for (const kind of ['silent', 'sleeps', 'retries', 'times', 'claimed']) ids[kind] = await emit(s, 'f.go', { kind });
  const jobs = Object.fromEntries((await w.take(5)).map((j) => [j.event.data.kind, j]));
  const streamed = await emit(s, 'st.go');
  const sent = await stream.next('job');
  stream.send({ jobAck: fence(sent) });
  const pushed = await emit(s, 'p.go');
  await until('the request', () => calls === 1);
  for (const kind of ['silent', 'sleeps', 'retries', 'times']) assert.equal((await w.ack(jobs[kind])).status, 200);
  await w.update(jobs.silent, { status: 'progress', steps: [step(jobs.silent, 'a', 1)] });
  const soon = new Date(Date.now() + 1000).toISOString();
  await w.update(jobs.sleeps, { status: 'yielded', yield: { step_id: 'nap', type: 'sleep', until: soon } });
  await w.update(jobs.retries, { status: 'failed', error: { message: 'x', retryable: true } });
  await w.update(jobs.times, { status: 'yielded', yield: { step_id: 'ok', type: 'wait_for_event', event_filter: { event: 'never', timeout: '1s' } } });
  assert.equal((await s.rest('POST', '/events', { name: 'd.go' })).status, 200);

  s.child.kill('SIGSTOP');
  await pause(STOPPED / 2);
  // what others say meanwhile waits in their sockets
  const progress = alive.update(held, { status: 'progress', steps: [step(held, 'a', 1)] });
  stream.send({ heartbeat: { workerId: 'w-stream', activeJobs: 1, jobs: [{ ...fence(sent), runId: streamed }] } });
  const emitted = emit(s, 'f.go', { kind: 'new' });
  answer.setHeader('content-type', 'application/json');
  answer.end('{"status":"completed","result":"in time","steps":[]}');
  await pause(STOPPED / 2);
  s.child.kill('SIGCONT');

  assert.equal((await progress).status, 200, 'it is alive: nobody else has its job');
  assert.equal((await stream.next('leaseRefresh')).segments[0].state, 'LEASE_STATE_REFRESHED');
  ids.new = await emitted;
  const want = [ids.silent, ids.sleeps, ids.retries, ids.claimed, ids.new].sort();
  const got = await collect([idle, w], want.length, [{ w: alive, job: held }]);
  assert.deepEqual(got.map((x) => x.job.run_id).sort(), want, 'each once');
  const of = (kind) => got.find((x) => x.job.run_id === ids[kind]).job;
  assert.deepEqual(of('silent').completed_steps.map((x) => x.name), ['a']);
  assert.equal(of('silent').execution_seq, 2);
  assert.equal(of('sleeps').completed_steps[0].step_id, 'nap');
  assert.equal(of('retries').attempt, 2);
  for (const kind of ['silent', 'claimed']) {
    const late = await w.update(jobs[kind], { status: 'completed', output: 'late' });
    assert.deepEqual([late.status, late.body.code], [409, 'STALE_EXECUTION'], kind);
  }
  for (const { w: by, job } of got) assert.equal((await by.update(job, { status: 'completed', output: 1 })).status, 200);
  assert.equal((await alive.update(held, { status: 'completed', output: 'mine' })).status, 200);
  stream.send({ jobCompleted: { ...fence(sent), output: { mine: true } } });
  assert.deepEqual((await s.untilRun(streamed, 'completed')).output, { mine: true });
  assert.equal((await s.getRun(lively)).output, 'mine');
  assert.equal((await s.untilRun(ids.times, 'failed')).error.code, 'WAIT_TIMEOUT');
  assert.equal((await s.untilRun(pushed, 'completed')).output, 'in time');
  assert.equal(calls, 1);
  await until('the burst', async () => (await runsOf(s, 'd')).length === 1);
  await until('two more ticks', async () => (await runsOf(s, 'tick')).length > 2);
  const ticks = [];
  for (const run of await runsOf(s, 'tick')) ticks.push((await s.rest('GET', `/events/${run.event_id}`)).body.data.scheduled_at);
  assert.equal(new Set(ticks).size, ticks.length, ticks.join(' '));
  await stream.close();
});

// ---- a worker ------------------------------------------------------------------------------------------

/** A worker in its own process that has begun a run of the function. */
async function worker(t, s, kind, fn) {
  const child = fork(join(here, 'stopped_worker.mjs'), [s.url, kind, fn], { silent: true });
  const said = {};
  child.on('message', (m) => Object.assign(said, m));
  t.after(() => child.kill('SIGKILL'));
  await until(`the ${kind} worker to begin`, () => said.begun);
  return { child, said };
}

for (const kind of ['poll', 'stream']) {
  test(`236 a worker on a ${kind} stands still: its job goes to another one once, its late report is refused`, async (t) => {
    const s = await start(t);
    await s.register('f', 'f.go');
    const run = await emit(s, 'f.go');
    const { child, said } = await worker(t, s, kind, 'f');
    assert.deepEqual(said.begun, { run, seq: 1 });
    const other = await s.worker('other', ['f']);
    const end = Date.now() + 2 * LEASE;
    while (Date.now() < end) assert.equal((await other.poll()).status, 204, 'its heartbeats keep it');
    child.kill('SIGSTOP');
    const job = await other.take();
    assert.equal(job.run_id, run);
    assert.equal(job.execution_seq, 2);
    assert.equal((await other.ack(job)).status, 200);
    for (let i = 0; i < 5; i++) { // who says nothing is given nothing
      await emit(s, 'f.go');
      const next = await other.take();
      assert.equal(next.execution_seq, 1);
      assert.equal((await other.update(next, { status: 'completed', output: i })).status, 200);
      await other.heartbeat({ active_jobs: 1, jobs: [{ job_id: job.job_id }] });
    }
    child.kill('SIGCONT');
    child.send('go');
    await until('its report', () => said.status);
    assert.equal(said.status, 409);
    assert.equal(await stateOf(s, run), 'running');
    assert.equal((await other.update(job, { status: 'completed', output: 'other' })).status, 200);
    assert.equal((await s.getRun(run)).output, 'other');
    assert.equal((await s.getRun(run)).attempt, 1);
    assert.deepEqual((await s.rest('GET', `/runs/${run}/steps`)).body.steps, []);
  });

  test(`a worker on a ${kind} that stands still for less than lease and grace keeps its job`, async (t) => {
    const s = await start(t, { IRONFLOW_GRACE_MS: '60000' });
    await s.register('f', 'f.go');
    const run = await emit(s, 'f.go');
    const { child, said } = await worker(t, s, kind, 'f');
    child.kill('SIGSTOP');
    await s.untilRun(run, 'waiting'); // its lease is over
    assert.equal((await (await s.worker('other', ['f'])).poll()).status, 204);
    child.send('go');
    child.kill('SIGCONT');
    await s.untilRun(run, 'completed');
    await until('its report', () => said.status);
    assert.equal(said.status, kind === 'poll' ? 200 : 409); // the step came behind the end
  });
}

// ---- a node --------------------------------------------------------------------------------------------

test('236 one of two nodes stands still under load: the other one goes on, nothing is lost or repeated',
  { skip: !pgUrl && 'no database' }, async (t) => {
    const a = await start(t);
    const b = await Server.start({ env, pg: a.pg });
    t.after(() => b.stop());
    const [one, two] = [new Load(a, LEASE), new Load(b, LEASE)];
    t.after(() => { one.close(); two.close(); });
    two.runs = one.runs; // what is acknowledged by one node holds on the other
    two.faults = one.faults;
    const kinds = [new Plain(one), new Plain(two)];
    kinds[1].sent = 1e6;
    await one.use(kinds[0]);
    await two.use(kinds[1]);
    await a.register('tick', undefined, { triggers: [{ cron: '* * * * * *' }] });
    const actors = kinds.map((k) => k.actors());
    const workers = [one, two].map((load, i) => [0, 1].map((slot) => load.worker(slot, `n${i}-`)));
    await until('load on both', () => kinds.every((k) => k.n.completions > 100));
    a.child.kill('SIGSTOP');
    const before = kinds[1].n.completions;
    await pause(STOPPED);
    // what it was in the middle of is undone by the database after ten seconds
    await until('the other node to go on', () => kinds[1].n.completions > before + 100, 120000);
    one.awayUntil = Date.now();
    a.child.kill('SIGCONT');
    const then = kinds[0].n.completions;
    await until('it to go on, too', () => kinds[0].n.completions > then + 100, 120000);
    for (const load of [one, two]) load.emitting = false;
    await Promise.all(actors.flat());
    await a.rpc('UpdateFunctionStatus', { id: 'tick', status: 'FUNCTION_STATUS_PAUSED' });
    const drain = await b.worker('drain', ['tick']);
    await one.finish([], workers[0], (ended) => until('every run to end', async () => {
      for (const job of (await drain.poll(10)).body?.jobs ?? []) await drain.update(job, { status: 'completed', output: null });
      return ended();
    }, 60000));
    two.working = false;
    await Promise.all(workers[1]);
    two.events = one.events;
    kinds[1].account();
    const ticks = [...one.events.values()].filter((e) => e.source === 'cron').map((e) => e.data.scheduled_at);
    assert.equal(new Set(ticks).size, ticks.length, 'a tick twice');
    t.diagnostic(`${one.runs.size} runs, ${one.n.late} late assignments, ${one.n.refused} and ${two.n.refused} refused`);
    assert.deepEqual(one.faults, [], 'lost or repeated');
  });
