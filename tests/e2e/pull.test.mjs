// Pull workers over REST: engine checklist C and D. Tests of leases that end have a server of their own,
// whose leases are short: what others do may take its time.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, abortable, step, until } from './lib.mjs';

const LEASE = 2500, CLAIM = 1000, GRACE = 2500;
const HOLD = { IRONFLOW_POLL_HOLD_MS: '300' };
let s, brief;
before(async () => {
  s = await Server.start({ env: HOLD });
  brief = await Server.start({ env: { ...HOLD,
    IRONFLOW_LEASE_MS: `${LEASE}`, IRONFLOW_LEASE_CLAIM_MS: `${CLAIM}`, IRONFLOW_GRACE_MS: `${GRACE}`,
  } });
});
after(async () => { await s.stop(); await brief.stop(); });

const emit = async (name, data = {}, on = s) => (await on.rest('POST', '/events', { name, data })).body.run_ids[0];
let n = 0;
/** A fresh function with one worker. */
async function setup(extra = {}, workerExtra = {}, on = s) {
  const id = `pull-${n++}`;
  await on.register(id, `${id}.go`, extra);
  return { id, w: await on.worker(`w-${id}`, [id], workerExtra), emit: (data) => emit(`${id}.go`, data, on) };
}
const take = async (f) => { const job = await f.w.take(); assert.equal((await f.w.ack(job)).status, 200); return job; };

test('C51 C52 C53 a run without a worker stays pending and is found by its status', async () => {
  await s.register('c51', 'c51.go');
  const id = await emit('c51.go');
  const run = await s.getRun(id);
  assert.equal(run.status, 'pending');
  const list = await s.rest('GET', '/runs?status=pending&function_id=c51');
  assert.deepEqual(list.body.runs.map((r) => r.id), [id]);
  assert.equal(list.body.total_count, 1);
  assert.equal((await s.rest('GET', '/runs?status=running,pending&function_id=c51')).body.count, 1);
  assert.equal((await s.rest('GET', '/runs?status=waiting_for_capacity&function_id=c51')).body.count, 1);
  assert.equal((await s.rest('GET', '/runs?status=nonsense')).status, 400);
  const rpc = await s.rpc('GetRun', { id });
  assert.equal(rpc.body.status, 'RUN_STATUS_WAITING_FOR_CAPACITY');
  assert.equal(rpc.body.attempt, 1);
  assert.equal(rpc.body.maxAttempts, 3);
});

test('C57 outputs of any JSON type are kept', async () => {
  const f = await setup();
  for (const output of [null, 5, 'text', [1, [2]], { a: {} }, false]) {
    const id = await f.emit();
    const job = await take(f);
    assert.equal((await f.w.update(job, { status: 'completed', output })).status, 200);
    const run = await s.getRun(id);
    assert.equal(run.status, 'completed');
    assert.deepEqual(run.output ?? null, output);
    assert.ok(run.started_at && run.ended_at);
  }
});

test('C58 the run records the version of the function at its creation', async () => {
  const f = await setup();
  const id = await f.emit();
  await s.register(f.id, `${f.id}.go`, { description: 'newer' });
  assert.equal((await s.getRun(id)).function_version, 1);
});

test('D61 D62 D63 register by POST and PUT; unknown workers are 404', async () => {
  await s.worker('w-61', ['x']);
  assert.equal((await s.rest('PUT', '/workers/w-61/register', { worker_id: 'w-61', function_ids: ['x'] })).status, 200);
  const poll = await s.rest('GET', '/workers/nobody/jobs?available=1');
  assert.equal(poll.status, 404);
  assert.equal(poll.body.error, 'worker not registered');
  assert.equal((await s.rest('POST', '/workers/nobody/heartbeat', { worker_id: 'nobody' })).status, 404);
  assert.equal((await s.rest('POST', '/workers/w-61/register', { worker_id: 'other', function_ids: ['x'] })).status, 400);
  assert.equal((await s.rest('POST', '/workers/w-61/register', { worker_id: 'w-61', function_ids: [] })).status, 400);
});

