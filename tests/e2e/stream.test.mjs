// Workers on streams (engine-checklist 107 to 120): WorkerService/Connect over HTTP/2 with envelopes made by
// hand, in JSON and, with the few fields that matter, in binary.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { Server, until } from './lib.mjs';
import { PATH, Stream, connect, envelope, fence } from '../lib/stream.mjs';

let s;
before(async () => { s = await Server.start(); });
after(async () => { await s.stop(); });

const emit = async (name, data = {}) => (await s.rest('POST', '/events', { name, data })).body.run_ids[0];

test('107 108 110 registered comes first, an event leads to a job, its completion to the output', async () => {
  await s.register('st-first', 'st.first');
  const w = await connect(s, 'w-st-first', ['st-first']);
  assert.equal(w.status, 200);
  assert.equal(w.headers['content-type'], 'application/connect+json');
  const run = await emit('st.first', { a: 1 });
  const job = await w.next('job');
  assert.equal(job.runId, run);
  assert.equal(job.functionId, 'st-first');
  assert.equal(job.attempt, 1);
  assert.deepEqual(job.event.data, { a: 1 });
  assert.ok(job.event.id && job.event.timestamp && job.leaseToken && Number(job.executionSeq) >= 1);
  w.send({ jobAck: { ...fence(job), runId: run } }, { jobCompleted: { ...fence(job), output: { b: 2 } } });
  const done = await s.untilRun(run, 'completed');
  assert.deepEqual(done.output, { b: 2 });
  await w.close();
});

test('109 an ack without run id keeps the job for the lease of an acknowledged one', async () => {
  const t = await Server.start({ flags: [], env: { IRONFLOW_LEASE_CLAIM_MS: '3000' } });
  try {
    await t.register('st-ack', 'st.ack');
    const w = await connect(t, 'w-st-ack', ['st-ack']);
    const run = (await t.rest('POST', '/events', { name: 'st.ack', data: {} })).body.run_ids[0];
    const job = await w.next('job');
    w.send({ jobAck: fence(job) });
    const list = await until('the worker holds it', async () =>
      (await t.rest('GET', '/workers')).body.workers.find((x) => x.id === 'w-st-ack' && x.active_jobs === 1));
    assert.equal(list.transport, 'stream');
    const end = Date.now() + 4500;
    await until('longer than the lease of a claim', () => Date.now() > end);
    assert.equal(w.messages.length, 0, JSON.stringify(w.messages)); // it has not come again
    w.send({ jobCompleted: fence(job) });
    await t.untilRun(run, 'completed');
    await w.close();
  } finally { await t.stop(); }
});

test('111 a failure with compensation steps stores them', async () => {
  await s.register('st-comp', 'st.comp');
  const w = await connect(s, 'w-st-comp', ['st-comp']);
  const run = await emit('st.comp');
  const job = await w.next('job');
  w.send({ jobAck: fence(job) }, { jobFailed: { ...fence(job), error: { message: 'no', code: 'X', retryable: false },
    steps: [
      { id: `${run}:pay:0`, name: 'pay', type: 'invoke', status: 'completed', output: { ok: true }, durationMs: 3 },
      { id: `${run}:compensate:pay:0`, name: 'compensate:pay', type: 'compensate', status: 'completed',
        compensationFor: 'pay', durationMs: 4 },
    ] } });
  const failed = await s.untilRun(run, 'failed');
  assert.equal(failed.error.message, 'no');
  assert.equal(failed.error.code, 'X');
  const steps = (await s.rest('GET', `/runs/${run}/steps`)).body.steps;
  assert.deepEqual(steps.map((x) => [x.name, x.step_type, x.status]),
    [['pay', 'invoke', 'completed'], ['compensate:pay', 'compensate', 'completed']]);
  assert.equal(steps[1].compensation_for, 'pay');
  await w.close();
});

