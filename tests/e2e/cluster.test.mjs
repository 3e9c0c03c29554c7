// Three servers on one PostgreSQL: engine checklist 148, 175, 228, 233 to 236, and what one node must know
// of another's work: lanes, actors, cancels, pauses.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { spawn } from 'node:child_process';
import { Worker, pgUrl, until } from './lib.mjs';
import { Cluster, Fleet, Recorder, halt, sql, startNodes, stopNodes } from '../lib/cluster.mjs';
import { connect, fence } from '../lib/stream.mjs';

const onPg = { skip: pgUrl === '' };
const TIMEOUT = 7500, STALE = 10000, OPEN = 3000;
const ENV = { IRONFLOW_POLL_HOLD_MS: '300', IRONFLOW_PUSH_TIMEOUT_MS: `${TIMEOUT}`, IRONFLOW_PUSH_STALE_MS: `${STALE}`, IRONFLOW_BREAKER_MS: `${OPEN}` };

let nodes = [], a, b, c;
before(async () => {
  if (pgUrl) [a, b, c] = nodes = await startNodes(3, ENV);
});
after(() => stopNodes(nodes));

const ok = (answer) => { assert.equal(answer.status, 200, answer.text); return answer.body; };
const emit = async (node, name, data = {}) => ok(await node.rest('POST', '/events', { name, data })).run_ids[0];
const completed = (output) => ({ status: 'completed', output });
const yielded = (job, name, what) => ({ status: 'yielded', yield: { step_id: `${job.run_id}:${name}:0`, ...what } });
const of = (job, name) => job.completed_steps?.find((x) => x.step_id === `${job.run_id}:${name}:0`);
const runsOf = async (node, fn) => ok(await node.rest('GET', `/runs?function_id=${fn}&limit=1000`)).runs;
const on = (i) => nodes[i % nodes.length];
const times = (n, f) => Promise.all(Array.from({ length: n }, (_, i) => f(i)));

