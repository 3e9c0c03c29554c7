// Commands, variables, endpoints and RPCs of the mission documents, by the row numbers of the coverage
// list: a real server, the real command line. What the command line prints is held byte for byte in
// tests/golden; engine rules are in emit, functions, pull and crash.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Server, bin, pgUrl, run, step, until } from './lib.mjs';

let s;
before(async () => { s = await Server.start({ dev: false, env: { IRONFLOW_POLL_HOLD_MS: '300' } }); });
after(() => s.stop());

const sorted = (o) => Object.keys(o).sort();
const emit = async (name, data = {}) => (await s.rest('POST', '/events', { name, data })).body;
/** The command line with a key and the server's URL in its variables. */
const cli = (args, { env = {}, input } = {}) => run(bin, args, { input,
  env: { PATH: process.env.PATH, HOME: s.dir, IRONFLOW_SERVER_URL: s.url, IRONFLOW_API_KEY: s.key, ...env } });
const count = async (name) => (await s.rest('GET', `/events?name=${name}`)).body.count;
/** A function `<id>` on the event `<id>.go` and a worker that plays its handler. */
async function actor(id, extra) {
  await s.register(id, `${id}.go`, extra);
  const w = await s.worker(`w-${id}`, [id]);
  /** The next run: one step, then this output. */
  const play = async (output) => {
    const job = await w.take();
    await w.ack(job);
    await w.update(job, { status: 'completed', output, steps: [step(job, 'only', output)], step_offset: 0 });
    return job;
  };
  return { w, play, emit: async (data) => (await emit(`${id}.go`, data)).run_ids[0] };
}

// ---- command line -------------------------------------------------------------------------------

test('A1 A2 C1 C2 C3 server, key and environment come from the variables; -s beats', async () => {
  assert.equal((await cli(['run', 'list'])).code, 0);
  const nobody = await cli(['run', 'list'], { env: { IRONFLOW_API_KEY: '' } });
  assert.deepEqual([nobody.code, nobody.stdout], [1, '']);
  assert.match(nobody.stderr, /IRONFLOW_API_KEY/);
  assert.equal((await cli(['run', 'list'], { env: { IRONFLOW_ENV: 'default' } })).code, 0);
  const nowhere = await cli(['run', 'list'], { env: { IRONFLOW_ENV: 'nowhere' } });
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /environment not found/);
  const wrong = { IRONFLOW_SERVER_URL: 'http://127.0.0.1:1' };
  assert.equal((await cli(['run', 'list'], { env: wrong })).code, 1);
  assert.equal((await cli(['run', 'list', '-s', s.url], { env: wrong })).code, 0);
  const unset = await cli(['run', 'list', '-v'], { env: { IRONFLOW_SERVER_URL: '' } });
  assert.match(unset.stderr, /http:\/\/localhost:9123\/api\/v1\/runs/);
});

test('A4 A5 C5 logs go to stderr at warn, with -v at debug; LOG_LEVEL beats; serve logs at info', async (t) => {
  await s.register('a5', 'a5.go');
  const quiet = await cli(['function', 'list', '--json']);
  assert.equal(quiet.stderr, '');
  const loud = await cli(['function', 'list', '--json', '-v']);
  assert.equal(loud.stdout, quiet.stdout);
  assert.match(loud.stderr, /DEBUG/);
  assert.ok(!loud.stderr.includes(s.key));
  assert.ok(JSON.parse(loud.stdout).functions.length > 0);
  const beaten = await cli(['--verbose', 'function', 'list'], { env: { LOG_LEVEL: 'error' } });
  assert.equal(beaten.stderr, '');
  const plain = await Server.start({ env: { LOG_LEVEL: undefined } });
  t.after(() => plain.stop());
  const line = JSON.parse(plain.stderr.split('\n').find((l) => l.startsWith('{')));
  assert.equal(line.level, 'info');
  const warn = await Server.start({ env: { LOG_LEVEL: 'warn', LOG_FORMAT: 'text' } });
  t.after(() => warn.stop());
  assert.ok(!/server started/.test(warn.stderr));
});

