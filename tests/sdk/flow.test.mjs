// The C library's waits and invokes against the real server. SDK_WORKERS is the folder of the programs.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { Server, until } from '../e2e/lib.mjs';

let s, worker, log = '';
before(async () => {
  s = await Server.start();
  worker = spawn(`${process.env.SDK_WORKERS}/flow_worker`, [s.url], { stdio: ['ignore', 'pipe', 'pipe'] });
  worker.ended = new Promise((resolve) => worker.on('exit', (code) => resolve(code)));
  worker.stderr.on('data', (d) => (log += d));
  await until('the worker', async () => (await s.rest('GET', '/workers')).body.count === 1);
});
after(async () => {
  worker.kill('SIGTERM');
  assert.equal(await worker.ended, 0, log);
  await s.stop();
});
const emit = async (name, data) => (await s.rest('POST', '/events', { name, data })).body.run_ids[0];

test('a wait takes the event that matches', async () => {
  const a = await emit('c.approval', { order: 'a' }), b = await emit('c.approval', { order: 'b' });
  await s.untilRun(a, 'paused');
  await s.untilRun(b, 'paused');
  await emit('c.approved', { order: 'b', by: 'bea' });
  assert.deepEqual((await s.untilRun(b, 'completed')).output, { by: 'bea' });
  assert.equal((await s.getRun(a)).status, 'paused');
  await emit('c.approved', { order: 'a', by: 'ann' });
  assert.deepEqual((await s.untilRun(a, 'completed')).output, { by: 'ann' });
});

test('a wait that times out fails the run', async () => {
  assert.equal((await s.untilRun(await emit('c.late', {}), 'failed')).error.code, 'WAIT_TIMEOUT');
});

test('an invoke gives the output of the other function', async () => {
  assert.deepEqual((await s.untilRun(await emit('c.parent', { n: 21 }), 'completed')).output, { got: 42 });
});

test('a function that fails or takes too long is caught', async () => {
  for (const n of [-1, 0])
    assert.deepEqual((await s.untilRun(await emit('c.parent', { n }), 'completed')).output, { got: 'caught' });
});

test('an async invoke gives the run id', async () => {
  const { output } = await s.untilRun(await emit('c.async', {}), 'completed');
  assert.equal((await s.untilRun(output.child, 'completed')).output, 8);
});
