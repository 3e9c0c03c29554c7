// What was acknowledged survives kill -9 of the server, of the worker, or of both.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Server, step, until } from './lib.mjs';

const env = { IRONFLOW_POLL_HOLD_MS: '300' }; // and the usual leases: a restart may take long
const shortLeases = { ...env, IRONFLOW_LEASE_MS: '3000', IRONFLOW_LEASE_CLAIM_MS: '3000', IRONFLOW_GRACE_MS: '300' };

test('B48 D101 H159 H160 L231 L232 emits, steps, sleeps, retries and fences survive', async (t) => {
  const s = await Server.start({ env });
  t.after(() => s.stop());
  await s.register('c', 'c.go', { retry: { maxAttempts: 2, initialDelayMs: 500 } });
  let w = await s.worker('w', ['c']);
  const emit = async () => (await s.rest('POST', '/events', { name: 'c.go' })).body.run_ids[0];

  const queued = await emit();
  await s.crash();
  assert.equal((await s.getRun(queued)).status, 'pending');
  assert.ok([200, 204, 404].includes((await w.poll(0)).status));
  w = await s.worker('w', ['c']);

  let job = await w.take();
  await w.ack(job);
  await w.update(job, { status: 'progress', steps: [step(job, 'a', { n: 1 })], step_offset: 0 });
  await s.crash();
  const steps = (await s.rest('GET', `/runs/${queued}/steps`)).body.steps;
  assert.deepEqual(steps.map((x) => x.name), ['a']);
  const kept = await w.update(job, { status: 'completed', output: 'over the crash', steps: [step(job, 'b', 2)], step_offset: 1 });
  assert.equal(kept.status, 200, kept.text);
  await s.crash();
  assert.equal((await s.getRun(queued)).output, 'over the crash');
  assert.equal((await w.update(job, { status: 'completed', output: 'again' })).status, 200);

  w = await s.worker('w', ['c']);
  const sleeping = await emit(), retrying = await emit();
  const jobs = await w.take(2);
  await w.update(jobs[0], { status: 'yielded', yield: { step_id: `${sleeping}:z:0`, type: 'sleep', until: new Date(Date.now() + 700).toISOString() } });
  await w.update(jobs[1], { status: 'failed', error: { message: 'x', retryable: true } });
  await s.crash();
  w = await s.worker('w', ['c']);
  const woken = [await w.take(), await w.take()];
  assert.deepEqual(woken.map((j) => j.run_id).sort(), [sleeping, retrying].sort());
  assert.equal(woken.find((j) => j.run_id === retrying).attempt, 2);
  for (const j of woken) await w.update(j, { status: 'completed' });
});

test('D96 both die: a new worker on the restarted server gets the run with its steps', async (t) => {
  const s = await Server.start({ env: shortLeases });
  t.after(() => s.stop());
  await s.register('d', 'd.go');
  const w = await s.worker('w1', ['d']);
  const id = (await s.rest('POST', '/events', { name: 'd.go' })).body.run_ids[0];
  const job = await w.take();
  await w.ack(job);
  await w.update(job, { status: 'progress', steps: [step(job, 'a', 1)] });
  await s.crash();
  const fresh = await s.worker('w2', ['d']);
  const next = await fresh.take();
  assert.equal(next.run_id, id);
  assert.ok(next.execution_seq > job.execution_seq);
  assert.deepEqual(next.completed_steps.map((x) => x.name), ['a']);
  assert.equal((await w.update(job, { status: 'completed' })).body.code, 'STALE_EXECUTION');
});

test('SIGTERM: unready, then a clean exit; registrations survive', async (t) => {
  const s = await Server.start({ env });
  t.after(() => s.stop());
  await s.register('e', 'e.go');
  s.child.kill('SIGTERM');
  const end = await until('the exit', () => s.ended);
  assert.deepEqual(end, { code: 0, signal: null });
  s.ended = undefined;
  await s.launch();
  assert.equal((await s.rpc('GetFunction', { id: 'e' })).status, 200);
});
