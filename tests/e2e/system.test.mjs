// Boot, authentication, system endpoints and what an operator meets.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, bin, pgUrl, run, until } from './lib.mjs';

test('first boot: the key is shown once, written 0400, and needed', async (t) => {
  const s = await Server.start({ dev: false });
  t.after(() => s.stop());
  const file = join(s.dir, 'key.json');
  assert.equal(statSync(file).mode & 0o777, 0o400);
  const { key, org_id, environment_id, roles } = JSON.parse(readFileSync(file, 'utf8'));
  assert.match(key, /^ifkey_[0-9a-f]{32}$/);
  assert.deepEqual([org_id, environment_id, roles], ['org_default', 'env_default', ['admin']]);
  assert.ok(s.stderr.includes(key));
  const without = await s.rest('GET', '/functions', undefined, { authorization: '' });
  assert.equal(without.status, 401);
  assert.equal(without.headers.get('www-authenticate'), 'Bearer');
  assert.deepEqual(Object.keys(without.body).sort(), ['code', 'error', 'message']);
  assert.equal(without.body.code, 'unauthenticated');
  const wrong = await s.rest('GET', '/functions', undefined, { authorization: 'Bearer ifkey_00000000000000000000000000000000' });
  assert.equal(wrong.status, 401);
  const rpc = await s.rpc('ListRuns', {}, { authorization: 'Bearer nonsense' });
  assert.deepEqual([rpc.status, rpc.body.code], [401, 'unauthenticated']);
  assert.equal((await s.rest('GET', '/workers/x/jobs', undefined, { authorization: 'Bearer a.b.c' })).status, 401);
  assert.equal((await s.rest('GET', '/functions')).status, 200);
  for (const open of ['/health', '/ready', '/api/v1/capabilities'])
    assert.equal((await fetch(s.url + open)).status, 200, open);
  await s.crash();
  assert.ok(!s.stderr.includes(key), 'a later boot must not print the key');
  assert.equal((await s.rest('GET', '/functions')).status, 200);
});

test('environments: by id, by name, unknown', async (t) => {
  const s = await Server.start({ dev: false });
  t.after(() => s.stop());
  for (const env of ['default', 'env_default', 'current'])
    assert.equal((await s.rest('GET', '/functions', undefined, { 'x-ironflow-environment': env })).status, 200, env);
  const unknown = await s.rest('GET', '/functions', undefined, { 'x-ironflow-environment': 'nowhere' });
  assert.equal(unknown.status, 404);
  assert.equal(unknown.body.error, 'environment not found');
  assert.equal((await s.rest('GET', '/functions?env=nowhere')).status, 404);
});

test('system endpoints', async (t) => {
  const s = await Server.start({ env: { IRONFLOW_METRICS_ENABLED: 'true' } });
  t.after(() => s.stop());
  const health = await s.rest('GET', '/health');
  assert.equal(health.body.status, 'healthy');
  assert.ok(health.body.version && Date.parse(health.body.timestamp));
  assert.equal((await fetch(`${s.url}/health`, { method: 'HEAD' })).status, 200);
  assert.deepEqual((await s.rest('GET', '/ready')).body, { status: 'ready' });
  const caps = (await s.rest('GET', '/capabilities')).body;
  assert.equal(caps.edition, 'core');
  assert.equal(caps.auth_required, false);
  assert.deepEqual(caps.transports, ['websocket', 'grpc-sse', 'grpc-bidirectional']);
  assert.deepEqual(caps.features, ['replay', 'wildcard-patterns', 'cel-filter', 'consumer-groups', 'prometheus-metrics']);
  await s.register('o', 'o.go');
  await s.rest('POST', '/events', { name: 'o.go' });
  const overview = await until('the counters', async () => {
    const o = (await s.rest('GET', '/overview')).body;
    return o.runs.total === 1 && o;
  });
  assert.deepEqual([overview.functions.total, overview.runs.active, overview.events.total], [1, 1, 1]);
  assert.equal(overview.recent_events[0].name, 'o.go');
  const routes = (await s.rest('GET', '/routes')).body;
  assert.ok(routes.routes.some((r) => r.method === 'POST' && r.path === '/api/v1/events'));
  const keys = routes.routes.map((r) => `${r.path} ${r.method}`);
  assert.deepEqual(keys, [...keys].sort());
  const h = await s.rpc('Health');
  assert.equal(h.body.status, 'healthy');
  assert.equal(h.body.components.database.status, 'healthy');
  const info = (await s.rpc('Info')).body;
  assert.deepEqual([info.functionCount, info.activeRuns], [1, 1]);
  const metrics = await s.rest('GET', '/metrics');
  assert.equal(metrics.status, 200);
  assert.match(metrics.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  for (const name of ['ironflow_events_emitted_total', 'ironflow_active_runs', 'ironflow_http_requests_total', 'ironflow_workers_connected', 'process_resident_memory_bytes'])
    assert.match(metrics.text, new RegExp(`^# TYPE ${name} `, 'm'), name);
});

test('metrics are off unless asked for; a malformed switch stops serve', async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  assert.equal((await s.rest('GET', '/metrics')).status, 404);
  const bad = await run(bin, ['serve', '--port', '0', '--db', join(s.dir, 'x.db')], { env: { PATH: process.env.PATH, IRONFLOW_METRICS_ENABLED: 'perhaps' } });
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /IRONFLOW_METRICS_ENABLED/);
});