test('a retryable failure is tried again on the same stream; YIELD_ codes are not', async () => {
  await s.register('st-retry', 'st.retry', { retry: { maxAttempts: 2, initialDelayMs: 10 } });
  const w = await connect(s, 'w-st-retry', ['st-retry']);
  const run = await emit('st.retry');
  const one = await w.next('job');
  w.send({ jobFailed: { ...fence(one), error: { message: 'again', retryable: true } } });
  const two = await w.next('job');
  assert.equal(two.attempt, 2);
  w.send({ jobCompleted: fence(two) });
  await s.untilRun(run, 'completed');
  const other = await emit('st.retry');
  const job = await w.next('job');
  w.send({ jobFailed: { ...fence(job), error: { message: 'old', code: 'YIELD_INVOKE_FUNCTION', retryable: true } } });
  assert.equal((await s.untilRun(other, 'failed')).attempt, 1);
  await w.close();
});

test('112 a wrong token changes nothing, an empty one ends the stream, one without a lease does not', async () => {
  await s.register('st-token', 'st.token');
  const w = await connect(s, 'w-st-token', ['st-token']);
  const run = await emit('st.token');
  const job = await w.next('job');
  w.send({ jobAck: fence(job) }, { jobCompleted: { ...fence(job), leaseToken: '0123456789abcdef', output: { bad: 1 } } },
    { stepCompleted: { ...fence(job), leaseToken: '0123456789abcdef', stepId: `${run}:x:0`, output: {} } });
  const refused = await w.next('stepAck');
  assert.equal(refused.accepted ?? false, false);
  assert.ok(refused.error);
  assert.equal((await s.getRun(run)).status, 'running');
  assert.equal((await s.rest('GET', `/runs/${run}/steps`)).body.steps.length, 0);
  w.send({ jobCompleted: { jobId: 'job_nothing_1' } }, { stepCompleted: { stepId: 'x', output: {} } });
  w.send({ jobCompleted: { jobId: job.jobId } });
  await w.closed;
  assert.equal(w.end.error.code, 'invalid_argument');
  assert.equal((await s.getRun(run)).status, 'running');
  const again = await connect(s, 'w-st-token', ['st-token']);
  again.send({ jobCompleted: { ...fence(job), output: { good: 1 } } }); // 9.4 nr 13: the fence is still valid
  assert.deepEqual((await s.untilRun(run, 'completed')).output, { good: 1 });
  await again.close();
});

test('113 a cancel reaches the worker with its reason, by a user and by an event', async () => {
  await s.register('st-cancel', 'st.cancel', { cancelOn: [{ event: 'st.stop', match: 'id' }] });
  const w = await connect(s, 'w-st-cancel', ['st-cancel']);
  const one = await emit('st.cancel', { id: 1 });
  const first = await w.next('job');
  w.send({ jobAck: fence(first) });
  await s.rest('POST', `/runs/${one}/cancel`, { reason: 'enough' });
  assert.deepEqual(await w.next('cancel'), { jobId: first.jobId, reason: 'user' });
  const two = await emit('st.cancel', { id: 2 });
  const second = await w.next('job');
  await s.rest('POST', '/events', { name: 'st.stop', data: { id: 2 } });
  assert.deepEqual(await w.next('cancel'), { jobId: second.jobId, reason: 'cancel-on-event' });
  w.send({ jobCompleted: { ...fence(second), output: { late: true } } }); // races with the cancel: ignored
  const three = await emit('st.cancel', { id: 3 });
  const third = await w.next('job');
  w.send({ jobCompleted: fence(third) });
  await s.untilRun(three, 'completed');
  for (const run of [one, two]) assert.equal((await s.getRun(run)).status, 'cancelled');
  await w.close();
});

test('a cancel reaches the worker on its next stream, too, once it has spoken of the job', async () => {
  await s.register('st-brought', 'st.brought');
  const first = await connect(s, 'w-st-brought', ['st-brought']);
  const run = await emit('st.brought');
  const job = await first.next('job');
  await first.close();
  const w = await connect(s, 'w-st-brought', ['st-brought']);
  w.send({ stepCompleted: { ...fence(job), stepId: `${run}:one:0`, output: { n: 1 } } });
  assert.equal((await w.next('stepAck')).accepted, true);
  await s.rest('POST', `/runs/${run}/cancel`, { reason: 'enough' });
  assert.deepEqual(await w.next('cancel'), { jobId: job.jobId, reason: 'user' });
  await w.close();
});