/** A session of psql that lets nobody write to a table until it is released. */
async function holdLock(node, table) {
  const psql = spawn('psql', [node.pg, '-qAt'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => psql.on('close', resolve));
  const locked = new Promise((resolve) => psql.stdout.once('data', resolve));
  psql.stdin.write(`BEGIN; LOCK TABLE ${table} IN SHARE MODE; SELECT 'locked';\n`);
  await locked;
  return { release: () => { psql.stdin.end('COMMIT;\n'); return ended; } };
}

/** Each run has ended with its fences in order, so many of them. */
async function ended(fleet, runs, segments) {
  for (const run of runs) await b.untilRun(run, 'completed');
  await fleet.stop();
  for (const run of runs) assert.equal(fleet.recorder.count(run), segments, `segments of ${run}`);
}

// ---- waking ------------------------------------------------------------------------------------------

test('233 236 a sleeping run wakes once, whichever node parked it', onPg, async () => {
  await a.register('cl-sleep', 'cl-sleep.go');
  const fleet = await Fleet.start(nodes, 'cl-sleep', ['cl-sleep'], (job) => of(job, 'nap') ? completed(1)
    : yielded(job, 'nap', { type: 'sleep', until: new Date(Date.now() + job.event.data.ms).toISOString() }));
  const runs = await times(45, (i) => emit(on(i), 'cl-sleep.go', { ms: i % 3 * 60 }));
  await ended(fleet, runs, 2);
});

test('233 236 an event that is emitted elsewhere as the wait is reported wakes the run once or not at all', onPg, async (t) => {
  await a.register('cl-wait', 'cl-wait.go');
  const said = new Map(); // the events of each key
  const say = (node, id) => {
    const answer = node.rest('POST', '/events', { name: 'cl-wait.ok', data: { id } }).then((r) => ok(r).event_id);
    said.set(id, [...said.get(id) ?? [], answer]);
    return answer;
  };
  const fleet = await Fleet.start(nodes, 'cl-wait', ['cl-wait'], (job) => {
    const { id, i } = job.event.data, by = of(job, 'ok');
    if (by) return completed(by.output.id);
    say(on(i + 1), id); // it leaves beside the report
    return yielded(job, 'ok', { type: 'wait_for_event', event_filter: { event: 'cl-wait.ok', match: 'id' } });
  });
  let atOnce = 0;
  await times(60, async (i) => {
    const id = `k${i}`, run = await emit(on(i), 'cl-wait.go', { id, i });
    await until('the event to be stored', () => said.has(id));
    await Promise.all(said.get(id));
    if ((await b.untilRun(run, ['paused', 'pending', 'completed'])).status === 'paused')
      await Promise.all([say(on(i), id), say(on(i + 2), id)]); // it came first; now two at a time
    else
      atOnce++;
    const { output } = await c.untilRun(run, 'completed');
    assert.equal(fleet.recorder.count(run), 2, 'one wake');
    assert.ok((await Promise.all(said.get(id))).includes(output), 'by one of its events');
  });
  await fleet.stop();
  t.diagnostic(`${atOnce} of 60 were woken by the event beside the report`);
});

test('233 236 a wait that was answered is never missed by an event of another node', onPg, async () => {
  await a.register('cl-seen', 'cl-seen.go');
  const fleet = await Fleet.start(nodes, 'cl-seen', ['cl-seen'], (job) => of(job, 'ok') ? completed(1)
    : yielded(job, 'ok', { type: 'wait_for_event', event_filter: { event: 'cl-seen.ok', match: 'id' } }));
  const runs = await times(30, async (i) => {
    const run = await emit(on(i), 'cl-seen.go', { id: i });
    await b.untilRun(run, 'paused');
    await Promise.all([1, 2].map((x) => on(i + x).rest('POST', '/events', { name: 'cl-seen.ok', data: { id: i } })));
    return run;
  });
  await ended(fleet, runs, 2);
});

test('233 an event that comes while the wait is being stored on another node waits for it, and wakes the run', onPg, async () => {
  await a.register('cl-late', 'cl-late.go');
  const w = await a.worker('w-cl-late', ['cl-late']);
  const run = await emit(a, 'cl-late.go'), job = await w.take();
  const waiting = (what) => until(`somebody to wait for ${what}`, async () => (await sql(a, `SELECT count(*) FROM pg_locks WHERE NOT granted AND ${what}`)) !== '0');
  const lock = await holdLock(a, 'waits');
  const report = w.update(job, yielded(job, 'ok', { type: 'wait_for_event', event_filter: { event: 'cl-late.ok' } }));
  await waiting("relation = 'waits'::regclass");
  const event = b.rest('POST', '/events', { name: 'cl-late.ok' });
  await waiting("locktype = 'advisory'");
  await lock.release();
  ok(await report);
  const again = await w.take();
  assert.equal(of(again, 'ok').output.id, ok(await event).event_id);
  ok(await w.update(again, completed(1)));
  await c.untilRun(run, 'completed');
});

test('233 236 the end of a child on another node wakes its parent once', onPg, async () => {
  await a.register('cl-parent', 'cl-parent.go');
  await a.register('cl-child');
  const fleet = await Fleet.start(nodes, 'cl-parent', ['cl-parent', 'cl-child'], (job) => {
    if (job.function_id === 'cl-child') return completed({ twice: job.event.data.n * 2 });
    const child = of(job, 'cl-child');
    return child ? completed(child.output) : yielded(job, 'cl-child', { type: 'invoke_function', function_id: 'cl-child', input: { n: job.event.data.n } });
  });
  const runs = await times(30, (n) => emit(on(n), 'cl-parent.go', { n }));
  await ended(fleet, runs, 2);
  assert.deepEqual((await a.getRun(runs[7])).output, { twice: 14 });
  assert.equal((await runsOf(a, 'cl-child')).length, 30);
});

test('233 a burst over three nodes ends in one run a key', onPg, async () => {
  await a.register('cl-deb', 'cl-deb.go', { debounce: { period_ms: 4000, key: 'k' } });
  const K = 6;
  await times(K * 9, async (i) => ok(await on(i).rest('POST', '/events', { name: 'cl-deb.go', data: { k: `k${i % K}`, i } })));
  await until('all keys', async () => (await runsOf(b, 'cl-deb')).length >= K);
  await until('no entry to be left', async () => ok(await c.rest('GET', '/debounce/entries')).length === 0);
  assert.equal((await runsOf(c, 'cl-deb')).length, K);
});

test('175 a tick fires once', onPg, async () => {
  for (let i = 0; i < 3; i++)
    await on(i).register(`cl-tick-${i}`, undefined, { triggers: [{ cron: '* * * * * *', event: `cl-tick-${i}.go` }] });
  for (let i = 0; i < 3; i++) {
    const runs = await until('five ticks', async () => { const list = await runsOf(on(i + 1), `cl-tick-${i}`); return list.length >= 5 && list; });
    const at = await Promise.all(runs.map(async (r) => ok(await a.rest('GET', `/events/${r.event_id}`)).data.scheduled_at));
    assert.equal(new Set(at).size, at.length, `${at}`);
    ok(await on(i + 2).rpc('DeleteFunction', { id: `cl-tick-${i}` }));
  }
});

// ---- workers -----------------------------------------------------------------------------------------

test('235 a worker registers on one node, polls a second and reports to a third', onPg, async () => {
  await a.register('cl-roam', 'cl-roam.go');
  await a.worker('w-roam', ['cl-roam']);
  const recorder = new Recorder();
  for (let i = 0; i < 9; i++) {
    const run = await emit(on(i), 'cl-roam.go', { i });
    const job = await new Worker(on(i + 1), 'w-roam').take();
    recorder.begin(run, job.execution_seq);
    ok(await new Worker(on(i + 2), 'w-roam').ack(job));
    ok(await new Worker(on(i), 'w-roam').heartbeat({ active_jobs: 1, jobs: [{ job_id: job.job_id }] }));
    recorder.end(run, job.execution_seq);
    ok(await new Worker(on(i + 2), 'w-roam').update(job, completed({ i })));
    assert.deepEqual((await on(i + 1).getRun(run)).output, { i });
  }
  assert.equal(ok(await b.rest('GET', '/workers')).workers.filter((w) => w.id === 'w-roam').length, 1);
  recorder.check();
});

/** The middle one of the times that `once` takes. */
async function median(n, once) {
  const took = [];
  for (let i = 0; i < n; i++) took.push(await once(i));
  return took.sort((x, y) => x - y)[n >> 1];
}
const LOOK_MS = 250; // far below the second after which a node looks by itself

test('235 a stream on one node gets what is emitted on another at once', onPg, async (t) => {
  await a.register('cl-stream', 'cl-stream.go');
  const w = await connect(b, 'w-cl-stream', ['cl-stream']);
  const ms = await median(15, async () => {
    const began = performance.now(), run = await emit(a, 'cl-stream.go');
    const job = await w.next('job'), took = performance.now() - began;
    assert.equal(job.runId, run);
    w.send({ jobAck: fence(job) }, { jobCompleted: fence(job) });
    await c.untilRun(run, 'completed');
    return took;
  });
  t.diagnostic(`emitted on one node, on the stream of another after ${ms.toFixed(1)} ms`);
  assert.ok(ms < LOOK_MS, `${ms} ms`);
  await w.close();
});

test('235 a poll that is held on one node is answered for what is emitted on another at once', onPg, async (t) => {
  const held = await startNodes(2, { ...ENV, IRONFLOW_POLL_HOLD_MS: '20000' }, { pg: a.pg });
  try {
    await a.register('cl-held', 'cl-held.go');
    const w = await held[1].worker('w-cl-held', ['cl-held']);
    const ms = await median(9, async () => {
      const poll = w.take();
      await until('the poll to be held', async () => (await sql(a, "SELECT count(*) FROM workers WHERE id = 'w-cl-held'")) === '1');
      const began = performance.now(), run = await emit(held[0], 'cl-held.go');
      const job = await poll, took = performance.now() - began;
      assert.equal(job.run_id, run);
      ok(await w.update(job, completed(1)));
      return took;
    });
    t.diagnostic(`emitted on one node, polled on another after ${ms.toFixed(1)} ms`);
    assert.ok(ms < LOOK_MS, `${ms} ms`);
    const sync = await median(9, async () => {
      const poll = w.take();
      const began = performance.now();
      const answer = held[0].rpc('TriggerSync', { event: 'cl-held.go', data: {}, timeoutMs: 20000 });
      ok(await w.update(await poll, completed('told')));
      ok(await answer);
      return performance.now() - began;
    });
    t.diagnostic(`a synchronous emit, executed on another node, is answered after ${sync.toFixed(1)} ms`);
    assert.ok(sync < 2 * LOOK_MS, `${sync} ms`);
  } finally {
    await stopNodes(held);
  }
});

test('a cancel on one node reaches the stream and the polling worker of another', onPg, async (t) => {
  await a.register('cl-cancel', 'cl-cancel.go');
  const w = await connect(b, 'w-cl-cancel', ['cl-cancel']);
  const ms = await median(9, async () => {
    const run = await emit(c, 'cl-cancel.go');
    const job = await w.next('job');
    w.send({ jobAck: fence(job) });
    const began = performance.now();
    ok(await a.rest('POST', `/runs/${run}/cancel`, {}));
    assert.deepEqual(await w.next('cancel'), { jobId: job.jobId, reason: 'user' });
    const took = performance.now() - began;
    w.send({ jobCompleted: fence(job) });
    assert.equal((await c.getRun(run)).status, 'cancelled');
    return took;
  });
  t.diagnostic(`cancelled on one node, told on the stream of another after ${ms.toFixed(1)} ms`);
  assert.ok(ms < LOOK_MS, `${ms} ms`);
  await w.close();

  const p = await b.worker('p-cl-cancel', ['cl-cancel']);
  const run = await emit(c, 'cl-cancel.go'), job = await p.take();
  ok(await p.ack(job));
  ok(await a.rest('POST', `/runs/${run}/cancel`, {}));
  const late = await p.update(job, { status: 'progress' });
  assert.deepEqual([late.status, late.body.code], [409, 'RUN_NOT_RUNNING'], late.text);
  assert.equal((await p.update(job, completed(1))).status, 409);
  assert.equal((await c.getRun(run)).status, 'cancelled');
});

test('pauses, injections and resumes on other nodes than the worker', onPg, async () => {
  await a.register('cl-pause', 'cl-pause.go');
  const w = await a.worker('w-cl-pause', ['cl-pause']), recorder = new Recorder();
  const now = new Date().toISOString();
  for (let i = 0; i < 6; i++) {
    const run = await emit(a, 'cl-pause.go'), job = await w.take();
    recorder.begin(run, job.execution_seq);
    ok(await w.ack(job));
    ok(await b.rpc('PauseRun', { run_id: run }));
    recorder.end(run, job.execution_seq);
    ok(await w.update(job, { status: 'progress', steps: [{ id: `${run}:a:0`, name: 'a', type: 'invoke', status: 'completed', output: 1, started_at: now, ended_at: now }] }));
    assert.equal((await c.getRun(run)).status, 'paused');
    const step = ok(await c.rest('GET', `/runs/${run}/steps`)).steps[0];
    ok(await c.rpc('InjectStepOutput', { run_id: run, step_id: step.id, new_output: '2' }));
    const resumed = await Promise.all([b, c].map((n) => n.rest('POST', '/runs/resume', { run_id: run })));
    assert.deepEqual(resumed.map((r) => r.status).filter((x) => x === 200).length, 1, resumed.map((r) => r.text).join());
    assert.ok(resumed.every((r) => [200, 409, 412].includes(r.status)), resumed.map((r) => r.text).join());
    assert.equal((await w.update(job, completed('late'))).status, 409);
    const again = await w.take();
    recorder.begin(run, again.execution_seq);
    assert.equal(of(again, 'a').output, 2);
    recorder.end(run, again.execution_seq);
    ok(await new Worker(on(i), 'w-cl-pause').update(again, completed('done')));
    assert.equal((await on(i + 1).getRun(run)).output, 'done');
  }
  recorder.check();
});

// ---- flow --------------------------------------------------------------------------------------------

test('236 a limit with a key holds over all nodes, also while runs sleep, fail and are cancelled', onPg, async () => {
  const LIMIT = 3, N = 90;
  await a.register('cl-lim', 'cl-lim.go', { concurrency: { limit: LIMIT, key: 'k' }, retry: { maxAttempts: 2, initialDelayMs: 10 } });
  const running = new Map(), most = new Map(), cancelled = new Set();
  const fleet = await Fleet.start([...nodes, ...nodes], 'cl-lim', ['cl-lim'], async (job) => {
    const { k, i } = job.event.data;
    const beside = running.get(k) ?? new Set();
    if (!cancelled.has(job.run_id)) running.set(k, beside.add(job.run_id));
    most.set(k, Math.max(most.get(k) ?? 0, beside.size));
    await new Promise((resolve) => setTimeout(resolve, 5));
    beside.delete(job.run_id); // before the report: what follows may start the next one
    if (i % 5 === 1 && job.attempt === 1) return { status: 'failed', error: { message: 'x', retryable: true } };
    if (i % 5 === 2 && !of(job, 'nap')) return yielded(job, 'nap', { type: 'sleep', until: new Date(Date.now() + 20).toISOString() });
    return completed(i);
  });
  const runs = await times(N, (i) => emit(on(i), 'cl-lim.go', { k: `k${i % 4}`, i }));
  await Promise.all(runs.filter((_, i) => i % 9 === 8).map((run, i) => {
    cancelled.add(run); // its slot is free from now on
    for (const set of running.values()) set.delete(run);
    return on(i).rest('POST', `/runs/${run}/cancel`, {});
  }));
  for (const run of runs) await c.untilRun(run, ['completed', 'cancelled'], 60000);
  await fleet.stop();
  for (const [k, n] of most) assert.ok(n <= LIMIT, `${k}: ${n} at a time`);
  assert.ok(Math.max(...most.values()) > 1, 'nothing ran beside anything: the test is void');
  assert.equal(await sql(a, 'SELECT count(*) FROM lanes WHERE admitted <> 0 OR waiting <> 0'), '0', 'a slot was lost');
});

test('188 236 runs of one actor follow one another over all nodes, and stay with their worker', onPg, async () => {
  await a.register('cl-actor', 'cl-actor.go', { actorKey: 'who' });
  const running = new Map(), workers = new Map();
  const fleet = await Fleet.start(nodes, 'cl-actor', ['cl-actor'], async (job, worker) => {
    const { who } = job.event.data;
    if (running.has(who)) fleet.recorder.faults.push(`${job.run_id} beside ${running.get(who)}`);
    running.set(who, job.run_id);
    workers.set(who, (workers.get(who) ?? new Set()).add(worker.id));
    await new Promise((resolve) => setTimeout(resolve, 3));
    running.delete(who);
    return completed(1);
  });
  const runs = await times(60, (i) => emit(on(i), 'cl-actor.go', { who: `w${i % 7}` }));
  await ended(fleet, runs, 1);
  assert.equal(workers.size, 7);
  for (const [who, ids] of workers) assert.equal(ids.size, 1, `${who}: ${[...ids]}`);
});

// ---- push --------------------------------------------------------------------------------------------

const endpoints = [];
after(() => { for (const e of endpoints) e.close(); });

/** An endpoint; answer(body, response, call) returns the JSON to send, or undefined to send nothing. */
async function endpoint(answer) {
  const e = { calls: [], recorder: new Recorder() };
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (d) => chunks.push(d));
    request.on('end', async () => {
      const call = { body: JSON.parse(Buffer.concat(chunks)), at: Date.now() };
      e.calls.push(call);
      const fence = `request ${e.calls.length}`;
      e.recorder.begin(call.body.run_id, fence);
      call.over = () => e.recorder.end(call.body.run_id, fence);
      call.answer = (out) => {
        call.over();
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(out));
      };
      response.on('close', call.over);
      const out = await answer(call.body, response, call);
      if (out !== undefined && !response.writableEnded) call.answer(out);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  e.url = `http://127.0.0.1:${server.address().port}/api`;
  e.close = () => { server.closeAllConnections(); server.close(); };
  endpoints.push(e);
  return e;
}
const pushed = async (node, id, url, extra = {}) => ok(await node.rpc('RegisterFunction', { id, triggers: [{ event: `${id}.go` }], endpointUrl: url,
  retry: { maxAttempts: 1 }, ...extra }));
const breaker = async (node, id) => ok(await node.rest('GET', '/circuit-breakers')).circuit_breakers.find((x) => x.key.startsWith(`${id}|`));
/** How many nodes hold claims of the function. */
const holders = async (id) => Number(await sql(b, `SELECT count(DISTINCT q.worker) FROM queue q JOIN functions f ON f.key = q.fn WHERE f.id = '${id}' AND q.state = 1`));
/** Eight runs, each of which is sent before the next one is made: mostly by the node that made it. */
async function oneByOne(node, id, e) {
  const runs = [];
  for (let i = 1; i <= 8; i++) {
    runs.push(await emit(node, `${id}.go`));
    await until('the request', () => e.calls.length === i);
  }
  return runs;
}
const done = (result) => ({ status: 'completed', result, steps: [] });

test('148 failures on several nodes at once all count, and the state is the same everywhere', onPg, async () => {
  let together = 0;
  for (let round = 0; round < 8 || (!together && round < 40); round++) {
    const id = `cl-fail-${round}`;
    let open;
    const gate = new Promise((resolve) => (open = resolve));
    const e = await endpoint(async (body, response) => { await gate; response.statusCode = 500; return {}; });
    await pushed(a, id, e.url);
    for (const node of nodes) // else the first to look takes all
      await until('the function on every node', async () => (await node.rpc('GetFunction', { id })).status === 200);
    const runs = await times(3, (i) => emit(on(i), `${id}.go`));
    await until('three requests', () => e.calls.length === 3);
    together += (await holders(id)) > 1;
    open();
    for (const run of runs) await c.untilRun(run, 'failed');
    for (const node of nodes) assert.deepEqual((({ state, failures }) => [state, failures])(await breaker(node, id)), ['closed', 3]);
  }
  assert.ok(together > 0, 'one node sent everything: the test is void');
});

test('148 an open breaker is open on all nodes, one of them probes, and a reset is known to all', onPg, async () => {
  let broken = true, hold;
  const e = await endpoint(async (body, response, call) => {
    if (broken) { response.statusCode = 503; return {}; }
    if (!hold) await new Promise((resolve) => (hold = resolve));
    return done('ok');
  });
  await pushed(a, 'cl-open', e.url);
  for (let i = 0; i < 5; i++) await c.untilRun(await emit(on(i), 'cl-open.go'), 'failed');
  const seen = await Promise.all(nodes.map((n) => breaker(n, 'cl-open')));
  assert.deepEqual([seen[0].state, seen[0].failures], ['open', 5]);
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[2], seen[0]);
  broken = false;
  const runs = await times(9, (i) => emit(on(i), 'cl-open.go'));
  await until('the probe', () => hold);
  await until('half-open on all', async () => (await Promise.all(nodes.map((n) => breaker(n, 'cl-open')))).every((x) => x.state === 'half-open'));
  assert.equal(e.calls.length, 6, 'one probe');
  hold();
  for (const run of runs) await b.untilRun(run, 'completed');
  for (const node of nodes) assert.equal((await breaker(node, 'cl-open')).state, 'closed');
  e.recorder.check();

  broken = true;
  for (let i = 0; i < 5; i++) await c.untilRun(await emit(on(i), 'cl-open.go'), 'failed');
  broken = false;
  const key = encodeURIComponent((await breaker(b, 'cl-open')).key);
  const queued = await emit(a, 'cl-open.go');
  ok(await b.rest('POST', `/circuit-breakers/${key}/reset`));
  for (const node of nodes) assert.deepEqual((({ state, failures }) => [state, failures])(await breaker(node, 'cl-open')), ['closed', 0]);
  await c.untilRun(queued, 'completed');
});