test('A8 A9 data comes from one of flag, file, pipe; several are refused, none is {}', async () => {
  const file = join(s.dir, 'data.json');
  writeFileSync(file, '{"from":"file"}');
  const sent = async (args, input) => {
    const done = await cli(['emit', 'a9.data', '--json', ...args], { input });
    assert.equal(done.code, 0, done.stderr);
    return (await s.rest('GET', `/events/${JSON.parse(done.stdout).event_id}`)).body.data;
  };
  assert.deepEqual(await sent(['--data', '{"from":"flag"}']), { from: 'flag' });
  assert.deepEqual(await sent(['-f', file]), { from: 'file' });
  assert.deepEqual(await sent([], '{"from":"pipe"}'), { from: 'pipe' });
  assert.deepEqual(await sent([]), {});
  const had = await count('a9.data');
  for (const [args, input] of [[['-d', '{}', '-f', file]], [['-d', '{}'], '{}'], [['-f', file], '{}'], [['-d', '{']]])
    assert.equal((await cli(['emit', 'a9.data', ...args], { input })).code, 1, args.join(' '));
  assert.equal(await count('a9.data'), had);
});

test('B20 emit: ids, metadata and version; --wait shows every run and fails with it', async () => {
  const { play } = await actor('b20');
  const plain = await cli(['emit', 'b20.go', '-d', '{"order_id":"123"}', '-m', 'source=cli', '-m', 'env=dev', '--version', '2']);
  const [, event, runId] = plain.stdout.match(/^Event emitted: (evt_\w+) \(b20\.go\)\nTriggered 1 run\(s\): (run_\w+)\n$/);
  const job = await play({ ok: true });
  assert.deepEqual([job.run_id, job.event.id, job.event.version], [runId, event, 2]);
  assert.deepEqual(job.event.metadata, { source: 'cli', env: 'dev' });
  const waiting = cli(['emit', 'b20.go', '--wait', '--timeout', '20s']);
  await play({ order_confirmed: true });
  const good = await waiting;
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /^Emitting event "b20\.go" and waiting for completion \(timeout: 20s\)\.\.\.\n✓ b20 RUN_STATUS_COMPLETED \d+ms \{"order_confirmed":true\}\n$/);
  const late = await cli(['emit', 'b20.go', '-w', '-t', '100ms', '--json']);
  assert.equal(late.code, 1);
  assert.equal(JSON.parse(late.stdout).results[0].status, 'RUN_STATUS_WAITING_FOR_CAPACITY');
});

test('B34 invoke: waits, fails with the run, or not', async () => {
  const { w, play } = await actor('b34');
  const waiting = cli(['invoke', 'b34', '-d', '{"order_id":"123"}']);
  const job = await play({ order_confirmed: true });
  assert.equal(job.event.name, 'ironflow.invoke.b34');
  const done = await waiting;
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /^Invoking b34 \(timeout: 30s\)\.\.\.\n✓ b34 completed in \d+ms\n {2}Output: \{"order_confirmed":true\}\n$/);
  const late = await cli(['invoke', 'b34', '-t', '50ms']);
  assert.equal(late.code, 1);
  assert.match(late.stdout, /✗ b34 pending in 0ms\n/);
  await play(null);
  const forget = await cli(['invoke', 'b34', '--no-wait', '-m', 'a=b']);
  assert.match(forget.stdout, /^Invoked b34 \(event: evt_\w+\)\nRun ID: run_\w+\n$/);
  assert.deepEqual((await play(null)).event.metadata, { a: 'b' });
  const failing = cli(['invoke', 'b34']);
  const bad = await w.take();
  await w.update(bad, { status: 'failed', error: { message: 'no stock', code: 'STOCK', retryable: false } });
  const failed = await failing;
  assert.equal(failed.code, 1);
  assert.match(failed.stdout, /✗ b34 failed in \d+ms\n {2}Error: no stock\n$/);
  assert.equal((await cli(['invoke', 'nobody', '--no-wait'])).code, 1);
});

test('B29 B30 function list and get show what is registered', async () => {
  await s.register('b29', 'b29.go', { name: 'Process Order', description: 'Takes orders' });
  const list = await cli(['function', 'list', '--limit', '100']);
  assert.match(list.stdout, /^ID +TRIGGERS +MODE\n/);
  assert.match(list.stdout, /^b29 +b29\.go\S* +pull$/m);
  const get = await cli(['function', 'get', 'b29']);
  assert.match(get.stdout, /^ID: b29\nName: Process Order\nDescription: Takes orders\nMode: pull\nTriggers: b29\.go\S*\n$/);
  assert.equal(JSON.parse((await cli(['function', 'get', 'b29', '--json'])).stdout).id, 'b29');
  assert.equal((await cli(['function', 'get', 'nobody'])).code, 1);
});