test('114 115 heartbeats: job ids keep leases, foreign sequences are STALE, ended runs UNKNOWN', async () => {
  const t = await Server.start({ env: { IRONFLOW_LEASE_MS: '4000', IRONFLOW_GRACE_MS: '500' } });
  try {
    await t.register('st-beat', 'st.beat');
    const w = await connect(t, 'w-st-beat', ['st-beat']);
    const run = (await t.rest('POST', '/events', { name: 'st.beat', data: {} })).body.run_ids[0];
    const job = await w.next('job');
    w.send({ jobAck: fence(job) });
    const end = Date.now() + 6000;
    await until('longer than the lease', async () => {
      w.send({ heartbeat: { workerId: 'w-st-beat', activeJobs: 1, jobs: [{ jobId: job.jobId }] } });
      await new Promise((resolve) => setTimeout(resolve, 300));
      return Date.now() > end;
    });
    assert.equal((await t.getRun(run)).status, 'running');
    assert.equal(w.messages.length, 0, JSON.stringify(w.messages)); // no fences, no answer
    const beat = (extra) => w.send({ heartbeat: { workerId: 'w-st-beat', activeJobs: 1,
      jobs: [{ jobId: job.jobId, runId: run, executionSeq: job.executionSeq, leaseToken: job.leaseToken, ...extra }] } });
    beat({});
    assert.deepEqual(await w.next('leaseRefresh'),
      { segments: [{ runId: run, executionSeq: job.executionSeq, state: 'LEASE_STATE_REFRESHED' }] });
    beat({ executionSeq: '7' });
    assert.equal((await w.next('leaseRefresh')).segments[0].state, 'LEASE_STATE_STALE');
    w.send({ jobCompleted: fence(job) });
    beat({});
    assert.equal((await w.next('leaseRefresh')).segments[0].state, 'LEASE_STATE_UNKNOWN');
    await w.close();
  } finally { await t.stop(); }
});

test('116 a sleep by step_yielded wakes as a new job with the sleep completed', async () => {
  await s.register('st-sleep', 'st.sleep');
  const w = await connect(s, 'w-st-sleep', ['st-sleep']);
  const run = await emit('st.sleep');
  const job = await w.next('job');
  const stepId = `${run}:nap:0`;
  w.send({ jobAck: fence(job) }, { stepStarted: { ...fence(job), stepId: `${run}:one:0`, name: 'one' } },
    { stepCompleted: { ...fence(job), stepId: `${run}:one:0`, output: { n: 1 }, durationMs: 5 } },
    { stepYielded: { ...fence(job), stepId, sleep: { until: new Date(Date.now() + 100).toISOString() } } });
  assert.deepEqual(await w.next('stepAck'), { stepId: `${run}:one:0`, accepted: true });
  const again = await w.next('job');
  assert.equal(again.runId, run);
  assert.ok(Number(again.executionSeq) > Number(job.executionSeq));
  assert.deepEqual(again.completedSteps.map((x) => x.stepId), [`${run}:one:0`, stepId]);
  assert.deepEqual(again.completedSteps[0].output, { n: 1 });
  w.send({ jobCompleted: fence(again) });
  await s.untilRun(run, 'completed');
  await w.close();
});

test('waits, invokes and asynchronous invokes by step_yielded', async () => {
  await s.register('st-wait', 'st.wait');
  await s.register('st-child');
  const w = await connect(s, 'w-st-wait', ['st-wait', 'st-child'], { version: { sdk: '0.43.1', runtime: 'python-3.12' } });
  const run = await emit('st.wait', { id: 'q' });
  let job = await w.next('job');
  w.send({ stepYielded: { ...fence(job), stepId: `${run}:ok:0`, waitEvent: {
    eventName: 'st.ok', matchExpression: 'data.id', timeout: new Date(Date.now() + 60000).toISOString() } } });
  await s.untilRun(run, 'paused');
  await s.rest('POST', '/events', { name: 'st.ok', data: { id: 'q', v: 5 } });
  job = await w.next('job');
  assert.equal(job.completedSteps[0].output.data.v, 5);
  w.send({ stepYielded: { ...fence(job), stepId: `${run}:st-child:0`, invokeFunction: {
    functionId: 'st-child', inputJson: Buffer.from('{"in":1}').toString('base64'), invokeTimeoutMs: '30000' } } });
  const child = await w.next('job');
  assert.equal(child.functionId, 'st-child');
  assert.deepEqual(child.event.data, { in: 1 });
  w.send({ jobCompleted: { ...fence(child), output: { out: 2 } } });
  job = await w.next('job');
  assert.deepEqual(job.completedSteps[1].output, { out: 2 });
  w.send({ stepYielded: { ...fence(job), stepId: `${run}:st-child:1`, invokeFunctionAsync: { functionId: 'st-child' } } });
  const both = [await w.next('job'), await w.next('job')];
  job = both.find((j) => j.runId === run);
  assert.ok(job.completedSteps[2].output.run_id.startsWith('run_'));
  w.send(...both.map((j) => ({ jobCompleted: fence(j) })));
  await s.untilRun(run, 'completed');
  await w.close();
});

