// Workers on streams that misbehave, vanish or are many, and what reaches them from outside.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { Server, until } from './lib.mjs';
import { Stream, connect, envelope, fence } from '../lib/stream.mjs';
import { residentMiB } from '../lib/net.mjs';

let s;
before(async () => { s = await Server.start(); });
after(async () => { await s.stop(); });

const emitOn = async (server, name, data = {}) =>
  (await server.rest('POST', '/events', { name, data })).body.run_ids[0];
const emit = (name, data) => emitOn(s, name, data);

test('a pause for injection reaches the worker at once, with the steps of its last report kept', async () => {
  await s.register('sf-pause', 'sf.pause');
  const w = await connect(s, 'w-sf-pause', ['sf-pause']);
  const run = await emit('sf.pause');
  const job = await w.next('job');
  w.send({ jobAck: fence(job) });
  await until('the ack', async () => (await s.getRun(run)).worker_id);
  assert.equal((await s.rpc('PauseRun', { runId: run })).body.status, 'pause_requested');
  const step = (n) => ({ stepCompleted: { ...fence(job), stepId: `${run}:${n}:0`, output: { n } } });
  w.send(step('one'));
  assert.equal((await w.next('stepAck')).accepted, true);
  assert.deepEqual(await w.next('cancel', 15000), { jobId: job.jobId, reason: 'pause-for-injection' });
  w.send(step('two'));
  assert.equal((await w.next('stepAck')).accepted ?? false, false);
  await s.rpc('InjectStepOutput', { runId: run, stepId: `${run}:one:0`, newOutput: '{"n":"other"}' });
  assert.equal((await s.rest('POST', '/runs/resume', { run_id: run })).status, 200);
  const again = await w.next('job');
  assert.deepEqual(again.completedSteps.map((x) => x.output), [{ n: 'other' }]);
  w.send({ jobCompleted: fence(again) });
  await s.untilRun(run, 'completed');
  await w.close();
});

test('113 a cancel reaches a worker that reported with a wrong token before', async () => {
  await s.register('sf-token', 'sf.token');
  const w = await connect(s, 'w-sf-token', ['sf-token'], { maxConcurrentJobs: 1 });
  const run = await emit('sf.token');
  const job = await w.next('job');
  const wrong = { ...fence(job), leaseToken: '0123456789abcdef' };
  w.send({ jobCompleted: wrong }, { jobFailed: wrong }, { jobNack: wrong },
    { stepStarted: fence(job) }, { stepCompleted: { ...fence(job), stepId: `${run}:x:0`, output: {} } });
  const ack = await w.next('stepAck');
  assert.equal(ack.accepted, true, ack.error);
  await s.rest('POST', `/runs/${run}/cancel`, {});
  assert.deepEqual(await w.next('cancel', 15000), { jobId: job.jobId, reason: 'user' });
  await w.close();
});

test('answers that come twice, late or for the job of another change nothing', async () => {
  await s.register('sf-twice', 'sf.twice');
  const one = await connect(s, 'w-sf-one', ['sf-twice'], { maxConcurrentJobs: 1 });
  const run = await emit('sf.twice');
  const job = await one.next('job');
  const two = await connect(s, 'w-sf-two', ['sf-twice'], { maxConcurrentJobs: 1 });
  const other = await emit('sf.twice');
  const theirs = await two.next('job');
  assert.equal(theirs.runId, other);
  // neither its own token nor a made-up one opens another's job
  one.send({ jobCompleted: { ...fence(theirs), leaseToken: job.leaseToken, output: { stolen: 1 } } },
    { jobFailed: { ...fence(theirs), leaseToken: '00000000deadbeef', error: { message: 'stolen' } } },
    { jobCompleted: { ...fence(job), output: { first: 1 } } },
    { jobCompleted: { ...fence(job), output: { second: 1 } } },
    { jobFailed: { ...fence(job), error: { message: 'third' } } },
    { jobAck: fence(job) }, { stepCompleted: { ...fence(job), stepId: `${run}:late:0`, output: {} } });
  const refused = await one.next('stepAck');
  assert.equal(refused.accepted ?? false, false);
  assert.equal((await s.getRun(other)).status, 'running');
  two.send({ jobCompleted: { ...fence(theirs), output: { own: 1 } } });
  assert.deepEqual((await s.untilRun(other, 'completed')).output, { own: 1 });
  assert.deepEqual((await s.untilRun(run, 'completed')).output, { first: 1 });
  assert.equal((await s.rest('GET', `/runs/${run}/steps`)).body.steps.length, 0);
  const third = await emit('sf.twice');
  const next = await Promise.race([one.next('job'), two.next('job')]); // both are still served
  assert.equal(next.runId, third);
  await one.close();
  await two.close();
});