test('B90 B91 B92 run list, get and cancel', async () => {
  const f = await actor('b90');
  const done = await f.emit();
  await f.play(1);
  const open = await f.emit();
  const list = await cli(['run', 'list', '--function', 'b90', '--status', 'pending,completed', '--limit', '2']);
  assert.match(list.stdout, new RegExp(`^ID +FUNCTION +STATUS +STARTED\n${open} +b90 +pending *\n${done} +b90 +completed +\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\n$`));
  assert.equal(JSON.parse((await cli(['run', 'list', '--status', 'pending', '--json'])).stdout).runs[0].id, open);
  const get = await cli(['run', 'get', done]);
  assert.match(get.stdout, new RegExp(`^ID: ${done}\nFunction: b90\nStatus: completed\nMode: pull\nEvent: evt_\\w+\nStarted: \\S+Z\nEnded: \\S+Z\nDuration: \\S+s\n$`));
  const cancel = await cli(['run', 'cancel', open, '--reason', 'no longer needed']);
  assert.equal(cancel.stdout, `Canceled run ${open} (status: cancelled)\n`);
  assert.equal((await cli(['run', 'cancel', open])).code, 0);
  assert.equal((await cli(['run', 'cancel', done])).code, 1);
  assert.equal((await cli(['run', 'get', 'run_none'])).code, 1);
});

test('B105 B119 server info and version', async () => {
  const info = await cli(['server', 'info']);
  assert.match(info.stdout, new RegExp(`^Server: ${s.url}\nVersion: \\S+\nStatus: healthy\nUptime: \\S+\nGo: .+\nFunctions: \\d+ registered\nRuns: \\d+ active\nWorkers: \\d+ connected\n$`));
  assert.equal(JSON.parse((await cli(['server', 'info', '--json'])).stdout).status, 'healthy');
  assert.equal((await cli(['server', 'info', '-s', 'http://127.0.0.1:1'])).code, 1);
  const version = await cli(['version'], { env: { IRONFLOW_SERVER_URL: 'http://127.0.0.1:1' } });
  assert.match(version.stdout, /^ironflow version v\d+\.\d+\.\d+\n {2}go: .+\n {2}os\/arch: linux\/\w+\n$/);
});

// ---- serve --------------------------------------------------------------------------------------

/** `serve` in a directory of its own until it has started (or ended). */
async function serve(t, args, env = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-serve-'));
  const child = spawn(resolve(bin), ['serve', '--port', '0', ...args], { cwd: dir, env: { PATH: process.env.PATH, HOME: dir, ...env } });
  const it = { dir, text: '', code: null };
  child.stderr.on('data', (d) => (it.text += d));
  const exited = new Promise((done) => child.on('exit', (code) => { it.code = code; done(); }));
  t.after(async () => { child.kill('SIGTERM'); await exited; rmSync(dir, { recursive: true }); });
  await until('serve', () => it.code !== null || /server started/.test(it.text));
  return it;
}

test('B101 B102 C6 serve: defaults beside the database, node id, browser, first key, dev warning', async (t) => {
  const tools = mkdtempSync(join(tmpdir(), 'ironflow-open-'));
  t.after(() => rmSync(tools, { recursive: true }));
  writeFileSync(join(tools, 'xdg-open'), `#!/bin/sh\nprintf %s "$1" >${tools}/url\n`);
  chmodSync(join(tools, 'xdg-open'), 0o755);
  const plain = await serve(t, ['--open'], { PATH: `${tools}:${process.env.PATH}`, IRONFLOW_NODE_ID: 'node-7' });
  assert.ok(existsSync(join(plain.dir, 'ironflow.db')));
  const file = join(plain.dir, '.ironflow_bootstrap_key.json');
  assert.equal(statSync(file).mode & 0o777, 0o400);
  assert.ok(plain.text.includes(JSON.parse(readFileSync(file, 'utf8')).key));
  assert.match(plain.text, /node-7/);
  assert.ok(!/dev mode/i.test(plain.text));
  const port = plain.text.match(/http:\/\/localhost:(\d+)/)[1];
  await until('the browser', () => existsSync(join(tools, 'url')) && readFileSync(join(tools, 'url'), 'utf8') === `http://localhost:${port}`);
  const dev = await serve(t, ['--dev', '-d', 'other.db', '--node-id', 'flag', '--bootstrap-key-file', 'keys/k.json'], { IRONFLOW_NODE_ID: 'variable' });
  assert.match(dev.text, /WARNING: dev mode/);
  assert.match(dev.text, /Node: +flag/);
  assert.ok(existsSync(join(dev.dir, 'other.db')));
  assert.equal(statSync(join(dev.dir, 'keys')).mode & 0o777, 0o700);
  assert.equal((await serve(t, [], { IRONFLOW_DEV: 'true' })).text.includes('dev mode'), false);
});

