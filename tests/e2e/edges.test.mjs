// Small promises at the edges of the interface: what is public, what a credential looks like, what
// the texts of errors say, how the program starts and ends.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, bin, pgUrl, raw, run, step, until } from './lib.mjs';

test('public paths ask nobody for a credential, whatever the method', async (t) => {
  const s = await Server.start({ dev: false });
  t.after(() => s.stop());
  const paths = ['/auth/login', '/auth/validate', '/platform/auth/login'];
  for (const path of paths)
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const answer = await s.rest(method, path, undefined, { authorization: '' });
      assert.ok([405, 501].includes(answer.status), `${method} ${path}: ${answer.status}`);
      if (answer.status === 405) assert.match(answer.headers.get('allow'), /^(GET|POST)$/);
    }
  assert.equal((await s.rest('DELETE', '/health', undefined, { authorization: '' })).status, 405);
  assert.equal((await s.rest('PUT', '/events', undefined, { authorization: '' })).status, 401,
    'a protected path tells strangers nothing, not even its methods');
});

test('a credential comes with its scheme', async (t) => {
  const s = await Server.start({ dev: false });
  t.after(() => s.stop());
  const status = async (authorization) => (await s.rest('GET', '/functions', undefined, { authorization })).status;
  for (const scheme of ['Bearer', 'bearer', 'BEARER'])
    assert.equal(await status(`${scheme} ${s.key}`), 200, scheme);
  for (const odd of [s.key, `Basic ${s.key}`, `Bearer${s.key}`, `Token ${s.key}`, 'Bearer'])
    assert.equal(await status(odd), 401, odd.replace(s.key, '<key>'));
});

test('Connect GET names the encoding that is missing', async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  const r = await fetch(`${s.url}/ironflow.v1.IronflowService/ListRuns?message=%7B%7D`);
  const body = await r.json();
  assert.deepEqual([r.status, body.code], [400, 'invalid_argument']);
  assert.match(body.message, /^encoding: /);
});

test('a deadline that ends a wait says what is stored', async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  const fn = await s.register('late', 'late.go');
  assert.ok(fn);
  const sync = await s.rpc('TriggerSync', { event: 'late.go', timeoutMs: 60000 }, { 'connect-timeout-ms': '3000' });
  assert.deepEqual([sync.status, sync.body.code], [504, 'deadline_exceeded']);
  assert.ok(!sync.body.message.includes('before the request could run'), sync.body.message);
  const events = (await s.rest('GET', '/events?name=late.go')).body.events;
  assert.equal(events.length, 1);
  assert.ok(sync.body.message.includes(events[0].id), sync.body.message);
  const invoke = await s.rpc('InvokeFunctionSync', { functionId: 'late', timeoutMs: 60000 }, { 'connect-timeout-ms': '3000' });
  assert.deepEqual([invoke.status, invoke.body.code], [504, 'deadline_exceeded']);
  const runs = (await s.rest('GET', '/runs')).body.runs;
  assert.equal(runs.length, 2);
  assert.ok(invoke.body.message.includes(runs[0].id), invoke.body.message);
  const early = await s.rpc('TriggerSync', { event: 'late.go' }, { 'connect-timeout-ms': '0' });
  assert.equal(early.status, 504);
  assert.match(early.body.message, /before the request could run/);
});

test('a final error without a message keeps its code', async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  await s.register('bad', 'bad.go', { retry: { maxAttempts: 1 } });
  const w = await s.worker('w', ['bad']);
  await s.rest('POST', '/events', { name: 'bad.go' });
  const job = await w.take();
  assert.equal((await w.update(job, { status: 'failed', error: { code: 'E_QUOTA', retryable: false } })).status, 200);
  const found = await s.untilRun(job.run_id, 'failed');
  assert.deepEqual([found.error.code, found.error.message], ['E_QUOTA', 'unknown error']);
});

test('LOG_LEVEL and LOG_FORMAT: unknown words stop serve with one message', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-log-'));
  try {
    for (const name of ['LOG_LEVEL', 'LOG_FORMAT']) {
      const bad = await run(bin, ['serve', '--port', '0', '--db', join(dir, 'x.db')],
        { env: { PATH: process.env.PATH, [name]: 'loudly' } });
      assert.equal(bad.code, 1, name);
      assert.equal(bad.stderr.trim().split('\n').length, 1, bad.stderr);
      assert.match(bad.stderr, new RegExp(`^Error: ${name}: expected .* not loudly`));
    }
    assert.ok(!existsSync(join(dir, 'x.db')));
    const client = await run(bin, ['version'], { env: { PATH: process.env.PATH, LOG_LEVEL: 'loudly' } });
    assert.equal(client.code, 0);
    assert.match(client.stderr, /LOG_LEVEL/);
  } finally { rmSync(dir, { recursive: true }); }
});

