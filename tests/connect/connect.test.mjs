// The streams as the published Connect client sees them (engine-checklist 107 to 110, 112, 113, 116, 118 to 120),
// over HTTP/2 cleartext and in both codecs. What no client would send is in tests/e2e/stream.test.mjs.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { Server, until } from '../e2e/lib.mjs';
import { Code, ConnectError, Stream, connect, createClient, fence, service, transport } from './client.mjs';

let s;
before(async () => { s = await Server.start({ dev: false }); });
after(async () => { await s.stop(); });

const emit = async (name, data = {}) => (await s.rest('POST', '/events', { name, data })).body.run_ids[0];
const code = (e) => e && Code[e.code];

for (const codec of ['binary', 'json']) {
  const options = { binary: codec === 'binary' };
  const name = (what) => `cn-${what}-${codec}`;
  const worker = async (what, event, extra) => {
    await s.register(name(what), event && `${event}.${codec}`, extra);
    return connect(s, `w-${name(what)}`, [name(what)], options);
  };

  test(`107 108 110 120 ${codec}: registered, a job, a step, the output`, async () => {
    const w = await worker('life', 'cn.life');
    const run = await emit(`cn.life.${codec}`, { a: [1, 'x', null], b: { c: 0.5 } });
    const job = await w.next('job');
    assert.equal(job.runId, run);
    assert.equal(job.functionId, name('life'));
    assert.deepEqual(job.event.data, { a: [1, 'x', null], b: { c: 0.5 } });
    assert.ok(job.executionSeq >= 1n && job.leaseToken.length > 0 && job.leaseExpiresAt.seconds > 0n);
    const stepId = `${run}:one:0`;
    w.send({ jobAck: fence(job) }, { stepStarted: { ...fence(job), stepId, name: 'one' } },
      { stepCompleted: { ...fence(job), stepId, output: { n: 1 }, durationMs: 5 } });
    const ack = await w.next('stepAck');
    assert.deepEqual([ack.stepId, ack.accepted, ack.error], [stepId, true, '']);
    w.send({ jobCompleted: { ...fence(job), output: { done: true } } });
    assert.deepEqual((await s.untilRun(run, 'completed')).output, { done: true });
    const steps = (await s.rest('GET', `/runs/${run}/steps`)).body.steps;
    assert.deepEqual(steps.map((x) => [x.name, x.status, x.output]), [['one', 'completed', { n: 1 }]]);
    assert.equal((await w.finish()).end, null); // the client closes its side, the server the other
  });

  test(`109 ${codec}: an ack without a run id holds the job; one without an ack is given out again`, async () => {
    const t = await Server.start({ env: { IRONFLOW_LEASE_CLAIM_MS: '4000' } });
    try {
      await t.register('cn-ack', 'cn.ack');
      const w = await connect(t, 'w-cn-ack', ['cn-ack'], options);
      const runs = [];
      for (let i = 0; i < 2; i++)
        runs.push((await t.rest('POST', '/events', { name: 'cn.ack', data: { i } })).body.run_ids[0]);
      const jobs = [await w.next('job'), await w.next('job')];
      const held = jobs.find((j) => j.runId === runs[0]), lost = jobs.find((j) => j.runId === runs[1]);
      assert.equal(fence(held).runId, undefined);
      w.send({ jobAck: fence(held) });
      const again = await until('the other job to come again', () => {
        w.send({ heartbeat: { workerId: 'w-cn-ack', activeJobs: 0 } }); // it is there, and renews nothing
        const at = w.messages.findIndex((m) => m.case === 'job');
        return at >= 0 && w.messages[at].value;
      });
      assert.equal(again.runId, runs[1]);
      assert.ok(again.executionSeq > lost.executionSeq);
      w.send({ jobCompleted: { ...fence(held), output: { held: 1 } } }, { jobCompleted: fence(lost) },
        { jobCompleted: { ...fence(again), output: { again: 1 } } });
      assert.deepEqual((await t.untilRun(runs[0], 'completed')).output, { held: 1 });
      assert.deepEqual((await t.untilRun(runs[1], 'completed')).output, { again: 1 });
      await w.abort();
    } finally { await t.stop(); }
  });

  test(`110 ${codec}: outputs that are no objects travel as values`, async () => {
    const w = await worker('value', 'cn.value');
    for (const [kind, out] of [[{ case: 'numberValue', value: 4.5 }, 4.5], [{ case: 'nullValue', value: 0 }, null],
      [{ case: 'stringValue', value: 'ä' }, 'ä'], [{ case: 'boolValue', value: false }, false]]) {
      const run = await emit(`cn.value.${codec}`);
      w.send({ jobCompleted: { ...fence(await w.next('job')), outputValue: { kind } } });
      assert.deepEqual((await s.untilRun(run, 'completed')).output, out);
    }
    await w.abort();
  });

  test(`116 ${codec}: a sleep wakes as a new job with the sleep completed`, async () => {
    const w = await worker('sleep', 'cn.sleep');
    const run = await emit(`cn.sleep.${codec}`);
    const job = await w.next('job');
    const until_ms = Date.now() + 100;
    const until_ = { seconds: BigInt(Math.floor(until_ms / 1000)), nanos: (until_ms % 1000) * 1e6 };
    w.send({ jobAck: fence(job) }, { stepYielded: { ...fence(job), stepId: `${run}:nap:0`,
      yieldInfo: { case: 'sleep', value: { until: until_ } } } });
    const again = await w.next('job');
    assert.ok(Date.now() >= until_ms);
    assert.equal(again.runId, run);
    assert.ok(again.executionSeq > job.executionSeq);
    assert.deepEqual(again.completedSteps.map((x) => x.stepId), [`${run}:nap:0`]);
    w.send({ jobCompleted: fence(again) });
    await s.untilRun(run, 'completed');
    await w.abort();
  });

  test(`112 113 ${codec}: a wrong token changes nothing, a cancel arrives with its reason`, async () => {
    const w = await worker('cancel', 'cn.cancel');
    const run = await emit(`cn.cancel.${codec}`);
    const job = await w.next('job');
    w.send({ jobAck: fence(job) }, { jobCompleted: { ...fence(job), leaseToken: '0123456789abcdef' } },
      { stepCompleted: { ...fence(job), leaseToken: '0123456789abcdef', stepId: `${run}:x:0`, output: {} } });
    const refused = await w.next('stepAck');
    assert.equal(refused.accepted, false);
    assert.notEqual(refused.error, '');
    assert.equal((await s.getRun(run)).status, 'running');
    await s.rest('POST', `/runs/${run}/cancel`, {});
    const cancel = await w.next('cancel');
    assert.deepEqual([cancel.jobId, cancel.reason], [job.jobId, 'user']);
    await w.abort();
  });

  test(`118 ${codec}: a report for a job of a stream that is gone still counts`, async () => {
    const w = await worker('again', 'cn.again');
    const run = await emit(`cn.again.${codec}`);
    const job = await w.next('job');
    w.send({ jobAck: fence(job) });
    await until('the ack', async () => (await s.getRun(run)).worker_id);
    assert.equal(code((await w.abort()).end), 'Canceled');
    const back = await connect(s, `w-${name('again')}`, [name('again')], options);
    back.send({ jobCompleted: { ...fence(job), output: { late: 1 } } });
    assert.deepEqual((await s.untilRun(run, 'completed')).output, { late: 1 });
    await back.abort();
  });

  test(`119 ${codec}: a wrong key ends the stream with unauthenticated`, async () => {
    for (const key of ['ifkey_wrong', '']) {
      const w = new Stream(s, { ...options, key });
      w.send({ register: { workerId: 'w', functionIds: ['f'] } });
      assert.equal(code((await w.closed).end), 'Unauthenticated');
      assert.equal(w.messages.length, 0);
    }
  });

  test(`${codec}: malformed and unexpected messages end the stream with invalid_argument`, async () => {
    const wrong = new Stream(s, { ...options, input: StringValueSchema }); // as bytes and as JSON no WorkerMessage
    wrong.queue.push({ value: 'xyz' });
    wrong.send();
    assert.equal(code((await wrong.closed).end), 'InvalidArgument');
    const early = new Stream(s, options);
    early.send({ heartbeat: { workerId: 'w' } });
    assert.equal(code((await early.closed).end), 'InvalidArgument');
    assert.match(early.end.rawMessage, /register/);
  });

  test(`${codec}: the deadline ends the stream with deadline_exceeded`, async () => {
    const w = await connect(s, `w-${name('deadline')}`, [name('deadline')], { ...options, timeoutMs: 6000 });
    assert.equal(code((await w.closed).end), 'DeadlineExceeded');
  });

  test(`${codec}: a stop sends shutdown, takes the last report and ends the stream`, async () => {
    const t = await Server.start();
    await t.register('cn-stop', 'cn.stop');
    const w = await connect(t, 'w-cn-stop', ['cn-stop'], options);
    const run = (await t.rest('POST', '/events', { name: 'cn.stop', data: {} })).body.run_ids[0];
    const job = await w.next('job');
    w.send({ jobAck: fence(job) });
    const ended = t.stop();
    assert.equal((await w.next('shutdown')).drainTimeoutMs, 30000);
    w.send({ stepCompleted: { ...fence(job), stepId: `${run}:last:0`, output: {} } });
    assert.equal((await w.next('stepAck')).accepted, true);
    w.send({ jobCompleted: fence(job) });
    assert.equal(code((await w.closed).end), 'Unavailable');
    assert.equal((await ended).code, 0);
  });

  // Server streaming: no such RPC is built yet, and a client learns that from the end of the stream.
  for (const httpVersion of ['2', '1.1']) {
    test(`${codec}: server-streaming RPCs over HTTP/${httpVersion} end with unimplemented`, async () => {
      const link = transport(s, { ...options, httpVersion });
      for (const [svc, method, request] of [['PubSubService', 'subscribe', { pattern: 'events:>' }],
        ['PubSubService', 'joinConsumerGroup', {}], ['ProjectionService', 'streamProjectionEvents', {}],
        ['ProjectionService', 'waitProjectionCatchupStream', {}]]) {
        const got = [];
        await assert.rejects(async () => {
          for await (const m of createClient(service(svc), link)[method](request)) got.push(m);
        }, (e) => e instanceof ConnectError && e.code === Code.Unimplemented, `${svc}/${method}`);
        assert.equal(got.length, 0);
      }
    });
  }
}

test('unary calls of the same client, next to the streams', async () => {
  for (const binary of [true, false]) {
    const client = createClient(service('IronflowService'), transport(s, { binary }));
    assert.equal((await client.health({})).status, 'healthy');
    await assert.rejects(client.getRun({ id: 'run_nobody' }), (e) => e.code === Code.NotFound);
  }
});