test('B103 serve: message store derived, chosen, in memory, or missing', async (t) => {
  const derived = await serve(t, []);
  assert.ok(statSync(join(derived.dir, 'ironflow-nats')).isDirectory());
  const both = await serve(t, ['--nats-store-dir', 'flag'], { NATS_STORE_DIR: 'variable' });
  assert.ok(existsSync(join(both.dir, 'flag')) && !existsSync(join(both.dir, 'variable')));
  const variable = await serve(t, [], { NATS_STORE_DIR: 'variable' });
  assert.ok(existsSync(join(variable.dir, 'variable')));
  const memory = await serve(t, ['--db', ':memory:', '--nats-store-dir=', '--bootstrap-key-file', 'key.json']);
  assert.equal(memory.code, null, memory.text);
  for (const [args, env] of [[['--db', ':memory:'], {}], [[], { IRONFLOW_DATABASE_URL: pgUrl || 'postgres://127.0.0.1:1/x' }]]) {
    const refused = await serve(t, args, env);
    assert.equal(refused.code, 1);
    assert.match(refused.text, /--nats-store-dir.*--nats-store-dir=""/s);
  }
});

test('B101 serve -f: settings of a file; what is wrong in it ends the start with its line', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-file-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'ironflow.yaml');
  const head = 'apiVersion: ironflow/v1\nkind: Server\nspec:\n';
  const started = async (spec, args = [], env = {}) => {
    writeFileSync(file, head + spec);
    return serve(t, ['-f', file, ...args], env);
  };
  const told = await started('  storage: {path: told.db}\n  auth: {devMode: true}\n  cluster: {nodeId: "${NAME:-in-file}"}\n  observability: {logging: {format: text}}\n');
  assert.ok(existsSync(join(told.dir, 'told.db')) && !existsSync(join(told.dir, 'ironflow-nats')));
  assert.match(told.text, /WARNING: dev mode/);
  assert.match(told.text, /Node: +in-file/);
  assert.ok(!told.text.includes('{"'));
  const beaten = await started('  storage: {path: told.db}\n  cluster: {nodeId: in-file}\n', ['-d', 'flag.db'], { IRONFLOW_NODE_ID: 'variable' });
  assert.ok(existsSync(join(beaten.dir, 'flag.db')) && !existsSync(join(beaten.dir, 'told.db')));
  assert.match(beaten.text, /Node: +variable/);
  for (const [spec, words] of [['  prot: 1\n', ':4: spec.prot: unknown key'], ['  port: x\n', ':4: spec.port: expected 1 to 65535, not x'],
    ['  a: [\n', ':'], ['  license: abc\n', ':4: spec.license: not supported by this release'], ['  port: ${NOBODY}\n', ':4: spec.port: ${NOBODY} is not set']]) {
    const refused = await started(spec);
    assert.equal(refused.code, 1);
    assert.ok(refused.text.includes(`Error: ${file}${words}`), refused.text);
  }
  const none = await serve(t, ['-f', join(dir, 'nowhere.yaml')]);
  assert.deepEqual([none.code, none.text.includes('nowhere.yaml: No such file')], [1, true]);
});

// ---- REST ---------------------------------------------------------------------------------------

test('D1 D2 D4 G17 every path wants a credential except the public ones', async () => {
  const bare = (method, path) => fetch(s.url + path, { method }).then((r) => r.status);
  const open = ['/health', '/ready', '/metrics', '/api/v1/capabilities', '/api/v1/health', '/api/v1/ready'];
  for (const path of open) assert.notEqual(await bare('GET', path), 401, path);
  for (const [method, path] of [['POST', '/api/v1/auth/login'], ['GET', '/api/v1/auth/validate'], ['POST', '/api/v1/platform/auth/login']])
    assert.notEqual(await bare(method, path), 401, path);
  const { routes } = (await s.rest('GET', '/routes')).body;
  for (const route of routes.filter((r) => !open.includes(r.path)))
    assert.equal(await bare(route.method, route.path.replace(/\{[^}]*\}/g, 'x')), 401, `${route.method} ${route.path}`);
  for (const path of ['/api/v1/no/such', '/ironflow.v1.IronflowService/Info', '/ironflow.v1.No/Such', '/ws'])
    assert.equal(await bare('POST', path), 401, path);
  assert.equal((await s.rest('GET', '/functions')).status, 200);
  assert.equal((await s.rest('GET', '/functions', undefined, { authorization: 'Bearer wrong', cookie: `ironflow_dashboard_token=${s.key}` })).status, 401);
  for (const [environment, status] of [['default', 200], ['env_default', 200], ['nowhere', 404]])
    assert.equal((await s.rest('GET', '/functions', undefined, { 'x-ironflow-environment': environment })).status, status);
});