test('a second server on the same file is refused and told who holds it', { skip: pgUrl !== '' }, async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  const second = await run(bin, ['serve', '--port', '0', '--db', join(s.dir, 'ironflow.db')]);
  assert.equal(second.code, 1);
  assert.ok(second.stderr.includes(String(s.child.pid)), second.stderr);
  const port = await run(bin, ['serve', '--port', String(s.port), '--db', join(s.dir, 'other.db')]);
  assert.equal(port.code, 1);
  assert.ok(port.stderr.includes(String(s.port)), port.stderr);
});

test('databases that cannot be used are refused with a reason', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-bad-'));
  try {
    writeFileSync(join(dir, 'text.db'), 'this is not a database at all, just text that is long enough to be read as a header page');
    const text = await run(bin, ['serve', '--port', '0', '--db', join(dir, 'text.db')]);
    assert.equal(text.code, 1);
    assert.match(text.stderr, /not a (SQLite )?database/i);
    const nowhere = await run(bin, ['serve', '--port', '0', '--db', join(dir, 'no', 'such', 'dir.db')]);
    assert.equal(nowhere.code, 1);
    const memory = await run(bin, ['serve', '--port', '0', '--db', ':memory:']);
    assert.equal(memory.code, 1);
    assert.match(memory.stderr, /--nats-store-dir/);
    const nats = await run(bin, ['serve', '--port', '0', '--db', join(dir, 'n.db'), '--nats-url', 'nats://127.0.0.1:1']);
    assert.equal(nats.code, 1);
    assert.match(nats.stderr, /PostgreSQL/);
    const typo = await run(bin, ['serve', '--prot', '1']);
    assert.equal(typo.code, 1);
    assert.match(typo.stderr, /--port/);
  } finally { rmSync(dir, { recursive: true, force: true }); }
});

test('the message store directory is made; memory mode makes none', { skip: pgUrl !== '' }, async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  assert.equal(statSync(join(s.dir, 'ironflow-nats')).mode & 0o777, 0o700);
  const m = await Server.start({ flags: ['--nats-store-dir='] });
  t.after(() => m.stop());
  assert.ok(!existsSync(join(m.dir, 'ironflow-nats')));
});

test('Connect: binary messages, GET, snake and camel in one body', async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  await s.register('bin', 'bin.go');
  const bytes = Buffer.from([0x0a, 3, 0x62, 0x69, 0x6e]); // GetFunctionRequest{id: "bin"}
  const reply = await fetch(`${s.url}/ironflow.v1.IronflowService/GetFunction`, { method: 'POST', headers: { 'content-type': 'application/proto' }, body: bytes });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get('content-type'), 'application/proto');
  const out = Buffer.from(await reply.arrayBuffer());
  assert.deepEqual([...out.subarray(0, 5)], [...bytes]);
  const missing = await fetch(`${s.url}/ironflow.v1.IronflowService/GetFunction`, { method: 'POST', headers: { 'content-type': 'application/proto' }, body: Buffer.from([0x0a, 1, 0x7a]) });
  assert.equal(missing.status, 404);
  assert.equal((await missing.json()).code, 'not_found');
  const get = await fetch(`${s.url}/ironflow.v1.IronflowService/GetFunction?encoding=json&message=${encodeURIComponent('{"id":"bin"}')}`);
  assert.equal((await get.json()).id, 'bin');
  const b64 = await fetch(`${s.url}/ironflow.v1.IronflowService/GetFunction?connect=v1&encoding=proto&base64=1&message=${bytes.toString('base64url')}`);
  assert.equal(b64.status, 200);
  assert.equal((await fetch(`${s.url}/ironflow.v1.IronflowService/CancelRun?encoding=json&message={}`)).status, 405);
});

test('CORS preflight and reflected origins', async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  const preflight = await fetch(`${s.url}/api/v1/events`, { method: 'OPTIONS', headers: { origin: 'http://app.local', 'access-control-request-method': 'POST' } });
  assert.equal(preflight.status, 204);
  assert.ok(preflight.headers.get('access-control-allow-headers').toLowerCase().includes('idempotency-key'));
  const simple = await fetch(`${s.url}/health`, { headers: { origin: 'http://app.local' } });
  assert.ok(['*', 'http://app.local'].includes(simple.headers.get('access-control-allow-origin')));
});

test('a read-only database directory is refused', { skip: process.getuid() === 0 || pgUrl !== '' }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-ro-'));
  chmodSync(dir, 0o500);
  const ro = await run(bin, ['serve', '--port', '0', '--db', join(dir, 'x.db')]);
  assert.equal(ro.code, 1);
  chmodSync(dir, 0o700);
  rmSync(dir, { recursive: true });
});