test('234 236 what a killed node had sent is sent by another after the stale threshold', onPg, async (t) => {
  const [node] = await startNodes(1, ENV, { pg: a.pg, flags: ['--node-id', 'killed'] });
  let killed = false;
  const e = await endpoint((body, response, call) => {
    if (killed) return done('second');
    response.on('close', () => (call.lost = !response.writableEnded));
    return undefined;
  });
  await pushed(node, 'cl-kill', e.url);
  const runs = await oneByOne(node, 'cl-kill', e);
  const first = [...e.calls];
  killed = true;
  node.child.kill('SIGKILL');
  await node.exited;
  await until('its requests to be lost', () => first.some((x) => x.lost));
  for (const call of first) if (!call.lost) call.answer(done('first')); // another node had it
  let lost = 0;
  for (const run of runs) {
    const { output } = await a.untilRun(run, 'completed');
    const own = e.calls.filter((x) => x.body.run_id === run);
    assert.equal(own.length, output === 'second' ? 2 : 1, 'a lost one is sent once more');
    if (output === 'first') continue;
    lost++;
    assert.ok(own[1].at - own[0].at > STALE / 2, 'not before the threshold'); // we hear of requests late
  }
  t.diagnostic(`${lost} of 8 requests were lost with their node`);
  assert.ok(lost > 0, 'it had sent none: the test is void');
  e.recorder.check();
});