test('D5 codes 200 204 400 401 404 409 412 carry error, message and code', async () => {
  const f = await actor('d5');
  await s.register('d5-other', 'd5.other');
  const invoke = (id, key) => s.rest('POST', `/functions/${id}/invoke`, {}, { 'idempotency-key': key });
  assert.equal((await invoke('d5', 'd5-key')).status, 200);
  const done = await f.emit();
  await f.play(1);
  await f.play(1);
  for (const [answer, status, code] of [
    [await s.rest('POST', '/events', {}), 400, 'invalid_argument'],
    [await s.rest('GET', '/runs/run_none'), 404, 'not_found'],
    [await invoke('d5-other', 'd5-key'), 409, 'already_exists'],
    [await s.rest('POST', `/runs/${done}/cancel`), 412, 'failed_precondition'],
  ]) {
    assert.deepEqual([answer.status, answer.body.code], [status, code], answer.text);
    assert.equal(answer.body.error, answer.body.message);
  }
  const none = await f.w.poll(1);
  assert.deepEqual([none.status, none.text], [204, '']);
});

test('E1 E3 emit answers the two ids of the reference in its order; an event by id', async () => {
  await s.register('e1', 'order.placed');
  const sent = await s.rest('POST', '/events', { name: 'order.placed', data: { orderId: '123', total: 99.99 }, metadata: { source: 'checkout', traceId: 'abc-123' } });
  assert.match(sent.text, /^\{"event_id":"evt_\w+","run_ids":\["run_\w+"\]\}$/);
  assert.match((await s.rest('POST', '/events', { name: 'e1.nobody' })).text, /^\{"event_id":"evt_\w+","run_ids":\[\]\}$/);
  const event = (await s.rest('GET', `/events/${sent.body.event_id}`)).body;
  assert.deepEqual([event.name, event.version, event.source, event.environment_id, event.processed], ['order.placed', 1, 'api', 'env_default', true]);
  assert.deepEqual([event.data, event.metadata], [{ orderId: '123', total: 99.99 }, { source: 'checkout', traceId: 'abc-123' }]);
  assert.equal((await s.rest('GET', '/events/evt_none')).status, 404);
});

test('E2 a page of events has the members of the reference; tokens are readable', async () => {
  for (let i = 0; i < 3; i++) await emit('e2.page', { i });
  const page = (await s.rest('GET', '/events?name=e2.page&source=api,cron&since=2020-01-01T00:00:00Z&until=2999-01-01T00:00:00Z&limit=2')).body;
  assert.deepEqual([page.count, page.limit, page.has_next, page.has_prev, page.approx_total_capped], [2, 2, true, false, false]);
  assert.equal(typeof page.approx_total, 'number');
  const [ms, id] = Buffer.from(page.next_cursor, 'base64').toString().split('|');
  assert.deepEqual([id, Number(ms)], [page.events[1].id, Date.parse(page.events[1].timestamp)]);
  assert.equal((await s.rest('GET', '/events?name=e2.page')).body.limit, 20);
  assert.equal((await s.rest('GET', '/events?name=e2.page&source=cron')).body.count, 0);
  assert.equal((await s.rest('GET', `/events?cursor=${page.next_cursor}&before=${page.next_cursor}`)).status, 400);
});

test('E4 E5 functions filtered by name, status and mode; invoke by REST', async () => {
  const f = await actor('e5');
  await s.register('e4-a', 'e4.go');
  await s.register('e4-b', 'e4.go');
  await s.rpc('UpdateFunctionStatus', { id: 'e4-b', status: 'paused' });
  const ids = async (query) => (await s.rest('GET', `/functions?${query}`)).body.functions.map((f) => f.id);
  assert.deepEqual(await ids('name=e4-'), ['e4-a', 'e4-b']);
  assert.deepEqual(await ids('name=e4-&status=paused'), ['e4-b']);
  assert.deepEqual(await ids('name=e4-&mode=pull&limit=1&offset=1'), ['e4-b']);
  assert.deepEqual(await ids('name=e4-&mode=push'), []);
  const invoked = await s.rest('POST', '/functions/e5/invoke', { data: { orderId: '123' } });
  assert.match(invoked.text, /^\{"run_id":"run_\w+","event_id":"evt_\w+"\}$/);
  assert.deepEqual((await f.play(null)).event.data, { orderId: '123' });
});

