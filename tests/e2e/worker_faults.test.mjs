// Workers that answer twice, for others, or without end, and what happens at the same moment: whichever
// order the server sees, there is one outcome (docs/ARCHITECTURE.md, Races).
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { Server, step, until } from './lib.mjs';

const LEASE = 500, GRACE = 120;
let s, hasty;
before(async () => {
  s = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '200' } });
  hasty = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '200', IRONFLOW_LEASE_MS: `${LEASE}`, IRONFLOW_LEASE_CLAIM_MS: `${LEASE}`, IRONFLOW_GRACE_MS: `${GRACE}` } });
});
after(async () => { await s.stop(); await hasty.stop(); });

let n = 0;
async function setup(server = s, extra = {}) {
  const id = `wf-${n++}`;
  await server.register(id, `${id}.go`, { retry: { maxAttempts: 1 }, ...extra });
  const w = await server.worker(`w-${id}`, [id]);
  return {
    id, w,
    emit: async (data = {}) => (await server.rest('POST', '/events', { name: `${id}.go`, data })).body.run_ids[0],
    take: async (worker = w) => { const job = await worker.take(); assert.equal((await worker.ack(job)).status, 200); return job; },
  };
}
const steps = async (run) => (await s.rest('GET', `/runs/${run}/steps`)).body.steps;
const cancel = (run) => s.rest('POST', `/runs/${run}/cancel`, {});
const sleepUntil = (ms) => new Date(Date.now() + ms).toISOString();
const FAIL = { status: 'failed', error: { message: 'no', retryable: false } };
const yieldSleep = (job, ms) => ({ status: 'yielded', yield: { step_id: `${job.run_id}:nap:0`, type: 'sleep', until: sleepUntil(ms) } });
const residentMiB = (pid) => Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096 / 2 ** 20;

// ---- workers ------------------------------------------------------------------------------------

test('answers for the job of another are 409 and change nothing, with no fence, ones own, or a guess', async () => {
  const f = await setup();
  const other = await s.worker(`${f.w.id}-other`, [f.id]);
  const runs = [await f.emit(), await f.emit()];
  const mine = await f.take(), theirs = await f.take(other);
  const bodies = [{ status: 'progress', steps: [step(mine, 'x', 1)] }, { status: 'completed', output: 'stolen' }, FAIL, yieldSleep(mine, 60000)];
  const fences = [{}, other.fence(theirs), { execution_seq: mine.execution_seq, lease_token: theirs.lease_token },
    { execution_seq: mine.execution_seq, lease_token: '0123456789abcdef' }, { execution_seq: mine.execution_seq, lease_token: 'x' }];
  for (const fence of fences) {
    for (const body of bodies) {
      const answer = await s.rest('PUT', `/workers/${other.id}/jobs/${mine.job_id}`, { ...body, ...fence });
      assert.deepEqual([answer.status, answer.body.code], [409, 'STALE_EXECUTION'], JSON.stringify([fence, body.status]));
    }
    const ack = await s.rest('PUT', `/workers/${other.id}/jobs/${mine.job_id}/ack`, { run_id: mine.run_id, ...fence });
    assert.equal(ack.status, 409, JSON.stringify(fence));
  }
  assert.deepEqual(await steps(mine.run_id), []);
  for (const [w, job] of [[f.w, mine], [other, theirs]]) assert.equal((await w.update(job, { status: 'completed', output: w.id })).status, 200);
  for (const [run, w] of [[mine.run_id, f.w], [theirs.run_id, other]]) assert.equal((await s.getRun(run)).output, w.id);
  assert.deepEqual([mine.run_id, theirs.run_id].sort(), [...runs].sort());
});

test('two different answers at once: one counts, the other is 409; the same one twice is 200 twice', async () => {
  const f = await setup();
  for (let round = 0; round < 10; round++) {
    const run = await f.emit();
    const job = await f.take();
    const [good, bad, good2] = await Promise.all([
      f.w.update(job, { status: 'completed', output: round }), f.w.update(job, FAIL), f.w.update(job, { status: 'completed', output: round })]);
    const { status, output } = await s.getRun(run);
    assert.deepEqual([good.status, bad.status, good2.status], status === 'completed' ? [200, 409, 200] : [409, 200, 409]);
    assert.equal(output ?? null, status === 'completed' ? round : null);
    for (const late of [good, bad, good2].filter((r) => r.status === 409)) assert.equal(late.body.code, 'RUN_NOT_RUNNING');
  }
});