test('a yield that is refused is answered, and a compensation says what it undoes', async () => {
  await s.register('st-odd', 'st.odd');
  const w = await connect(s, 'w-st-odd', ['st-odd']);
  const run = await emit('st.odd');
  const job = await w.next('job');
  const stepId = `${run}:odd:0`;
  w.send({ stepCompleted: { ...fence(job), stepId: `${run}:compensate:pay:0`, output: { n: 1 } } },
    { stepYielded: { ...fence(job), stepId, waitEvent: { eventName: 'st.x', matchExpression: 'data.a ==' } } });
  assert.equal((await w.next('stepAck')).accepted, true);
  const refused = await w.next('stepAck');
  assert.deepEqual([refused.stepId, refused.accepted ?? false], [stepId, false]);
  assert.match(refused.error, /match/);
  const [step] = (await s.rest('GET', `/runs/${run}/steps`)).body.steps;
  assert.deepEqual([step.step_type, step.compensation_for], ['compensate', 'pay']);
  w.send({ stepYielded: { ...fence(job), stepId, sleep: { until: new Date(Date.now() + 3600000).toISOString() } } });
  await s.untilRun(run, 'paused');
  assert.equal(w.messages.length, 0, JSON.stringify(w.messages)); // one that is accepted has no answer
  await w.close();
});

test('117 no more jobs than max_concurrent_jobs; the next comes when one ends', async () => {
  await s.register('st-max', 'st.max');
  const w = await connect(s, 'w-st-max', ['st-max'], { maxConcurrentJobs: 2 });
  const runs = [];
  for (let i = 0; i < 5; i++) runs.push(await emit('st.max', { i }));
  const jobs = [await w.next('job'), await w.next('job')];
  w.send({ heartbeat: { activeJobs: 2, jobs: [{ runId: runs[0], executionSeq: '9', leaseToken: 'x' }] } });
  await w.next('leaseRefresh'); // whatever was under way has come
  assert.equal(w.messages.length, 0, JSON.stringify(w.messages));
  while (jobs.length < 5) {
    w.send({ jobCompleted: fence(jobs[jobs.length - 2]) });
    jobs.push(await w.next('job'));
  }
  w.send(...jobs.slice(-2).map((j) => ({ jobCompleted: fence(j) })));
  for (const run of runs) await s.untilRun(run, 'completed');
  assert.deepEqual(jobs.map((j) => j.runId), runs);
  await w.close();
});

test('a refused job goes back and comes again, to another worker at once', async () => {
  await s.register('st-nack', 'st.nack');
  const w = await connect(s, 'w-st-nack', ['st-nack']);
  const run = await emit('st.nack');
  const job = await w.next('job');
  w.send({ jobNack: { ...fence(job), reason: 'JOB_NACK_REASON_DRAINING' } });
  await s.untilRun(run, 'pending');
  const other = await connect(s, 'w-st-nack2', ['st-nack']);
  const again = await other.next('job');
  assert.equal(again.runId, run);
  assert.equal(w.messages.length, 0);
  other.send({ jobNack: { ...fence(again), reason: 'JOB_NACK_REASON_AT_CAPACITY' } });
  const third = await other.next('job'); // after a pause
  other.send({ jobCompleted: fence(third) });
  await s.untilRun(run, 'completed');
  await w.close();
  await other.close();
});

