// The C library's branches and compensations against the real server; one worker is killed in the
// middle of a run, one while it undoes. SDK_WORKERS is the folder of the programs.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Server, until } from '../e2e/lib.mjs';

const env = { IRONFLOW_LEASE_MS: '4000', IRONFLOW_LEASE_CLAIM_MS: '4000', IRONFLOW_GRACE_MS: '500', IRONFLOW_POLL_HOLD_MS: '300' };
let s, log;
before(async () => {
  s = await Server.start({ env });
  log = join(s.dir, 'steps.log');
});
after(() => s.stop());

/** Runs `body` with a worker that serves; it must end well, unless the body killed it. */
async function withWorker(mode, body) {
  const child = spawn(`${process.env.SDK_WORKERS}/branch_worker`, [s.url, log, ...mode], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (d) => (said += d));
  child.ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code)));
  const end = async (signal, want) => {
    child.kill(signal);
    assert.equal(await child.ended, want, said);
  };
  try {
    await until('the functions', async () => /"c-saga"/.test((await s.rest('GET', '/functions')).text));
    await body(child, end);
    if (child.exitCode === null && child.signalCode === null) await end('SIGTERM', 0);
  } finally {
    child.kill('SIGKILL');
  }
}
const emit = async (name, data) => (await s.rest('POST', '/events', { name, data })).body.run_ids[0];
const stepsOf = async (run) => (await s.rest('GET', `/runs/${run}/steps`)).body.steps;
/** What the steps of a run did. */
const did = (run) => readFileSync(log, 'utf8').split('\n').filter((l) => l.startsWith(run)).map((l) => l.split(' ')[1]);

test('a worker killed inside a map repeats no completed step of a branch', async () => {
  let run;
  await withWorker(['hang'], async (child, end) => {
    run = await emit('c.crash', {});
    await until('10 steps to be stored and 2 to hang', async () =>
      (await stepsOf(run)).filter((x) => x.status === 'completed').length === 10 &&
      readFileSync(log, 'utf8').split('hangs second').length === 3);
    await end('SIGKILL', 'SIGKILL');
  });
  await withWorker([], async () => {
    assert.deepEqual((await s.untilRun(run, 'completed')).output, [0, 5]);
  });
  const want = [0, 1, 2, 3, 4, 5].flatMap((i) => [`first-${i}`, `second-${i}`]).sort();
  assert.deepEqual(did(run).sort(), want);
  const ids = (await stepsOf(run)).map((x) => x.step_id).sort();
  assert.deepEqual(ids, [0, 1, 2, 3, 4, 5].flatMap((i) => [`${run}:items:${i}:first:0`, `${run}:items:${i}:second:0`]));
});

test('branches that wait are parked one at a time, and what they did stays done', async () => {
  await withWorker([], async () => {
    const run = await emit('c.fan', { order: 7 });
    await until('the wait', async () =>
      (await stepsOf(run)).some((x) => x.step_type === 'wait_for_event' && x.status === 'waiting'));
    await emit('c.answer', { order: 8, said: 'no' });
    await emit('c.answer', { order: 7, said: 'yes' });
    assert.equal((await s.untilRun(run, 'completed')).output, 'yes');
    assert.deepEqual(did(run).sort(), ['a', 'a', 'b', 'b']);
    const ids = (await stepsOf(run)).map((x) => x.step_id.slice(run.length)).sort();
    assert.deepEqual(ids, [':fan:0:after:0', ':fan:0:before:0', ':fan:0:nap:0', ':fan:1:answer:0',
      ':fan:2:after:0', ':fan:2:before:0', ':fan:2:nap:0']);
  });
});

test('many branches report all their steps', async () => {
  await withWorker([], async () => {
    const run = await emit('c.many', {});
    await s.untilRun(run, 'completed');
    assert.equal(did(run).length, 900);
  });
});

test('a run that fails for good is undone in reverse order, and once', async () => {
  let run;
  await withWorker(['closed'], async () => {
    run = await emit('c.saga', {});
    assert.equal((await s.untilRun(run, 'failed')).error.code, 'SOLD_OUT');
    assert.deepEqual(did(run), ['charge', 'reserve', 'release']);
    assert.deepEqual((await stepsOf(run)).map((x) => [x.name, x.step_type, x.status, x.compensation_for ?? '']), [
      ['charge', 'invoke', 'completed', ''], ['reserve', 'invoke', 'completed', ''],
      ['compensate:reserve', 'compensate', 'completed', 'reserve'],
      ['compensate:charge', 'compensate', 'failed', 'charge']]);
  });
  await withWorker([], async () => { // the resumed run fails again: only what is not undone yet is undone
    assert.equal((await s.rest('POST', '/runs/resume', { run_id: run })).status, 200);
    await until('the refund', () => did(run).length === 4);
    await s.untilRun(run, 'failed');
    assert.deepEqual(did(run), ['charge', 'reserve', 'release', 'refund']);
  });
});

test('a worker killed while it undoes leaves the rest to the next one', async () => {
  let run;
  await withWorker(['hang'], async (child, end) => {
    run = await emit('c.saga', {});
    await until('one to be undone and one to hang', async () =>
      (await stepsOf(run)).some((x) => x.name === 'compensate:reserve' && x.status === 'completed') &&
      readFileSync(log, 'utf8').includes('hangs refund'));
    await end('SIGKILL', 'SIGKILL');
  });
  await withWorker([], async () => {
    assert.equal((await s.untilRun(run, 'failed')).error.code, 'SOLD_OUT');
    assert.deepEqual(did(run), ['charge', 'reserve', 'release', 'refund']);
  });
});

test('a run that runs out of attempts is not undone', async () => {
  await withWorker([], async () => {
    const run = await emit('c.saga', { again: true });
    const { error, attempt } = await s.untilRun(run, 'failed');
    assert.deepEqual([error.code, attempt], ['SOLD_OUT', 2]);
    assert.deepEqual(did(run), ['charge', 'reserve']);
  });
});