test('a flood of progress: memory stays, others go on, every step is there once', async () => {
  const f = await setup(), calm = await setup();
  const run = await f.emit();
  const job = await f.take();
  const part = (k) => Array.from({ length: 100 }, (_, i) => step(job, `s${k * 100 + i}`, 'z'.repeat(500)));
  const before = residentMiB(s.child.pid);
  let sent = 0, over = false;
  const senders = Array.from({ length: 8 }, async () => {
    for (let k = 0; k < 40; k++) { // 32,000 steps, 400 of them different
      const answer = await f.w.update(job, { status: 'progress', steps: part(k % 4) });
      assert.ok([200, 503].includes(answer.status), answer.text);
      sent++;
    }
  });
  const flood = Promise.all(senders).then(() => (over = true));
  let meanwhile = 0;
  while (!over || meanwhile < 3) {
    const quick = await calm.emit();
    await calm.w.update(await calm.take(), { status: 'completed', output: 1 });
    await s.untilRun(quick, 'completed');
    meanwhile++;
  }
  await flood;
  assert.equal(sent, 320);
  assert.equal((await f.w.update(job, { status: 'completed', output: 1 })).status, 200);
  const names = (await steps(run)).map((x) => x.name);
  assert.deepEqual([names.length, new Set(names).size], [400, 400]);
  const grew = residentMiB(s.child.pid) - before;
  assert.ok(grew < 400, `grew by ${grew} MiB`); // the sanitizer alone keeps up to 256 of what was freed
});

// ---- races --------------------------------------------------------------------------------------

test('races: a report at the end of the recovery grace counts, or somebody else has the run, never both', async () => {
  const f = await setup(hasty);
  const other = await hasty.worker(`${f.w.id}-other`, [f.id]);
  const seen = { counted: 0, stale: 0 };
  for (let round = 0; round < 24 && (round < 8 || !seen.counted || !seen.stale); round++) {
    const run = await f.emit();
    let job = await f.w.take();
    while ((await f.w.ack(job)).status !== 200) job = await f.w.take(); // we were so slow that it was lost
    const lost = await hasty.untilRun(run, ['waiting', 'pending']);
    const end = Date.parse(lost.updated_at) + GRACE + (round % 8 - 4) * 4;
    await until('the end of the grace', () => Date.now() >= end);
    const [late, poll] = await Promise.all([f.w.update(job, { status: 'completed', output: 'late' }), other.poll()]);
    if (late.status === 200) {
      seen.counted++;
      assert.equal(poll.status, 204, poll.text);
      assert.equal((await hasty.getRun(run)).output, 'late');
      continue;
    }
    seen.stale++;
    assert.deepEqual([late.status, late.body.code], [409, 'STALE_EXECUTION']);
    let next = poll.status === 200 ? poll.body.jobs[0] : await other.take();
    assert.deepEqual([next.run_id, next.execution_seq], [run, job.execution_seq + 1]);
    while ((await other.update(next, { status: 'completed', output: 'next' })).status !== 200) next = await other.take(); // so slow
    assert.equal((await hasty.getRun(run)).output, 'next');
  }
});

test('races: a pause and a sleep, or progress, end paused for injection; what was reported is kept', async () => {
  for (let round = 0; round < 8; round++) {
    const f = await setup();
    const run = await f.emit();
    const job = await f.take();
    const body = round % 2 ? { ...yieldSleep(job, 60000), steps: [step(job, 'a', 1)] } : { status: 'progress', steps: [step(job, 'a', 1)] };
    const [pause, report] = await Promise.all([s.rpc('PauseRun', { run_id: run }), f.w.update(job, body)]);
    assert.equal(pause.status, 200, pause.text);
    assert.equal(report.status, 200, report.text);
    if ((await s.getRun(run)).status === 'running') // the progress came first: the next boundary pauses
      assert.equal((await f.w.update(job, { status: 'progress', steps: [step(job, 'b', 2)] })).status, 200);
    const { status, pause_reason } = await s.getRun(run);
    assert.deepEqual([status, pause_reason], ['paused', 'injection']);
    assert.equal((await steps(run))[0].name, 'a');
    assert.equal((await f.w.update(job, { status: 'completed', output: 1 })).body.code, 'RUN_NOT_RUNNING');
  }
});