test('E6 E7 E8 runs filtered and paged, one run, its steps', async () => {
  const f = await actor('cover');
  const ids = [];
  for (let i = 0; i < 3; i++) ids.unshift(await f.emit({ i }));
  await f.w.update(await f.w.take(), { status: 'failed', error: { message: 'm', code: 'C', retryable: false } });
  const list = async (query) => (await s.rest('GET', `/runs?function_id=cover&${query}`)).body;
  const all = await list('');
  assert.deepEqual([sorted(all), all.runs.map((r) => r.id), all.count, all.total_count], [['count', 'runs', 'total_count'], ids, 3, 3]);
  assert.deepEqual((await list('status=pending,failed&limit=1&offset=1')).runs.map((r) => r.id), [ids[1]]);
  assert.equal((await list('status=failed')).total_count, 1);
  assert.equal((await list(`since=${all.runs[1].created_at}&until=2999-01-01T00:00:00Z`)).count, 2);
  assert.equal((await list(`until=${all.runs[1].created_at}`)).count, 1);
  for (let i = 0; i < 2; i++) await f.play({ ok: 1 });
  const one = (await s.rest('GET', `/runs/${ids[0]}`)).body;
  for (const key of ['id', 'function_id', 'event_id', 'execution_mode', 'status', 'attempt', 'max_attempts', 'input', 'output', 'worker_id', 'function_version', 'started_at', 'ended_at', 'created_at', 'updated_at'])
    assert.ok(key in one, key);
  const { steps } = (await s.rest('GET', `/runs/${ids[0]}/steps`)).body;
  assert.deepEqual([steps.length, steps[0].run_id, steps[0].name, steps[0].step_type, steps[0].sequence, steps[0].status, steps[0].attempt], [1, ids[0], 'only', 'invoke', 0, 'completed', 1]);
  assert.equal((await s.rest('GET', '/runs/run_none/steps')).status, 404);
});

test('E11 F8 cancel by REST and by RPC', async () => {
  const f = await actor('e11');
  const [a, b] = [await f.emit(), await f.emit()];
  const rest = await s.rest('POST', `/runs/${a}/cancel`, { reason: 'No longer needed' });
  assert.deepEqual([rest.status, rest.body.status, rest.body.cancellation_cause], [200, 'cancelled', 'user']);
  assert.equal((await s.rest('POST', `/runs/${a}/cancel`)).status, 200);
  const rpc = await s.rpc('CancelRun', { id: b, reason: 'x' });
  assert.deepEqual([rpc.body.status, rpc.body.cancellationCause], ['RUN_STATUS_CANCELLED', 'user']);
  assert.equal((await s.rpc('CancelRun', { id: 'run_none' })).body.code, 'not_found');
  assert.equal((await s.rest('POST', '/runs/run_none/cancel')).status, 404);
});

test('E72 to E76 workers as the reference writes them', async () => {
  await s.register('my-function', 'mine.go');
  const registered = await s.rest('POST', '/workers/worker-1/register', { worker_id: 'worker-1', hostname: 'host.example.com', function_ids: ['my-function'], max_concurrent_jobs: 5, labels: { region: 'us-east' }, version: { sdk: '0.8.0', runtime: 'node-22' } });
  assert.equal(registered.text, '{"status":"registered"}');
  assert.equal((await s.rest('POST', '/workers/worker-1/heartbeat', { worker_id: 'worker-1', active_jobs: 2 })).text, '{"status":"ok"}');
  const listed = (await s.rest('GET', '/workers')).body;
  const row = listed.workers.find((x) => x.id === 'worker-1');
  assert.equal(listed.count, listed.workers.length);
  assert.deepEqual([row.hostname, row.function_ids, row.max_concurrent, row.labels, row.active_jobs, row.transport], ['host.example.com', ['my-function'], 5, { region: 'us-east' }, 0, 'rest']);
  assert.equal((await s.rest('GET', '/workers/worker-1/jobs')).status, 204);
  const { run_ids: [id] } = await emit('mine.go', { a: 1 });
  const job = (await until('the job', async () => { const r = await s.rest('GET', '/workers/worker-1/jobs'); return r.status === 200 && r; })).body;
  assert.deepEqual([job.run_id, job.function_id, job.attempt, job.event.data, job.completed_steps], [id, 'my-function', 1, { a: 1 }, []]);
  const done = await s.rest('PUT', `/workers/worker-1/jobs/${job.job_id}`, { status: 'completed', output: { result: 'done' }, steps: [] });
  assert.equal(done.text, '{"status":"ok"}');
  assert.deepEqual((await s.getRun(id)).output, { result: 'done' });
  for (const name of ['any user.text', 'Größe']) {
    const path = `/workers/${encodeURIComponent(name)}`;
    assert.equal((await s.rest('PUT', `${path}/register`, { worker_id: name, function_ids: ['x'] })).status, 200, name);
    assert.equal((await s.rest('GET', `${path}/jobs?available=0`)).status, 204, name);
  }
});