test('118 losing the stream does not lose a report; the newest stream of a worker counts', async () => {
  await s.register('st-lose', 'st.lose');
  const w = await connect(s, 'w-st-lose', ['st-lose']);
  const run = await emit('st.lose');
  const job = await w.next('job');
  w.send({ jobAck: fence(job) });
  await w.close();
  assert.equal((await s.getRun(run)).status, 'running');
  const again = await connect(s, 'w-st-lose', ['st-lose']);
  again.send({ jobCompleted: { ...fence(job), output: { late: 1 } } });
  assert.deepEqual((await s.untilRun(run, 'completed')).output, { late: 1 });
  const newest = await connect(s, 'w-st-lose', ['st-lose']);
  await again.closed;
  assert.equal(again.end.error.code, 'aborted');
  const last = await emit('st.lose');
  const next = await newest.next('job');
  newest.send({ jobCompleted: fence(next) });
  await s.untilRun(last, 'completed');
  newest.stream.end(); // a clean end: the worker is gone at once
  await newest.closed;
  assert.deepEqual(newest.end, {});
  await until('the worker to leave the list', async () =>
    !(await s.rest('GET', '/workers')).body.workers.some((x) => x.id === 'w-st-lose'));
});

test('119 without a valid key no stream begins', async () => {
  const t = await Server.start({ dev: false });
  try {
    for (const authorization of ['Bearer ifkey_wrong', '']) {
      const w = new Stream(t, { headers: { authorization } });
      w.send({ register: { workerId: 'w', functionIds: ['f'] } });
      await w.closed;
      assert.equal(w.status, 401);
      assert.equal(JSON.parse(w.raw).code, 'unauthenticated');
    }
    await t.register('st-auth', 'st.auth');
    const w = await connect(t, 'w-auth', ['st-auth']);
    await t.rest('POST', '/events', { name: 'st.auth', data: {} });
    w.send({ jobCompleted: fence(await w.next('job')) });
    await w.close();
  } finally { await t.stop(); }
});

/* ---- binary -------------------------------------------------------------------------------------- */

const varint = (n) => {
  const out = [];
  for (n = BigInt(n); n > 127n; n >>= 7n) out.push(Number(n & 127n) | 128);
  return Buffer.from([...out, Number(n)]);
};
const bytes = (field, b) => Buffer.concat([varint(field << 3 | 2), varint(Buffer.byteLength(b)), Buffer.from(b)]);
const int = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);

/** Fields of a message: number -> list of values (BigInt or Buffer). */
function fields(b) {
  const out = {};
  const read = () => {
    let n = 0n, shift = 0n;
    for (;;) {
      const c = b[0];
      b = b.subarray(1);
      n |= BigInt(c & 127) << shift;
      if (c < 128) return n;
      shift += 7n;
    }
  };
  while (b.length > 0) {
    const key = read();
    let value;
    if ((key & 7n) === 0n) value = read();
    else if ((key & 7n) === 2n) {
      const n = Number(read());
      value = b.subarray(0, n);
      b = b.subarray(n);
    } else throw new Error(`wire type ${key & 7n}`);
    (out[key >> 3n] ??= []).push(value);
  }
  return out;
}

test('120 the binary codec: the bytes recorded from a worker, a job and its completion', async () => {
  await s.register('f1', 'st.binary');
  const w = new Stream(s, { type: 'application/connect+proto',
    headers: { 'connect-protocol-version': '1', 'connect-accept-encoding': 'gzip,br' } });
  w.send(Buffer.from('0a1d0a0277311201681a026631200a2a060a016112016232060a0178120179', 'hex'));
  await until('registered', () => w.messages.length > 0);
  assert.equal(w.headers['content-type'], 'application/connect+proto');
  assert.equal(w.messages[0].toString('hex'), '0a080a02773110b0ea01');
  const run = await emit('st.binary', { a: [1, 'x'] });
  await until('a job', () => w.messages.length > 1);
  const job = fields(fields(w.messages[1])[2][0]);
  assert.equal(job[2][0].toString(), run);
  assert.equal(job[3][0].toString(), 'f1');
  const token = job[10][0];
  w.send(bytes(9, Buffer.concat([bytes(1, job[1][0]), int(3, job[9][0]), bytes(4, token)])));
  // output { "k": "v" } as Struct
  const struct = bytes(1, Buffer.concat([bytes(1, 'k'), bytes(2, bytes(3, 'v'))]));
  w.send(bytes(7, Buffer.concat([bytes(1, job[1][0]), bytes(2, struct), int(4, job[9][0]), bytes(5, token)])));
  assert.deepEqual((await s.untilRun(run, 'completed')).output, { k: 'v' });
  await w.close();
});