test('D64 D65 D66 polls: 204, many, bare', async () => {
  const f = await setup();
  const none = await f.w.poll(1);
  assert.equal(none.status, 204);
  assert.equal(none.text, '');
  assert.equal((await f.w.poll(0)).status, 204);
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push(await f.emit({ i }));
  const three = await f.w.poll(3);
  assert.deepEqual(three.body.jobs.map((j) => j.run_id), ids.slice(0, 3));
  const bare = await s.rest('GET', `/workers/${f.w.id}/jobs`);
  assert.equal(bare.body.run_id, ids[3]);
  assert.equal(bare.body.jobs, undefined);
});

test('D67 to D70 the shape of an assignment', async () => {
  const f = await setup();
  await f.emit({ a: 1 });
  const job = await f.w.take();
  assert.match(job.job_id, /^job_/);
  assert.deepEqual(job.completed_steps, []);
  assert.equal(job.step_sequence_base, 0);
  assert.equal(job.execution_seq, 1);
  assert.ok(typeof job.lease_token === 'string' && job.lease_token.length > 0);
  assert.equal(job.attempt, 1);
  assert.equal(job.event.source, 'api');
  for (const key of ['actor_id', 'secrets', 'idempotency_key'])
    assert.ok(!(key in job) && !(key in job.event), key);
  assert.ok(!JSON.stringify(job).includes('null'), JSON.stringify(job));
});

test('never more than max_concurrent_jobs are outstanding', async () => {
  const f = await setup({}, { max_concurrent_jobs: 2 });
  for (let i = 0; i < 4; i++) await f.emit();
  assert.equal((await f.w.take(10)).length, 2);
  assert.equal((await f.w.poll(10)).status, 204);
});

test('D72 ack with another token is stale', async () => {
  const f = await setup();
  await f.emit();
  const job = await f.w.take();
  const stale = await f.w.ack(job, { lease_token: 'AAAA' });
  assert.equal(stale.status, 409);
  assert.equal(stale.body.code, 'STALE_EXECUTION');
  assert.equal((await f.w.ack(job)).status, 200);
  assert.equal((await s.rest('PUT', `/workers/${f.w.id}/jobs/job_0000000000000/ack`, f.w.fence(job))).status, 409);
});

test('D73 D75 D76 D78 D79 progress stores steps and numbers them', async () => {
  const f = await setup({ retry: { maxAttempts: 3, initialDelayMs: 1 } });
  const id = await f.emit();
  const job = await take(f);
  const many = Array.from({ length: 500 }, (_, i) => step(job, `s${i}`, { i }));
  const stored = await f.w.update(job, { status: 'progress', step_offset: 0, steps: many });
  assert.equal(stored.status, 200, stored.text);
  assert.equal((await s.getRun(id)).status, 'running');
  const tooMany = await f.w.update(job, { status: 'progress', step_offset: 500, steps: [...many, step(job, 'x', 1)] });
  assert.equal(tooMany.status, 400);
  const old = await f.w.update(job, { status: 'progress', steps: [step(job, 'late', 1)], lease_token: 'AAAA' });
  assert.equal(old.body.code, 'STALE_EXECUTION');
  await f.w.update(job, { status: 'failed', error: { message: 'again', retryable: true } });
  const next = await take(f);
  assert.equal(next.attempt, 2);
  assert.equal(next.completed_steps.length, 500);
  assert.equal(next.step_sequence_base, 500);
  assert.deepEqual(next.completed_steps[499], { step_id: `${id}:s499:0`, name: 's499', output: { i: 499 } });
  const steps = await s.rest('GET', `/runs/${id}/steps`);
  assert.deepEqual(steps.body.steps.map((x) => x.sequence), Array.from({ length: 500 }, (_, i) => i));
});

test('D77 D95 reports of a cancelled run and of an old fence are refused', async () => {
  const f = await setup();
  const id = await f.emit();
  const job = await take(f);
  assert.equal((await s.rest('POST', `/runs/${id}/cancel`, { reason: 'x'.repeat(5000) })).status, 200);
  const late = await f.w.update(job, { status: 'progress', steps: [step(job, 'a', 1)] });
  assert.equal(late.status, 409);
  assert.equal(late.body.code, 'RUN_NOT_RUNNING');
  const end = await f.w.update(job, { status: 'completed', output: 1 });
  assert.equal(end.body.code, 'RUN_NOT_RUNNING');
  assert.equal((await s.getRun(id)).status, 'cancelled');
});