test('233 236 runs that a killed node parked are woken by the others, once', onPg, async () => {
  const [node] = await startNodes(1, ENV, { pg: a.pg, flags: ['--node-id', 'gone'] });
  await a.register('cl-gone', 'cl-gone.go');
  const handle = (job) => of(job, 'nap') ? completed(1)
    : yielded(job, 'nap', { type: 'sleep', until: new Date(Date.now() + 1500).toISOString() });
  const recorder = new Recorder();
  const there = await Fleet.start([node], 'cl-gone-there', ['cl-gone'], handle, { recorder, slots: 20 });
  const runs = await times(20, () => emit(node, 'cl-gone.go'));
  for (const run of runs) await a.untilRun(run, ['paused', 'pending', 'completed']);
  await there.stop();
  node.child.kill('SIGKILL');
  await node.exited;
  await ended(await Fleet.start(nodes, 'cl-gone', ['cl-gone'], handle, { recorder }), runs, 2);
});

test('234 236 a node that was stopped for longer than the threshold reports too late', onPg, async (t) => {
  const [node] = await startNodes(1, { ...ENV, IRONFLOW_LEASE_CLAIM_MS: '1000', IRONFLOW_LEASE_MS: '1000', IRONFLOW_GRACE_MS: '200' }, { pg: a.pg, flags: ['--node-id', 'stopped'] });
  try {
    const first = [];
    const e = await endpoint((body, response, call) => {
      if (first.length === 8) return done('second');
      first.push(call);
      return undefined;
    });
    await pushed(node, 'cl-stop', e.url);
    await node.register('cl-stop-pull', 'cl-stop-pull.go');
    const w = await node.worker('w-cl-stop', ['cl-stop-pull']);
    const pulled = await emit(node, 'cl-stop-pull.go'), old = await w.take();
    const runs = await oneByOne(node, 'cl-stop', e);
    await halt(node);
    for (const call of first) call.answer(done('first')); // of what the node had sent nobody reads it
    const other = await b.worker('w2-cl-stop', ['cl-stop-pull']), job = await other.take();
    assert.equal(job.run_id, pulled);
    const outputs = new Map();
    for (const run of runs) outputs.set(run, (await a.untilRun(run, 'completed')).output);
    const again = [...outputs.values()].filter((x) => x === 'second').length;
    t.diagnostic(`${again} of 8 requests were those of the stopped node`);
    assert.ok(again > 0, 'it had sent none: the test is void');
    node.child.kill('SIGCONT');
    assert.equal((await w.update(old, completed('late'))).body.code, 'STALE_EXECUTION');
    ok(await other.update(job, completed('in time')));
    const more = await emit(node, 'cl-stop.go'); // it works on
    await b.untilRun(more, 'completed');
    for (const run of runs) assert.equal((await node.getRun(run)).output, outputs.get(run));
    assert.equal((await node.getRun(pulled)).output, 'in time');
    assert.equal(e.calls.length, 8 + again + 1, 'those were sent once more, and the last one');
    e.recorder.check();
  } finally {
    await stopNodes([node]);
  }
});