test('E100 to E104 G18 system endpoints and the parts behind them', async () => {
  assert.deepEqual(sorted((await s.rest('GET', '/health')).body), ['status', 'timestamp', 'version']);
  assert.equal((await s.rest('GET', '/ready')).text, '{"status":"ready"}');
  const caps = (await s.rest('GET', '/capabilities')).body;
  assert.deepEqual(sorted(caps), ['auth_required', 'edition', 'features', 'transports', 'version']);
  assert.equal(caps.auth_required, true);
  const { routes } = (await s.rest('GET', '/routes')).body;
  for (const row of ['POST /api/v1/events', 'GET /api/v1/events', 'GET /api/v1/events/{id}', 'GET /api/v1/functions', 'POST /api/v1/functions/{id}/invoke', 'GET /api/v1/runs', 'GET /api/v1/runs/{id}', 'POST /api/v1/runs/{id}/cancel', 'GET /api/v1/workers', 'GET /ready', 'GET /metrics'])
    assert.ok(routes.some((r) => `${r.method} ${r.path}` === row), row);
  const overview = (await s.rest('GET', '/overview')).body;
  assert.ok(overview.uptime_seconds >= 0 && overview.events.total > 0 && overview.workers.connected > 0 && overview.runs.total > 0);
  assert.equal((await s.rpc('Health')).body.components.database.status, 'healthy');
});

// ---- RPC ----------------------------------------------------------------------------------------

test('F1 F2 F3 F4 G4 G19 G20 history as the reference writes it', async () => {
  const spec = (description, extra) => ({ id: 'my-fn', description, triggers: [{ event: 'f1.go' }], preferredMode: 'pull', ...extra });
  await s.rpc('RegisterFunction', spec('one', { change_reason: 'no entry on the first create' }));
  const history = (extra = {}) => s.rpc('ListFunctionHistory', { function_id: 'my-fn', limit: 20, from_version: 0, ...extra });
  assert.deepEqual((await history()).body.entries ?? [], []);
  await s.rpc('RegisterFunction', spec('two', { change_reason: 'deploy v2.1.0' }));
  await s.rpc('UpdateFunctionStatus', { id: 'my-fn', status: 'paused' });
  const back = await s.rpc('RollbackFunction', { function_id: 'my-fn', version: 1, change_reason: 'revert bad deploy' });
  assert.equal(back.body.function.description, 'one');
  const all = (await history()).body;
  assert.equal(all.has_more, false);
  assert.deepEqual(all.entries.map((e) => [e.entity_version, e.change_type, e.change_reason ?? '']),
    [[1, 'update', 'deploy v2.1.0'], [2, 'status_change', ''], [3, 'rollback', 'revert bad deploy']]);
  for (const key of ['event_id', 'function_id', 'function_snapshot', 'actor_id', 'recorded_at']) assert.ok(key in all.entries[0], key);
  assert.match(all.entries[0].actor_id, /^ak_/);
  const plain = (await s.rpc('ListFunctionHistory', { functionId: 'my-fn' }, { 'connect-protocol-version': '1' })).body;
  assert.ok(!JSON.stringify(plain).includes('entity_version') && plain.entries[0].entityVersion === '1');
  const at = (await s.rpc('GetFunctionAtVersion', { function_id: 'my-fn', version: 2 })).body.entry;
  assert.deepEqual([at.entity_version, at.function_snapshot.description], [2, 'two']);
  const version = (await s.rpc('GetFunction', { id: 'my-fn' })).body.version;
  await s.rpc('UpdateFunctionStatus', { id: 'my-fn', status: 'active' });
  await s.rest('POST', '/functions/my-fn/invoke', {});
  const now = (await s.rpc('GetFunction', { id: 'my-fn' })).body;
  assert.deepEqual([now.triggers.at(-1).event, now.version], ['ironflow.invoke.my-fn', version + 1]);
  assert.equal((await s.rpc('DeleteFunction', { id: 'my-fn' })).status, 200);
  assert.equal((await history({ from_version: version })).body.entries[0].change_type, 'delete');
});

// ---- engine lines that no other file holds ------------------------------------------------------