/* ---- the protocol --------------------------------------------------------------------------------- */

test('a stream that begins with something else, or with nonsense, ends with invalid_argument', async () => {
  const cases = [
    { heartbeat: { workerId: 'x' } },
    { register: { workerId: '', functionIds: ['a'] } },
    { register: { workerId: 'x', functionIds: [] } },
    { register: { workerId: 'x'.repeat(300), functionIds: ['a'] } },
    Buffer.from('{"register":'),
  ];
  for (const first of cases) {
    const w = new Stream(s);
    w.send(first);
    await w.closed;
    assert.equal(w.status, 200);
    assert.equal(w.end.error.code, 'invalid_argument', JSON.stringify(w.end));
  }
  const w = await connect(s, 'w-st-twice', ['st-first']);
  w.send({ register: { workerId: 'w-st-twice', functionIds: ['a'] } });
  await w.closed;
  assert.equal(w.end.error.code, 'invalid_argument');
});

test('compression, unknown flags, messages that are too large or cut off are refused', async () => {
  const open = async (write, code, options) => {
    const w = new Stream(s, options);
    write(w.stream);
    await w.closed;
    assert.equal(w.end?.error?.code, code, JSON.stringify([w.status, w.end]));
    return w;
  };
  await open((x) => x.write(envelope('{}', 1)), 'invalid_argument');
  await open((x) => x.write(envelope('{}', 2)), 'invalid_argument');
  await open((x) => x.write(Buffer.from([0, 0, 0x50, 0, 0])), 'resource_exhausted');
  await open((x) => x.end(Buffer.from([0, 0, 0, 0, 9, 1])), 'invalid_argument');
  await open((x) => x.write(envelope('{}')), 'invalid_argument', { headers: { 'connect-protocol-version': '2' } });
  const w = await open((x) => x.write(envelope('{}')), 'unimplemented', { headers: { 'connect-content-encoding': 'gzip' } });
  assert.equal(w.headers['connect-accept-encoding'], 'identity');
});

test('streaming RPCs that are not built end with unimplemented; unary content types are refused', async () => {
  for (const path of ['PubSubService/Subscribe', 'PubSubService/SubscribeBidirectional']) {
    const w = new Stream(s, { path: `/ironflow.v1.${path}` });
    w.send({});
    await w.closed;
    assert.equal(w.status, 200);
    assert.equal(w.end.error.code, 'unimplemented');
  }
  assert.equal((await s.rpc('WorkerService/Connect', {})).status, 415);
  // HTTP/1.1, where a stream has one direction after the other
  const one = await fetch(s.url + PATH, { method: 'POST', headers: s.headers({ 'content-type': 'application/connect+json' }),
    body: envelope(JSON.stringify({ register: { workerId: 'w-http1', functionIds: ['st-none'] } })) });
  const text = Buffer.from(await one.arrayBuffer()).toString('latin1');
  assert.match(text, /"registered".*\{\}$/s);
});

test('a message in pieces, many messages in one piece, a flood', async () => {
  await s.register('st-flood', 'st.flood');
  const w = await connect(s, 'w-st-flood', ['st-flood'], { maxConcurrentJobs: 100 });
  const runs = (await Promise.all(Array.from({ length: 100 }, (_, i) => emit('st.flood', { i }))));
  const jobs = [];
  while (jobs.length < 100) jobs.push(await w.next('job'));
  const beat = envelope(JSON.stringify({ heartbeat: { activeJobs: 1, jobs: [{ jobId: jobs[0].jobId }] } }));
  for (const byte of beat) w.stream.write(Buffer.from([byte]));
  w.stream.write(Buffer.concat(Array.from({ length: 5000 }, () => beat)));
  const big = 'x'.repeat(3 * 1024 * 1024);
  w.send(...jobs.map((j, i) => ({ jobCompleted: { ...fence(j), output: i === 0 ? { big } : { i } } })));
  for (const run of runs) await s.untilRun(run, 'completed');
  assert.equal((await s.getRun(jobs[0].runId)).output.big.length, big.length);
  await w.close();
});