// ---- dead letters ------------------------------------------------------------------------------------

test('228 what the relay is refused ten times is dead, once, with its error; what is behind it goes on', onPg, async () => {
  const trio = await startNodes(3, { ...ENV, IRONFLOW_REFUSED_EVENTS: 'poison.', IRONFLOW_OUTBOX_BACKOFF_MS: '1' });
  try {
    const stored = await times(12, async (i) => ok(await trio[i % 3].rest('POST', '/events',
      { name: i % 2 ? 'poison.pill' : 'fine.pill', data: { i } })).event_id);
    const bad = stored.filter((_, i) => i % 2), fine = stored.filter((_, i) => !(i % 2));
    const letters = await until('the dead letters', async () => {
      const { items } = ok(await trio[1].rest('GET', '/outbox/dead-letter?env=default'));
      return items.length >= bad.length && items;
    }, 60000);
    assert.deepEqual(letters.map((x) => x.event_id).sort(), [...bad].sort());
    for (const x of letters) {
      assert.equal(x.attempts, 10);
      assert.match(x.last_error, /refused/);
      assert.ok(x.dead_at);
    }
    const seqs = await Promise.all(fine.map((id) => until('a position', async () => ok(await trio[2].rest('GET', `/events/${id}`)).nats_seq)));
    assert.equal(new Set(seqs).size, fine.length, 'each position once');
    for (const id of bad) assert.equal(ok(await trio[0].rest('GET', `/events/${id}`)).nats_seq ?? null, null);
    const answers = await Promise.all(trio.map((node) => node.rest('POST', `/outbox/dead-letter/${bad[0]}/requeue`)));
    assert.deepEqual(answers.map((x) => x.status).sort(), [200, 404, 404], 'requeued once');
    await until('it to be dead again', async () => ok(await trio[1].rest('GET', '/outbox/dead-letter?env=default')).items.length === bad.length, 60000);
  } finally {
    await stopNodes(trio);
  }
});