test('emit --wait refuses a timeout of nothing before it says anything', async () => {
  const out = await run(bin, ['emit', 'a.b', '-w', '-t', '0s', '-s', 'http://127.0.0.1:9']);
  assert.equal(out.code, 1);
  assert.equal(out.stdout, '');
  assert.match(out.stderr, /--timeout/);
});

test('--bootstrap-key-file: missing directories are made, for the operator alone', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-deep-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const s = await Server.start({ flags: ['--bootstrap-key-file', join(dir, 'a', 'b', 'c', 'key.json')] });
  t.after(() => s.stop());
  assert.match(JSON.parse(readFileSync(join(dir, 'a', 'b', 'c', 'key.json'), 'utf8')).key, /^ifkey_/);
  for (const part of [['a'], ['a', 'b'], ['a', 'b', 'c']])
    assert.equal(statSync(join(dir, ...part)).mode & 0o777, 0o700, part.join('/'));
});

test('serve --dev tells clients in its directory where it is, as long as it lives', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-here-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, '.ironflow', 'engine.json');
  const plain = await Server.start({ cwd: dir });
  assert.ok(!existsSync(join(dir, '.ironflow')), 'the directory is the user\'s to make');
  await plain.stop();
  mkdirSync(join(dir, '.ironflow'));
  const guarded = await Server.start({ cwd: dir, dev: false });
  assert.ok(!existsSync(file), 'only dev mode is told about');
  await guarded.stop();
  const s = await Server.start({ cwd: dir });
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')),
    { version: 1, url: `http://localhost:${s.port}`, environment: 'default' });
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await s.crash();
  assert.equal(JSON.parse(readFileSync(file, 'utf8')).url, `http://localhost:${s.port}`);
  await s.stop();
  assert.ok(!existsSync(file));
  const later = await Server.start({ cwd: dir });
  writeFileSync(file, '{"version":1,"url":"http://localhost:1"}\n');
  await later.stop();
  assert.ok(existsSync(file), 'another server\'s file is not ours to remove');
});

test('/ready says 503 to who still has a connection while the server drains', async () => {
  const s = await Server.start();
  await s.register('slow', 'slow.go');
  const held = s.rpc('TriggerSync', { event: 'slow.go', timeoutMs: 8000 });
  await until('the run', async () => (await s.rest('GET', '/runs')).body.runs.length === 1);
  const socket = net.connect(s.port, '127.0.0.1');
  let text = '';
  socket.on('data', (d) => (text += d));
  socket.on('error', () => {});
  socket.write('GET /ready HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('ready', () => text.includes('"ready"'));
  text = '';
  socket.write('GET /ready HTTP/1.1\r\nHo');
  await raw(s.port, 'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  s.child.kill('SIGTERM');
  await until('the drain', () => s.stderr.includes('shutting down'));
  await until('the listener to close', () => new Promise((resolve) => {
    const probe = net.connect(s.port, '127.0.0.1', () => { probe.destroy(); resolve(false); });
    probe.on('error', () => resolve(true));
  }));
  socket.write('st: x\r\n\r\n');
  await until('an answer', () => text.includes('\r\n\r\n'));
  assert.match(text, /^HTTP\/1\.1 503 /);
  assert.match(text, /"not_ready".*shutting down/s);
  socket.destroy();
  assert.equal((await held).status, 200, 'who waited gets its answer');
  assert.equal((await s.exited).code, 0);
  await s.stop();
});

test('steps of a run come whole or in parts', async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  await s.register('many', 'many.go');
  const w = await s.worker('w', ['many']);
  await s.rest('POST', '/events', { name: 'many.go' });
  const job = await w.take();
  const names = ['a', 'b', 'c', 'd', 'e'];
  await w.update(job, { status: 'completed', output: 1, steps: names.map((n) => step(job, n, n)) });
  const read = async (query) => (await s.rest('GET', `/runs/${job.run_id}/steps${query}`)).body.steps.map((x) => x.name);
  assert.deepEqual(await read(''), names);
  assert.deepEqual(await read('?limit=2&offset=3'), ['d', 'e']);
  assert.deepEqual(await read('?offset=4'), ['e']);
  assert.equal((await s.rest('GET', `/runs/${job.run_id}/steps?limit=-1`)).status, 400);
  const rpc = await s.rpc('GetRunSteps', { runId: job.run_id });
  assert.equal(rpc.body.steps.length, 5);
});