test('a worker that does not read gets no more than its windows hold, others go on', async () => {
  await s.register('st-slow', 'st.slow');
  await s.register('st-quick', 'st.quick');
  const slow = await connect(s, 'w-st-slow', ['st-slow'], { maxConcurrentJobs: 1000 });
  slow.stream.pause();
  const text = 'y'.repeat(200000);
  const runs = [];
  for (let i = 0; i < 60; i++) runs.push(await emit('st.slow', { text, i }));
  const quick = await connect(s, 'w-st-quick', ['st-quick']);
  const run = await emit('st.quick');
  quick.send({ jobCompleted: fence(await quick.next('job')) });
  await s.untilRun(run, 'completed');
  await quick.close();
  const pending = (await Promise.all(runs.map((id) => s.getRun(id)))).filter((r) => r.status === 'pending').length;
  assert.ok(pending > 20, `${pending} of 60 wait`);
  slow.stream.resume();
  for (let i = 0; i < 60; i++) slow.send({ jobCompleted: fence(await slow.next('job')) });
  for (const id of runs) await s.untilRun(id, 'completed');
  await slow.close();
});

test('many streams at once, each with its own job', async () => {
  await s.register('st-many', 'st.many');
  const sessions = Array.from({ length: 8 }, () => http2.connect(s.url));
  const workers = await Promise.all(Array.from({ length: 400 }, (_, i) =>
    connect(s, `w-many-${i}`, ['st-many'], { maxConcurrentJobs: 1 }, { session: sessions[i % 8] })));
  const runs = await Promise.all(workers.map(() => emit('st.many')));
  await Promise.all(workers.map(async (w) => w.send({ jobCompleted: fence(await w.next('job', 60000)) })));
  for (const run of runs) await s.untilRun(run, 'completed');
  const listed = (await s.rest('GET', '/workers')).body.workers.filter((w) => w.id.startsWith('w-many-'));
  assert.equal(listed.length, 400);
  await Promise.all(workers.map((w) => w.close()));
  for (const session of sessions) session.close();
});

test('a stop tells the worker, lets it finish, and ends the stream', async () => {
  const t = await Server.start();
  await t.register('st-stop', 'st.stop');
  const w = await connect(t, 'w-st-stop', ['st-stop']);
  const idle = await connect(t, 'w-st-idle', ['st-none']);
  const half = new Stream(t); // has not registered
  const run = (await t.rest('POST', '/events', { name: 'st.stop', data: {} })).body.run_ids[0];
  const job = await w.next('job');
  w.send({ jobAck: fence(job) });
  const ended = t.stop();
  assert.equal((await w.next('shutdown')).drainTimeoutMs, 30000);
  await idle.closed;
  assert.equal(idle.end.error.code, 'unavailable');
  assert.ok(idle.messages.some((m) => m.shutdown));
  w.send({ stepCompleted: { ...fence(job), stepId: `${run}:last:0`, output: {} } });
  assert.equal((await w.next('stepAck')).accepted, true);
  w.send({ jobCompleted: fence(job) });
  await w.closed;
  assert.equal(w.end.error.code, 'unavailable');
  await half.closed;
  assert.equal((await ended).code, 0);
});

test('a restart: the worker connects again and its fence still counts', async () => {
  const t = await Server.start();
  try {
    await t.register('st-crash', 'st.crash');
    const w = await connect(t, 'w-st-crash', ['st-crash']);
    const run = (await t.rest('POST', '/events', { name: 'st.crash', data: {} })).body.run_ids[0];
    const job = await w.next('job');
    w.send({ jobAck: fence(job) }, { stepCompleted: { ...fence(job), stepId: `${run}:a:0`, output: { a: 1 } } });
    await w.next('stepAck');
    await t.crash();
    await w.closed;
    const again = await connect(t, 'w-st-crash', ['st-crash']);
    again.send({ jobCompleted: { ...fence(job), output: { done: true } } });
    assert.deepEqual((await t.untilRun(run, 'completed')).output, { done: true });
    await again.close();
  } finally { await t.stop(); }
});