test('races: a cancel and any report that does not end the run end cancelled; the report is 200 or 409', async () => {
  const f = await setup(s, { retry: { maxAttempts: 5, initialDelayMs: 60000 } });
  const kinds = [(job) => yieldSleep(job, 60000), (job) => ({ status: 'progress', steps: [step(job, 'a', 1)] }),
    () => ({ status: 'failed', error: { message: 'busy', retryable: true } }),
    (job) => ({ status: 'yielded', yield: { step_id: `${job.run_id}:w:0`, type: 'wait_for_event', event_filter: { event: 'wf.none', timeout: '1h' } } })];
  for (let round = 0; round < 12; round++) {
    const run = await f.emit();
    const job = await f.take();
    const [report, answer] = await Promise.all([f.w.update(job, kinds[round % 4](job)), cancel(run)]);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(report.status === 200 || report.body.code === 'RUN_NOT_RUNNING', report.text);
    assert.deepEqual((({ status, cancellation_cause }) => [status, cancellation_cause])(await s.getRun(run)), ['cancelled', 'user']);
    assert.equal((await f.w.update(job, { status: 'completed', output: 1 })).body.code, 'RUN_NOT_RUNNING');
    assert.equal((await f.w.poll()).status, 204, 'nobody gets it again');
  }
});

test('races: two resumes of a paused run: one, and it is handed out once', async () => {
  for (let round = 0; round < 5; round++) {
    const f = await setup();
    const run = await f.emit();
    const job = await f.take();
    assert.equal((await s.rpc('PauseRun', { run_id: run })).status, 200);
    assert.equal((await f.w.update(job, { status: 'progress', steps: [step(job, 'a', 1)] })).status, 200);
    const codes = (await Promise.all([1, 2, 3].map(() => s.rest('POST', '/runs/resume', { run_id: run })))).map((r) => r.status).sort();
    assert.equal(codes[0], 200);
    assert.ok(codes.slice(1).every((c) => c === 412 || c === 409), `${codes}`);
    const next = await f.take();
    assert.deepEqual([next.run_id, next.execution_seq], [run, job.execution_seq + 1]);
    assert.equal((await f.w.poll()).status, 204);
    assert.equal((await f.w.update(next, { status: 'completed', output: 1 })).status, 200);
  }
});

test('races: a push answer and a cancel or a pause: one end, and no second request', async (t) => {
  const waiting = new Map();
  let calls = 0;
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (d) => chunks.push(d));
    request.on('end', () => { calls++; waiting.set(JSON.parse(Buffer.concat(chunks)).run_id, response); });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.closeAllConnections(); server.close(); });
  const url = `http://127.0.0.1:${server.address().port}/`;
  await s.rpc('RegisterFunction', { id: 'wf-push', triggers: [{ event: 'wf-push.go' }], endpointUrl: url, retry: { maxAttempts: 1 } });
  for (let round = 0; round < 12; round++) {
    const run = (await s.rest('POST', '/events', { name: 'wf-push.go', data: {} })).body.run_ids[0];
    await until('the request', () => waiting.has(run));
    const release = () => { waiting.get(run).end('{"status":"completed","steps":[],"result":1}'); };
    const operator = round % 2 ? s.rpc('PauseRun', { run_id: run }) : cancel(run);
    if (round % 4 > 1) await new Promise((resolve) => setImmediate(resolve));
    release();
    const answer = await operator;
    const { status, output } = await s.untilRun(run, ['completed', 'cancelled']);
    if (round % 2) { // the completion wins over the flag
      assert.equal(status, 'completed');
      assert.ok(answer.status === 200 || answer.body.code === 'failed_precondition', answer.text);
    } else {
      assert.equal(answer.status, status === 'cancelled' ? 200 : 412, answer.text);
    }
    assert.equal(output ?? null, status === 'completed' ? 1 : null);
  }
  assert.equal(calls, 12);
});