test('C59 an ended run never changes', async () => {
  const { w, play, emit } = await actor('c59');
  const id = await emit();
  const job = await play({ v: 1 });
  const before = (await s.rest('GET', `/runs/${id}`)).text;
  for (const body of [{ status: 'progress', steps: [step(job, 'x', 1)] }, { status: 'failed', error: { message: 'x' } },
    { status: 'yielded', yield: { step_id: 'y', type: 'sleep', until: new Date().toISOString() } }])
    assert.ok([200, 409].includes((await w.update(job, body)).status));
  assert.equal((await s.rest('POST', `/runs/${id}/cancel`)).status, 412);
  assert.equal((await s.rest('GET', `/runs/${id}`)).text, before);
});

test('C60 a step sent again leaves no gap in the sequence', async () => {
  const { w, emit } = await actor('c60');
  const id = await emit();
  const job = await w.take();
  await w.update(job, { status: 'progress', steps: [step(job, 'a', 1)] });
  await w.update(job, { status: 'progress', steps: [step(job, 'a', 1)] });
  await w.update(job, { status: 'progress', steps: [step(job, 'b', 2)] });
  await w.update(job, { status: 'completed' });
  const { steps } = (await s.rest('GET', `/runs/${id}/steps`)).body;
  assert.deepEqual(steps.map((x) => [x.name, x.sequence]), [['a', 0], ['b', 1]]);
});

test('D83 the default policy waits one second, then two, and fails after the third attempt', async () => {
  const { w, emit } = await actor('d83');
  const id = await emit();
  const at = [];
  for (let attempt = 1; attempt <= 3; attempt++) {
    const job = await w.take();
    at.push(Date.now());
    assert.equal(job.attempt, attempt);
    await w.update(job, { status: 'failed', error: { message: `try ${attempt}`, retryable: true } });
  }
  assert.equal((await s.getRun(id)).status, 'failed');
  assert.ok(at[1] - at[0] >= 990 && at[2] - at[1] >= 1990, `${at}`); // the exact delays: engine/retry_test.c
});

test('the runs of a deleted function may finish', async () => {
  const { w, play, emit } = await actor('gone', { retry: { maxAttempts: 2, initialDelayMs: 1 } });
  const [started, queued] = [await emit(), await emit()];
  const job = await w.take();
  assert.equal((await s.rpc('DeleteFunction', { id: 'gone' })).status, 200);
  assert.deepEqual((await s.rest('POST', '/events', { name: 'gone.go' })).body.run_ids, []);
  await w.update(job, { status: 'failed', error: { message: 'again', retryable: true } });
  await play(1);
  await play(1);
  for (const id of [started, queued]) assert.equal((await s.getRun(id)).status, 'completed');
});

test('D104 a wrong key gets 401 on polls', async () => {
  const poll = await s.rest('GET', '/workers/any/jobs?available=1', undefined, { authorization: 'Bearer ifkey_00000000000000000000000000000000' });
  assert.deepEqual([poll.status, poll.body.code], [401, 'unauthenticated']);
});

test('H160 a sleep that fell due while the server was down wakes at its start', async (t) => {
  const d = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '300' } });
  t.after(() => d.stop());
  await d.register('nap', 'nap.go');
  const before = await d.worker('w', ['nap']);
  const id = (await d.rest('POST', '/events', { name: 'nap.go' })).body.run_ids[0];
  const due = Date.now() + 300;
  const job = await before.take();
  await before.update(job, { status: 'yielded', yield: { step_id: `${id}:z:0`, type: 'sleep', until: new Date(due).toISOString() } });
  d.child.kill('SIGKILL');
  await d.exited;
  await until('the time of the sleep', () => Date.now() > due);
  d.ended = undefined;
  await d.launch();
  const next = await (await d.worker('w', ['nap'])).take();
  assert.deepEqual([next.run_id, next.completed_steps.map((x) => x.step_id)], [id, [`${id}:z:0`]]);
});

test('J195 a long reason is accepted and cut to 1024 code points where it is told', async (t) => {
  const d = await Server.start();
  t.after(() => d.stop());
  await d.register('j', 'j.go');
  const id = (await d.rest('POST', '/events', { name: 'j.go' })).body.run_ids[0];
  const reason = 'ü'.repeat(5000);
  assert.equal((await d.rest('POST', `/runs/${id}/cancel`, { reason })).status, 200);
  assert.equal((await d.rest('POST', `/runs/${id}/cancel`, { reason: 'again' })).status, 200);
  const told = await until('the log', () => d.stderr.split('\n').find((l) => l.includes('run cancelled') && l.endsWith('}')));
  const line = JSON.parse(told);
  assert.deepEqual([line.run, [...line.reason].length], [id, 1024]);
  assert.equal(d.stderr.match(/run cancelled/g).length, 1);
  assert.equal((await d.getRun(id)).cancellation_cause, 'user');
});
