// The C library's worker on a stream against the real server: either may be killed, reports may be refused.
// SDK_WORKERS is the folder of the programs.
import { describe, test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { join } from 'node:path';
import { Server, until } from '../e2e/lib.mjs';

const usual = {}, shortLeases = { IRONFLOW_LEASE_MS: '4000', IRONFLOW_LEASE_CLAIM_MS: '4000', IRONFLOW_GRACE_MS: '500' };
let s, log, workers = 0;

/** A server for the tests inside. */
const suite = (name, env, tests) => describe(name, () => {
  before(async () => {
    s = await Server.start({ env });
    log = join(s.dir, 'steps.log');
  });
  after(() => s.stop());
  tests();
});

/** A worker that serves; `end` sends a signal and checks how it ended. */
async function start(...mode) {
  const id = `w-${workers++}`;
  const child = spawn(`${process.env.SDK_WORKERS}/stream_worker`, [s.url, log, id, ...mode],
    { stdio: ['ignore', 'pipe', 'pipe'] });
  const w = { id, child, said: '' };
  child.stderr.on('data', (d) => (w.said += d));
  w.ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code)));
  w.end = async (signal, want) => {
    child.kill(signal);
    assert.equal(await w.ended, want, w.said);
  };
  await listed(w, true);
  return w;
}
const row = async (w) => (await s.rest('GET', '/workers')).body.workers.find((x) => x.id === w.id);
const listed = (w, yes) => until(`${w.id} to ${yes ? 'come' : 'go'}`, async () => {
  if (w.child.exitCode !== null && yes) throw new Error(`the worker ended: ${w.said}`);
  return !!(await row(w)) === yes;
});
async function withWorker(mode, body) {
  const w = await start(...mode);
  try {
    await body(w);
    if (w.child.exitCode === null && w.child.signalCode === null) await w.end('SIGTERM', 0);
  } finally {
    w.child.kill('SIGKILL');
    rmSync(`${log}.open`, { force: true });
  }
}
const open = () => writeFileSync(`${log}.open`, '');
const emit = async (name, data = {}) => (await s.rest('POST', '/events', { name, data })).body.run_ids[0];
const stepsOf = async (run) => (await s.rest('GET', `/runs/${run}/steps`)).body.steps;
const did = (run) => !existsSync(log) ? [] :
  readFileSync(log, 'utf8').split('\n').filter((l) => l.startsWith(`${run} `)).map((l) => l.split(' ')[1]);
const done = (run, what) => until(`${run} to do ${what}`, () => did(run).includes(what));

suite('with short leases', shortLeases, () => {
  test('steps are stored while the run goes on, and heartbeats keep it beyond its lease', async () => {
    await withWorker([], async (w) => {
      const run = await emit('s.gate', { id: 1 });
      await until('the first step', async () => (await stepsOf(run)).some((x) => x.name === 'before' && x.status === 'completed'));
      assert.equal((await row(w)).transport, 'stream');
      const end = Date.now() + 7000; // more than a lease and its grace
      await until('time to pass', async () => Date.now() > end, 60000);
      assert.deepEqual([(await s.getRun(run)).status, did(run)], ['running', ['before']]);
      open();
      const { output, attempt } = await s.untilRun(run, 'completed');
      assert.deepEqual([output, attempt, did(run)], [[1, 'two', null], 1, ['before', 'after']]);
      assert.deepEqual((await stepsOf(run)).map((x) => x.output), [{ did: 'before' }, { did: 'after' }]);
    });
  });

  test('a killed worker: its run goes on with the next one after what was stored', async () => {
    let run;
    await withWorker(['each'], async (w) => {
      run = await emit('s.gate', { id: 4 });
      await until('the first step', async () => (await stepsOf(run)).length === 1);
      await w.end('SIGKILL', 'SIGKILL');
    });
    await withWorker([], async () => {
      open();
      await s.untilRun(run, 'completed');
      assert.deepEqual(did(run), ['before', 'after']);
    });
  });
});