// ---- the database, and the names of nodes ------------------------------------------------------------

/** The slots in which a server makes the ids of events: bits 12 to 21. */
async function slotsOf(node) {
  const ids = await times(24, async () => ok(await node.rest('POST', '/events', { name: 'slot.look' })).event_id);
  const number = (id) => [...id.slice('evt_'.length)].reduce((n, x) => n * 32n + BigInt('0123456789abcdefghjkmnpqrstvwxyz'.indexOf(x)), 0n);
  return ids.map((id) => Number(number(id) >> 12n & 1023n));
}

test('two servers that live never make ids in the same slot, however many were started between them', onPg, async () => {
  const [first] = await startNodes(1, ENV);
  const all = [first];
  try {
    for (let round = 0; round < 2; round++) { // the second time after its connections were cut
      await sql(first, "UPDATE meta SET value = '256' WHERE name = 'nodes'");
      all.push(...await startNodes(1, ENV, { pg: first.pg, flags: ['--node-id', `late-${round}`] }));
      const slots = await Promise.all(all.map(slotsOf));
      for (const [i, mine] of slots.entries())
        for (const others of slots.slice(i + 1)) assert.ok(!mine.some((x) => others.includes(x)), `${slots.map((x) => [...new Set(x)])}`);
      await sql(first, 'SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()');
      for (const node of all) await until('the line to come back', () => node.stderr.includes('signals from other servers again'));
    }
  } finally {
    await stopNodes(all);
  }
});