test('96 118 a worker that acks and vanishes loses the job with its lease, and its late report', async () => {
  const t = await Server.start({ env: { IRONFLOW_LEASE_MS: '3000', IRONFLOW_GRACE_MS: '300' } });
  try {
    await t.register('sf-gone', 'sf.gone');
    const w = await connect(t, 'w-sf-gone', ['sf-gone']);
    const run = await emitOn(t, 'sf.gone');
    const job = await w.next('job');
    w.send({ jobAck: fence(job) }, { stepCompleted: { ...fence(job), stepId: `${run}:one:0`, output: { n: 1 } } });
    await w.next('stepAck');
    w.session.destroy(); // no GOAWAY, no RST_STREAM
    const other = await connect(t, 'w-sf-other', ['sf-gone']);
    const again = await other.next('job', 60000);
    assert.equal(again.runId, run);
    assert.ok(Number(again.executionSeq) > Number(job.executionSeq));
    assert.deepEqual(again.completedSteps.map((x) => x.output), [{ n: 1 }]);
    const back = await connect(t, 'w-sf-gone', ['sf-none']);
    back.send({ jobCompleted: { ...fence(job), output: { late: 1 } } },
      { stepCompleted: { ...fence(job), stepId: `${run}:two:0`, output: {} } });
    assert.equal((await back.next('stepAck')).accepted ?? false, false);
    other.send({ jobCompleted: { ...fence(again), output: { other: 1 } } });
    assert.deepEqual((await t.untilRun(run, 'completed')).output, { other: 1 });
    await back.close();
    await other.close();
  } finally { await t.stop(); }
});

test('a worker that lost its job has room for the next one', async () => {
  const t = await Server.start({ env: { IRONFLOW_LEASE_MS: '1200', IRONFLOW_GRACE_MS: '300' } });
  try {
    await t.register('sf-room', 'sf.room');
    const w = await connect(t, 'w-sf-room', ['sf-room'], { maxConcurrentJobs: 1 });
    const run = await emitOn(t, 'sf.room');
    const first = await w.next('job'); // never acknowledged, never answered, never renewed
    w.send({ jobAck: fence(first) });
    const again = await w.next('job', 60000);
    assert.equal(again.runId, run);
    w.send({ jobCompleted: { ...fence(first), output: { old: 1 } } }, { jobCompleted: { ...fence(again), output: { ok: 1 } } });
    assert.deepEqual((await t.untilRun(run, 'completed')).output, { ok: 1 });
    await w.close();
  } finally { await t.stop(); }
});

test('Connect-Timeout-Ms ends a stream with deadline_exceeded, its jobs stay', async () => {
  await s.register('sf-time', 'sf.time');
  const w = await connect(s, 'w-sf-time', ['sf-time'], {}, { headers: { 'connect-timeout-ms': '6000' } });
  const run = await emit('sf.time');
  const job = await w.next('job');
  w.send({ jobAck: fence(job) });
  await w.closed;
  assert.equal(w.end?.error?.code, 'deadline_exceeded', JSON.stringify([w.end, w.error?.message]));
  const back = await connect(s, 'w-sf-time', ['sf-time']);
  back.send({ jobCompleted: fence(job) });
  await s.untilRun(run, 'completed');
  await back.close();
  for (const [value, code] of [['0', 'deadline_exceeded'], ['-1', 'invalid_argument'], ['12345678901', 'invalid_argument'],
    ['soon', 'invalid_argument']]) {
    const x = new Stream(s, { headers: { 'connect-timeout-ms': value } });
    await x.closed;
    assert.equal(x.end?.error?.code, code, value);
  }
  const silent = new Stream(s, { headers: { 'connect-timeout-ms': '200' } }); // registers never
  await silent.closed;
  assert.equal(silent.end.error.code, 'deadline_exceeded');
  const long = await connect(s, 'w-sf-long', ['sf-time'], {}, { headers: { 'connect-timeout-ms': '9999999999' } });
  await long.close();
});