test('D74 D99 D100 progress and heartbeats keep a lease; a job left out loses it', async () => {
  const f = await setup({}, {}, brief);
  const id = await f.emit();
  const job = await take(f);
  const end = Date.now() + 1.2 * (LEASE + GRACE);
  let i = 0;
  await until('more than a lease and its grace of heartbeats and progress', async () => {
    const alive = i++ % 2
      ? await f.w.heartbeat({ active_jobs: 1, jobs: [{ job_id: job.job_id, started_at: new Date().toISOString() }] })
      : await f.w.update(job, { status: 'progress', steps: [step(job, `p${i}`, i)] });
    assert.equal(alive.status, 200, alive.text);
    return Date.now() > end;
  });
  assert.equal((await brief.getRun(id)).status, 'running');
  await until('the lease to lapse', async () => {
    await f.w.heartbeat({ active_jobs: 0, jobs: [] });
    return (await brief.getRun(id)).status === 'waiting';
  });
});

test('D80 D81 completed without output, and the seed form without fence', async () => {
  const f = await setup();
  const id = await f.emit();
  const job = await take(f);
  const plain = await s.rest('PUT', `/workers/${f.w.id}/jobs/${job.job_id}`, { status: 'completed', steps: [step(job, 'a', null)] });
  assert.equal(plain.status, 200, plain.text);
  const run = await s.getRun(id);
  assert.equal(run.status, 'completed');
  assert.equal(run.output ?? null, null);
  const stranger = await s.worker('stranger', [f.id]);
  await f.emit();
  const second = await take(f);
  const foreign = await s.rest('PUT', `/workers/${stranger.id}/jobs/${second.job_id}`, { status: 'completed' });
  assert.equal(foreign.status, 409);
});

test('D82 D84 non-retryable failures and a single attempt end at once', async () => {
  const f = await setup();
  let id = await f.emit();
  await f.w.update(await take(f), { status: 'failed', error: { message: 'no', code: 'X', retryable: false }, steps: [] });
  let run = await s.getRun(id);
  assert.deepEqual([run.status, run.error.message, run.error.code], ['failed', 'no', 'X']);
  const once = await setup({ retry: { maxAttempts: 1 } });
  id = await once.emit();
  await once.w.update(await take(once), { status: 'failed', error: { message: 'no', retryable: true } });
  assert.equal((await s.getRun(id)).status, 'failed');
});

test('D83 D85 D86 retries wait by the policy and keep completed steps', async () => {
  const f = await setup({ retry: { maxAttempts: 3, initialDelayMs: 1500, backoffFactor: 2, maxDelayMs: 2000 } });
  const id = await f.emit();
  const times = [];
  for (let attempt = 1; attempt <= 3; attempt++) {
    const job = await take(f);
    times.push(Date.now());
    assert.equal(job.attempt, attempt);
    assert.equal(job.completed_steps.length, attempt === 1 ? 0 : 1);
    await f.w.update(job, {
      status: 'failed', error: { message: `try ${attempt}`, retryable: true },
      steps: attempt === 1 ? [step(job, 'done', 1), step(job, 'bad', undefined, { status: 'failed', error: { message: 'b', retryable: true } })] : [],
    });
    if (attempt < 3) assert.equal((await s.getRun(id)).status, 'waiting');
  }
  const run = await s.getRun(id);
  assert.deepEqual([run.status, run.attempt, run.error.message], ['failed', 3, 'try 3']);
  assert.ok(times[1] - times[0] >= 1500, `${times[1] - times[0]}`);
  assert.ok(times[2] - times[1] >= 2000, `${times[2] - times[1]}`);
});

test('C54 D87 D88 C60 a sleep parks the run and wakes not before its time', async () => {
  const f = await setup();
  const id = await f.emit();
  const job = await take(f);
  await f.w.update(job, { status: 'progress', step_offset: 0, steps: [step(job, 'a', 1)] });
  const wake = Date.now() + 2000;
  const yielded = await f.w.update(job, { status: 'yielded', yield: {
    step_id: `${id}:nap\\:time:0`, type: 'sleep', until: new Date(wake).toISOString() } });
  assert.equal(yielded.status, 200, yielded.text);
  let run = await s.getRun(id);
  assert.deepEqual([run.status, run.pause_reason], ['paused', 'sleep']);
  let steps = (await s.rest('GET', `/runs/${id}/steps`)).body.steps;
  assert.deepEqual(steps.map((x) => [x.name, x.step_type, x.status]), [['a', 'invoke', 'completed'], ['nap:time', 'sleep', 'sleeping']]);
  assert.equal(Date.parse(steps[1].sleep_until), wake);
  const next = await take(f);
  assert.ok(Date.now() >= wake, `${wake - Date.now()} ms early`);
  assert.deepEqual(next.completed_steps.map((x) => x.step_id), [`${id}:a:0`, `${id}:nap\\:time:0`]);
  assert.ok('output' in next.completed_steps[1]);
  assert.ok(next.step_sequence_base > steps[1].sequence);
  await f.w.update(next, { status: 'completed', steps: [step(next, 'b', 2)], step_offset: next.step_sequence_base });
  steps = (await s.rest('GET', `/runs/${id}/steps`)).body.steps;
  assert.deepEqual(steps.map((x) => x.sequence), [0, 1, 2]);
});