test('a second server of the same name does not take what the first has sent', onPg, async () => {
  const e = await endpoint((body, response, call) => { call.held = true; return undefined; });
  const patient = { ...ENV, IRONFLOW_PUSH_TIMEOUT_MS: '45000', IRONFLOW_PUSH_STALE_MS: '60000' };
  const pair = await startNodes(1, patient, { flags: ['--node-id', 'copied'] });
  try {
    await pushed(pair[0], 'cl-twin', e.url);
    const run = await emit(pair[0], 'cl-twin.go');
    await until('the request', () => e.calls[0]?.held);
    pair.push(...await startNodes(1, patient, { pg: pair[0].pg, flags: ['--node-id', 'copied'] }));
    const other = await endpoint(() => done('other'));
    await pushed(pair[1], 'cl-twin-other', other.url);
    await pair[1].untilRun(await emit(pair[1], 'cl-twin-other.go'), 'completed'); // it has recovered what it would
    e.calls[0].answer(done('first'));
    assert.equal((await pair[1].untilRun(run, 'completed')).output, 'first');
    assert.equal(e.calls.length, 1);
    e.recorder.check();
  } finally {
    await stopNodes(pair);
  }
});

test('a server that is stopped inside a transaction does not hold up the others', onPg, async () => {
  const [node] = await startNodes(1, ENV, { pg: a.pg, flags: ['--node-id', 'halted'] });
  try {
    await a.register('cl-halt', 'cl-halt.go');
    const w = await node.worker('w-cl-halt', ['cl-halt']);
    const run = await emit(node, 'cl-halt.go'), job = await w.take();
    const lock = await holdLock(a, 'log');
    const report = w.update(job, completed('first')).catch((e) => ({ status: 0, text: String(e) }));
    await until('the report to wait for the lock', async () => (await sql(a, `SELECT count(*) FROM pg_locks x JOIN pg_locks has USING (pid)
      WHERE NOT x.granted AND x.relation = 'log'::regclass AND has.granted AND has.relation = 'runs'::regclass AND has.mode LIKE 'Row%'`)) !== '0');
    await halt(node); // it has the row of the run
    await lock.release();
    const cancelled = await b.rest('POST', `/runs/${run}/cancel`, {});
    assert.equal(cancelled.status, 200, cancelled.text);
    assert.equal((await c.getRun(run)).status, 'cancelled');
    node.child.kill('SIGCONT');
    const late = await report;
    assert.ok([409, 503, 0].includes(late.status), `${late.status} ${late.text}`);
    assert.equal((await node.getRun(run)).status, 'cancelled');
  } finally {
    await stopNodes([node]);
  }
});

test('what the database refuses is told by a number, and by its text in the log only', onPg, async () => {
  const [node] = await startNodes(1, ENV);
  const seen = [];
  try {
    await node.register('cl-broken', 'cl-broken.go');
    const e = await endpoint(() => done('x'));
    await pushed(node, 'cl-broken-push', e.url);
    const w = await connect(node, 'w-cl-broken', ['cl-broken']);
    await sql(node, 'ALTER TABLE events RENAME COLUMN data TO data_gone');
    seen.push(await node.rest('GET', '/events?name=x'), await node.rest('POST', '/events', { name: 'cl-broken.go' }),
      await node.rpc('Trigger', { event: 'cl-broken.go', data: {} }));
    await sql(node, 'ALTER TABLE events RENAME COLUMN data_gone TO data');
    await sql(node, 'ALTER TABLE queue RENAME COLUMN fn TO fn_gone');
    await w.closed;
    seen.push({ status: 500, text: JSON.stringify(w.end) });
    await sql(node, 'ALTER TABLE queue RENAME COLUMN fn_gone TO fn');
    for (const { status, text } of seen) {
      assert.equal(status, 500, text);
      assert.match(text, /\(42703\)/, 'a number');
      assert.doesNotMatch(text, /\bdata\b|column|relation|\bfn\b/i, 'no word of the schema');
    }
    assert.match(node.stderr, /42703.*column.*data/);
    await node.untilRun(await emit(node, 'cl-broken-push.go'), 'completed');
  } finally {
    await stopNodes([node]);
  }
});