test('a wait keeps its payload for those who look at the run; a malformed one is refused', async () => {
  await s.register('sf-payload', 'sf.payload');
  const w = await connect(s, 'w-sf-payload', ['sf-payload']);
  const run = await emit('sf.payload');
  const job = await w.next('job');
  const wait = (payload) => w.send({ stepYielded: { ...fence(job), stepId: `${run}:ok:0`, waitEvent: { eventName: 'sf.ok',
    timeout: new Date(Date.now() + 60000).toISOString(), payloadJson: Buffer.from(payload).toString('base64') } } });
  wait('{"half":');
  w.send({ stepCompleted: { ...fence(job), stepId: `${run}:one:0`, output: {} } });
  await w.next('stepAck');
  assert.equal((await s.getRun(run)).status, 'running');
  wait('{"amount":1.50,"by":"ann"}');
  await s.untilRun(run, 'paused');
  const text = (await s.rest('GET', `/runs/${run}/steps`)).text;
  assert.match(text, /"payload":\{"amount":1\.50,"by":"ann"\}/);
  await emit('sf.ok').catch(() => {});
  w.send({ jobCompleted: fence(await w.next('job')) });
  await s.untilRun(run, 'completed');
  await w.close();
  const poll = await s.worker('w-sf-poll', ['sf-payload']); // the same over REST
  const other = await emit('sf.payload');
  const update = { status: 'yielded', yield: { step_id: `${other}:ok:0`, type: 'wait_for_event',
    event_filter: { event: 'sf.ok', payload: ['x'] } } };
  assert.equal((await poll.update(await poll.take(), update)).status, 200);
  assert.match((await s.rest('GET', `/runs/${other}/steps`)).text, /"payload":\["x"\]/);
});

test('104 119 a key that expires ends its streams: one that speaks, one that waits, one that is full', async () => {
  const t = await Server.start({ dev: false, env: { IRONFLOW_POLL_HOLD_MS: '2000', IRONFLOW_LEASE_CLAIM_MS: '600000' } });
  try {
    await t.register('sf-key', 'sf.key');
    t.child.kill('SIGTERM');
    await t.exited;
    t.ended = undefined;
    const end = Date.now() + 15000;
    await t.sql(`UPDATE api_keys SET expires_at = ${end}`);
    await t.launch();
    const full = await connect(t, 'w-sf-full', ['sf-key'], { maxConcurrentJobs: 1 });
    await emitOn(t, 'sf.key');
    const job = await full.next('job');
    const idle = await connect(t, 'w-sf-idle', ['sf-none']);
    const speaks = await connect(t, 'w-sf-speaks', ['sf-none']);
    await until('all streams to end', () => {
      if (!speaks.end) speaks.send({ heartbeat: { workerId: 'w-sf-speaks' } });
      return speaks.end && idle.end && full.end;
    }, 60000);
    for (const w of [speaks, idle, full]) assert.equal(w.end.error.code, 'unauthenticated');
    assert.ok(Date.now() >= end);
    assert.ok(job.leaseToken && full.messages.length === 0);
  } finally { await t.stop(); }
});

test('a silent worker is forgotten and its stream ended, one that speaks is not', async () => {
  const t = await Server.start({ env: { IRONFLOW_WORKER_MS: '6000' } });
  try {
    await t.register('sf-silent', 'sf.silent');
    const silent = await connect(t, 'w-sf-silent', ['sf-other']);
    const speaks = await connect(t, 'w-sf-speaks', ['sf-silent']);
    await until('the silent one to be ended', () => {
      speaks.send({ heartbeat: { workerId: 'w-sf-speaks' } });
      return silent.end;
    }, 60000);
    assert.equal(silent.end.error.code, 'unavailable');
    assert.ok(!(await t.rest('GET', '/workers')).body.workers.some((x) => x.id === 'w-sf-silent'));
    const run = await emitOn(t, 'sf.silent');
    speaks.send({ jobCompleted: fence(await speaks.next('job')) });
    await t.untilRun(run, 'completed');
    await speaks.close();
  } finally { await t.stop(); }
});

test('max_concurrent_jobs is capped at 1000; 0 is the default', async () => {
  for (const [asked, shown] of [[2147483647, 1000], [1000, 1000], [0, 10]]) {
    const w = await connect(s, 'w-sf-cap', ['sf-cap'], { maxConcurrentJobs: asked });
    const row = (await s.rest('GET', '/workers')).body.workers.find((x) => x.id === 'w-sf-cap');
    assert.equal(row.max_concurrent, shown);
    await w.close();
  }
});