test('a sleep in the past wakes at once; a repeated yield keeps the first deadline', async () => {
  const f = await setup();
  const id = await f.emit();
  let job = await take(f);
  await f.w.update(job, { status: 'yielded', yield: { step_id: `${id}:p:0`, type: 'sleep', until: '2001-01-01T00:00:00Z' } });
  job = await take(f);
  assert.equal(job.completed_steps.length, 1);
  await f.w.update(job, { status: 'completed' });
  assert.equal((await s.getRun(id)).status, 'completed');
});


test('D94 D106 a repeated final report is answered 200 and changes nothing', async () => {
  const f = await setup({ retry: { maxAttempts: 2, initialDelayMs: 60000 } });
  let id = await f.emit();
  let job = await take(f);
  const body = { status: 'completed', output: { v: 1 }, steps: [step(job, 'a', 1)], step_offset: 0 };
  assert.equal((await f.w.update(job, body)).status, 200);
  assert.equal((await f.w.update(job, { ...body, output: { v: 2 } })).status, 200);
  assert.deepEqual((await s.getRun(id)).output, { v: 1 });
  assert.equal((await s.rest('GET', `/runs/${id}/steps`)).body.steps[0].attempt, 1);
  id = await f.emit();
  job = await take(f);
  const failed = { status: 'failed', error: { message: 'x', retryable: true } };
  assert.equal((await f.w.update(job, failed)).status, 200);
  assert.equal((await f.w.update(job, failed)).status, 200);
  assert.deepEqual([(await s.getRun(id)).attempt, (await s.getRun(id)).status], [1, 'waiting']);
});

test('D96 D97 D98 a lost worker: waiting, then handed out with a higher fence and all steps', async () => {
  const f = await setup({}, {}, brief);
  const id = await f.emit();
  const job = await take(f);
  await f.w.update(job, { status: 'progress', steps: [step(job, 'a', 1)], step_offset: 0 });
  const other = await brief.worker('w-other-96', [f.id]);
  await brief.untilRun(id, 'waiting');
  const next = await other.take();
  assert.equal(next.run_id, id);
  assert.equal(next.execution_seq, job.execution_seq + 1);
  assert.equal(next.attempt, 1);
  assert.deepEqual(next.completed_steps.map((x) => x.name), ['a']);
  const late = await f.w.update(job, { status: 'completed', output: 'late' });
  assert.equal(late.body.code, 'STALE_EXECUTION');
  await other.update(next, { status: 'completed', output: 'good' });
  assert.equal((await brief.getRun(id)).output, 'good');
});

test('the last holder may still report in the recovery grace', async () => {
  const f = await setup({}, {}, brief);
  const id = await f.emit();
  const job = await take(f);
  await brief.untilRun(id, 'waiting');
  assert.equal((await f.w.update(job, { status: 'completed', output: 'just in time' })).status, 200);
  assert.equal((await brief.getRun(id)).output, 'just in time');
});

test('a worker that never acks loses the job soon', async () => {
  const f = await setup({}, {}, brief);
  const id = await f.emit();
  const job = await f.w.take();
  const again = await f.w.take();
  assert.equal(again.run_id, id);
  assert.ok(again.execution_seq > job.execution_seq);
});

test('a poll whose client is gone gives nothing away', async () => {
  const f = await setup({}, {}, brief);
  const gone = abortable(brief, 'GET', `/api/v1/workers/${f.w.id}/jobs?available=1`);
  gone.promise.catch(() => {});
  await until('the poll to be held', async () => (await brief.rest('GET', '/workers')).body.workers.some((w) => w.id === f.w.id));
  gone.abort();
  const id = await f.emit();
  const job = await f.w.take();
  assert.equal(job.run_id, id);
});