test('236 a PostgreSQL that crashes, restarts or cuts its connections under load is survived by all nodes', onPg, async (t) => {
  const pg = await Cluster.start(t);
  const trio = await startNodes(3, ENV, { pg: pg.url });
  try {
    await trio[0].register('cl-pg', 'cl-pg.go');
    const outputs = new Map(), refused = [0, 0, 0], acked = [], odd = [];
    const fleet = await Fleet.start(trio, 'cl-pg', ['cl-pg'], (job) => {
      if (job.event.data.nap && !of(job, 'nap')) return yielded(job, 'nap', { type: 'sleep', until: new Date(Date.now() + 30).toISOString() });
      outputs.set(job.run_id, job.event.data.i);
      return completed(job.event.data.i);
    });
    let going = true;
    const loops = trio.map(async (node, k) => {
      for (let i = 0; going; i++) {
        const answer = await node.rest('POST', '/events', { name: 'cl-pg.go', data: { i, nap: i % 4 === 0 } });
        if (answer.status === 200) acked.push(answer.body.run_ids[0]);
        else if (answer.status === 503) refused[k]++;
        else odd.push(`${answer.status} ${answer.text}`);
      }
    });
    const on = async (n) => { const from = acked.length; await until('the load to go on', () => acked.length >= from + n, 60000); };
    await on(60);
    assert.ok(Number(await pg.cut()) > 0);
    await on(60);
    await pg.down();
    await until('every node to say 503', async () => (await Promise.all(trio.map((n) => n.rest('GET', '/ready')))).every((r) => r.status === 503));
    await until('every node to refuse', () => refused.every((n) => n > 0));
    await pg.up();
    await until('every node to be ready', async () => (await Promise.all(trio.map((n) => n.rest('GET', '/ready')))).every((r) => r.status === 200));
    await on(60);
    await pg.restart();
    await on(60);
    going = false;
    await Promise.all(loops);
    assert.deepEqual(odd, []);
    for (const run of acked) await trio[1].untilRun(run, 'completed', 60000);
    await fleet.stop();
    for (const run of acked) assert.equal((await trio[2].getRun(run)).output, outputs.get(run));
    t.diagnostic(`${acked.length} runs, refused: ${refused}`);
  } finally {
    await stopNodes(trio);
  }
});

test('236 nodes are killed and come back one after the other under load: nothing is lost, nothing runs twice at a time', onPg, async (t) => {
  const trio = await startNodes(3, { ...ENV, IRONFLOW_LEASE_CLAIM_MS: '1000', IRONFLOW_GRACE_MS: '200' });
  try {
    const fails = new Set(), acked = [], odd = [];
    const e = await endpoint((body) => done(body.event.data.i));
    await trio[0].register('cl-chaos', 'cl-chaos.go', { concurrency: { limit: 4, key: 'k' }, retry: { maxAttempts: 3, initialDelayMs: 10 } });
    await trio[1].register('cl-chaos-child');
    await pushed(trio[2], 'cl-chaos-push', e.url, { retry: { maxAttempts: 5, initialDelayMs: 10 } });
    const fleet = await Fleet.start(trio, 'cl-chaos', ['cl-chaos', 'cl-chaos-child'], (job) => {
      if (job.function_id === 'cl-chaos-child') return completed({ of: job.event.data.i });
      const { i } = job.event.data;
      if (i % 5 === 1 && !of(job, 'nap')) return yielded(job, 'nap', { type: 'sleep', until: new Date(Date.now() + 40).toISOString() });
      if (i % 5 === 2 && !of(job, 'cl-chaos-child')) return yielded(job, 'cl-chaos-child', { type: 'invoke_function', function_id: 'cl-chaos-child', input: { i } });
      if (i % 5 === 3 && !fails.has(job.run_id) && fails.add(job.run_id)) return { status: 'failed', error: { message: 'x', retryable: true } };
      return completed(i);
    });
    let going = true;
    const loops = trio.map(async (node, k) => {
      for (let i = k; going; i += 3) {
        const name = i % 4 === 0 ? 'cl-chaos-push.go' : 'cl-chaos.go';
        const answer = await node.rest('POST', '/events', { name, data: { i, k: `k${i % 5}` } }).catch(() => ({ status: 0 }));
        if (answer.status === 200) acked.push(answer.body.run_ids[0]);
        else if (![503, 0].includes(answer.status)) odd.push(`${answer.status} ${answer.text}`);
        await new Promise((resolve) => setTimeout(resolve, answer.status === 200 ? 5 : 50));
      }
    });
    for (let round = 0; round < 6; round++) {
      const from = acked.length;
      await until('the load to go on', () => acked.length >= from + 40, 60000);
      await trio[round % 3].crash();
    }
    going = false;
    await Promise.all(loops);
    assert.deepEqual(odd, []);
    for (const run of acked) await trio[1].untilRun(run, 'completed', 60000);
    await until('those whose emit was not answered to end', async () => (await sql(trio[0], 'SELECT count(*) FROM queue')) === '0', 60000);
    await fleet.stop();
    e.recorder.check();
    assert.equal(await sql(trio[0], 'SELECT count(*) FROM lanes WHERE admitted <> 0 OR waiting <> 0'), '0', 'a slot was lost');
    t.diagnostic(`${acked.length} runs, ${[...fleet.recorder.seqs.values()].flat().length} executions, ${e.calls.length} pushes`);
  } finally {
    await stopNodes(trio);
  }
});