test('a flood of progress and of nonsense about foreign jobs: memory stays, others go on', async () => {
  await s.register('sf-flood', 'sf.flood');
  await s.register('sf-calm', 'sf.calm');
  const w = await connect(s, 'w-sf-flood', ['sf-flood']);
  const calm = await connect(s, 'w-sf-calm', ['sf-calm']);
  const run = await emit('sf.flood');
  const job = await w.next('job');
  const step = (i) => envelope(JSON.stringify({ stepCompleted: { ...fence(job), stepId: `${run}:s:${i % 50}`,
    output: { i: i % 50, text: 'z'.repeat(2000) } } }));
  const foreign = envelope(JSON.stringify({ jobCompleted: { ...fence(job), jobId: `${job.jobId}9`, output: {} } }));
  const block = Buffer.concat(Array.from({ length: 500 }, (_, i) => Buffer.concat([step(i), foreign])));
  const before = residentMiB(s.child.pid);
  const wrote = (async () => {
    for (let i = 0; i < 20; i++) // 10,000 steps, 10,000 reports, 25 MiB
      if (!w.stream.write(block)) await new Promise((resolve) => w.stream.once('drain', resolve));
  })();
  for (let i = 0; i < 5; i++) {
    const quick = await emit('sf.calm');
    calm.send({ jobCompleted: fence(await calm.next('job')) });
    await s.untilRun(quick, 'completed');
  }
  await wrote;
  w.send({ jobCompleted: fence(job) });
  await s.untilRun(run, 'completed', 120000);
  assert.equal((await s.rest('GET', `/runs/${run}/steps`)).body.steps.length, 50);
  await until('all acks', () => w.messages.filter((m) => m.stepAck).length === 10000, 60000);
  const grew = residentMiB(s.child.pid) - before;
  assert.ok(grew < 400, `grew by ${grew} MiB`);
  await w.close();
  await calm.close();
});

test('a worker that stops reading its answers is no longer read: memory stays', async () => {
  await s.register('sf-deaf', 'sf.deaf');
  const w = await connect(s, 'w-sf-deaf', ['sf-deaf']);
  w.stream.pause();
  const run = await emit('sf.deaf');
  await s.untilRun(run, 'running');
  const before = residentMiB(s.child.pid);
  // each message of 4 KiB is answered with its step id of 4 KiB
  const block = Buffer.concat(Array.from({ length: 64 }, () =>
    envelope(JSON.stringify({ stepCompleted: { jobId: 'job_x_1', leaseToken: 'x', stepId: 'y'.repeat(4000) } }))));
  let sent = 0, stuck = 0;
  while (sent < 256 * 1024 * 1024 && stuck < 20) {
    if (w.stream.writableLength < 4 * block.length) {
      w.stream.write(block);
      sent += block.length;
      stuck = 0;
    } else stuck++;
    await new Promise((resolve) => setTimeout(resolve, stuck > 0 ? 100 : 0));
  }
  const grew = residentMiB(s.child.pid) - before;
  assert.ok(sent < 128 * 1024 * 1024, `the server took ${sent >> 20} MiB of a worker that does not read`);
  assert.ok(grew < 400, `grew by ${grew} MiB after ${sent >> 20} MiB`);
  await w.close();
  const other = await connect(s, 'w-sf-hears', ['sf-deaf']);
  const next = await emit('sf.deaf');
  const job = await other.next('job');
  assert.equal(job.runId, next);
  other.send({ jobCompleted: fence(job) });
  await s.untilRun(next, 'completed');
  await other.close();
});

test('1,000 streams on four connections, a job each; then all are gone at once', async () => {
  await s.register('sf-many', 'sf.many');
  const sessions = Array.from({ length: 4 }, () => http2.connect(s.url));
  for (const session of sessions) session.setMaxListeners(0);
  const workers = [];
  for (let i = 0; i < 1000; i += 100)
    workers.push(...await Promise.all(Array.from({ length: 100 }, (_, k) =>
      connect(s, `w-mass-${i + k}`, ['sf-many'], { maxConcurrentJobs: 1 }, { session: sessions[k % 4] }))));
  const runs = [];
  for (let i = 0; i < 1000; i += 50) runs.push(...await Promise.all(Array.from({ length: 50 }, () => emit('sf.many'))));
  const jobs = await Promise.all(workers.map((w) => w.next('job', 120000)));
  assert.equal(new Set(jobs.map((j) => j.runId)).size, 1000);
  workers.forEach((w, i) => w.send({ jobCompleted: fence(jobs[i]) }));
  await until('all runs to end', async () => (await s.rest('GET', '/runs?function_id=sf-many&status=completed&limit=1')).body.total_count === 1000,
    120000);
  assert.equal((await s.rest('GET', '/workers')).body.workers.filter((w) => w.id.startsWith('w-mass-')).length, 1000);
  for (const session of sessions) session.destroy();
  await Promise.all(workers.map((w) => w.closed));
  await until('the workers to be gone', async () =>
    !(await s.rest('GET', '/workers')).body.workers.some((w) => w.id.startsWith('w-mass-')), 60000);
  assert.equal(runs.length, 1000);
});