test('D102 two workers never hold the same run', async () => {
  const f = await setup();
  const other = await s.worker('w-102', [f.id]);
  const ids = await Promise.all(Array.from({ length: 40 }, () => f.emit()));
  const got = (await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? f.w : other).poll(2))))
    .flatMap((r) => (r.status === 200 ? r.body.jobs.map((j) => j.run_id) : []));
  assert.equal(new Set(got).size, got.length);
  assert.ok(got.every((id) => ids.includes(id)));
});

test('D103 D105 a worker gets only its functions; the list shows it', async () => {
  const a = await setup(), b = await setup();
  await b.emit();
  assert.equal((await a.w.poll(1)).status, 204);
  const job = await take(b);
  const list = await s.rest('GET', '/workers');
  const row = list.body.workers.find((w) => w.id === b.w.id);
  assert.equal(list.body.count, list.body.workers.length);
  assert.deepEqual([row.hostname, row.function_ids, row.active_jobs, row.transport], ['test', [b.id], 1, 'rest']);
  assert.ok(Date.parse(row.last_heartbeat) > 0);
  await b.w.update(job, { status: 'completed' });
});

test('H149 step ids are echoed byte for byte', async () => {
  const f = await setup({ retry: { maxAttempts: 2, initialDelayMs: 1 } });
  const id = await f.emit();
  const job = await take(f);
  const ids = [`${id}:a\\:b\\\\c.d:0`, `${id}:legacy:with:colons:0`, `${id}:fan:1:é😀:0`, 'x'.repeat(512)];
  await f.w.update(job, { status: 'failed', error: { message: 'x' }, step_offset: 0,
    steps: ids.map((x, i) => ({ ...step(job, 'n', i), id: x, output: i === 3 ? null : i })) });
  const next = await take(f);
  assert.deepEqual(next.completed_steps.map((x) => x.step_id), ids);
  assert.equal(next.completed_steps[3].output, null);
});

test('J192 to J196 cancel', async () => {
  const f = await setup();
  const queued = await f.emit();
  const cancelled = await s.rest('POST', `/runs/${queued}/cancel`);
  assert.equal(cancelled.status, 200, cancelled.text);
  assert.deepEqual([cancelled.body.status, cancelled.body.cancellation_cause], ['cancelled', 'user']);
  assert.equal(cancelled.body.functionId, f.id);
  assert.equal((await s.rest('POST', `/runs/${queued}/cancel`, {})).status, 200);
  assert.equal((await f.w.poll(1)).status, 204);
  const sleeping = await f.emit();
  let job = await take(f);
  await f.w.update(job, { status: 'yielded', yield: { step_id: `${sleeping}:z:0`, type: 'sleep', until: new Date(Date.now() + 3600e3).toISOString() } });
  assert.equal((await s.rpc('CancelRun', { id: sleeping, reason: 'r' })).body.status, 'RUN_STATUS_CANCELLED');
  const steps = (await s.rest('GET', `/runs/${sleeping}/steps`)).body.steps;
  assert.deepEqual([steps[0].status, steps[0].error.code], ['failed', 'CANCELLED']);
  const done = await f.emit();
  job = await take(f);
  await f.w.update(job, { status: 'completed' });
  assert.equal((await s.rest('POST', `/runs/${done}/cancel`)).status, 412);
  const rpc = await s.rpc('CancelRun', { id: done });
  assert.deepEqual([rpc.status, rpc.body.code], [400, 'failed_precondition']);
  assert.equal((await s.rest('POST', '/runs/run_unknown/cancel')).status, 404);
});

test('compensation steps of a terminal failure are stored with their type', async () => {
  const f = await setup();
  const id = await f.emit();
  const job = await take(f);
  await f.w.update(job, { status: 'failed', error: { message: 'no', retryable: false }, step_offset: 0, steps: [
    step(job, 'charge', { c: 1 }),
    { ...step(job, 'compensate:charge', {}), type: 'compensate', compensation_for: 'charge' }] });
  const steps = (await s.rest('GET', `/runs/${id}/steps`)).body.steps;
  assert.deepEqual(steps.map((x) => [x.step_type, x.compensation_for ?? '']), [['invoke', ''], ['compensate', 'charge']]);
});