suite('with the usual leases', usual, () => {
  test('a killed server: what was not heard is said again, nothing runs twice', async () => {
    for (const mode of [[], ['each']])
      await withWorker(mode, async () => {
        const runs = [await emit('s.gate', { id: 2 }), await emit('s.gate', { id: 3 })];
        for (const run of runs) await done(run, 'before');
        s.child.kill('SIGKILL');
        await s.exited;
        open();
        // both runs go on without a server, as far as they may
        for (const run of runs) await (mode.length ? done(run, 'before') : done(run, 'after'));
        s.ended = undefined;
        await s.launch();
        for (const run of runs) {
          await s.untilRun(run, 'completed');
          assert.deepEqual(did(run), ['before', 'after']);
          assert.deepEqual((await stepsOf(run)).map((x) => x.status), ['completed', 'completed']);
        }
      });
  });

  test('a cancel reaches the handler, by a user and by an event', async () => {
    await withWorker([], async () => {
      const one = await emit('s.gate', { id: 5 }), two = await emit('s.gate', { id: 6 });
      await done(one, 'before');
      await done(two, 'before');
      await s.rest('POST', `/runs/${one}/cancel`, { reason: 'enough' });
      await done(one, 'lost');
      await s.rest('POST', '/events', { name: 's.stop', data: { id: 6 } });
      await done(two, 'lost');
      for (const run of [one, two]) assert.equal((await s.getRun(run)).status, 'cancelled');
      open();
      await s.untilRun(await emit('s.gate', { id: 7 }), 'completed');
    });
  });

  test('a cancel while there is no server is learnt from it afterwards', async () => {
    await withWorker([], async (w) => {
      const run = await emit('s.gate', { id: 8 });
      await done(run, 'before');
      w.child.kill('SIGSTOP');
      await s.rest('POST', `/runs/${run}/cancel`, {});
      await s.crash();
      w.child.kill('SIGCONT');
      await done(run, 'lost');
      assert.equal((await s.getRun(run)).status, 'cancelled');
    });
  });

  test('a worker that is told to end finishes what runs and takes nothing new', async () => {
    await withWorker([], async (w) => {
      const run = await emit('s.gate', { id: 9 });
      await done(run, 'before');
      w.child.kill('SIGTERM');
      open();
      assert.equal(await w.ended, 0, w.said);
      assert.equal((await s.getRun(run)).status, 'completed');
      assert.deepEqual(did(run), ['before', 'after']);
      await listed(w, false);
      const next = await emit('s.gate', { id: 10 });
      assert.equal((await s.getRun(next)).status, 'pending');
      await s.rest('POST', `/runs/${next}/cancel`, {});
    });
  });

  test('a server that ends finishes what runs; the worker comes back to the next one', async () => {
    await withWorker([], async (w) => {
      const run = await emit('s.gate', { id: 11 });
      await done(run, 'before');
      s.child.kill('SIGTERM');
      open();
      await s.exited;
      await done(run, 'after');
      s.ended = undefined;
      await s.launch();
      await s.untilRun(run, 'completed');
      await listed(w, true);
      await s.untilRun(await emit('s.gate', { id: 12 }), 'completed');
      assert.deepEqual(did(run), ['before', 'after']);
    });
  });

  test('what no server takes fails its run for good and disturbs no other', async () => {
    await withWorker([], async () => {
      open();
      const runs = [];
      for (const name of ['s.latin', 's.gate', 's.big', 's.gate', 's.wait', 's.latin', 's.gate'])
        runs.push([name, await emit(name, { id: name })]);
      for (const [name, run] of runs) {
        const r = await s.untilRun(run, name === 's.gate' ? 'completed' : 'failed');
        if (name !== 's.gate') assert.deepEqual([r.error.code, r.attempt], ['REPORT_REFUSED', 1]);
        else assert.deepEqual(did(run), ['before', 'after']);
      }
    });
  });

  test('a wait for a number, and its event as it was sent', async () => {
    await withWorker([], async () => {
      const run = await emit('s.seven', { big: 1 });
      await s.untilRun(run, 'paused');
      await emit('s.number', { n: 8 });
      await emit('s.number', { n: '7' });
      await emit('s.number', { n: 7, ok: true });
      const { output } = await s.untilRun(run, 'completed');
      assert.deepEqual(output.got, { n: 7, ok: true });
      assert.equal(output.mine.name, 's.seven');
      assert.deepEqual(output.mine.data, { big: 1 });
    });
  });

  test('a failure is tried again', async () => {
    await withWorker([], async () => {
      const { error, attempt } = await s.untilRun(await emit('s.fails'), 'failed');
      assert.deepEqual([error.code, error.message, attempt], ['NOT_NOW', 'try 2', 2]);
    });
  });
});

/** A server that accepts functions and answers each stream with this status and body. */
async function refusing(status, body) {
  const one = http.createServer((req, res) => req.resume().on('end', () => res.end('{}')));
  const two = http2.createServer();
  two.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': status, 'content-type': 'application/json' });
    stream.end(JSON.stringify(body));
  });
  const server = net.createServer((socket) => socket.once('readable', () => {
    const bytes = socket.read();
    if (!bytes) return socket.destroy();
    socket.unshift(bytes);
    (bytes.toString().startsWith('PRI ') ? two : one).emit('connection', socket);
  }));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

test('a key that is refused, and a server without streams, end the worker with the reason', async () => {
  for (const [status, message] of [[401, 'who are you'], [501, 'no streams here']]) {
    const server = await refusing(status, { code: 'x', message });
    const child = spawn(`${process.env.SDK_WORKERS}/stream_worker`,
      [`http://127.0.0.1:${server.address().port}`, '/dev/null', 'w'],
      { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stderr.on('data', (d) => (said += d));
    assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 1);
    assert.match(said, new RegExp(message));
    server.close();
  }
});
