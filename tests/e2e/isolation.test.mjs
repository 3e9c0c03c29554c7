// Organizations and environments keep apart: keys, roles, every read, every write (access.md 6,
// engine checklist 33). There is no API for them yet, so rows are inserted while the server is down.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Server, pgUrl, run, step, until } from './lib.mjs';

/** Statements on the database of a stopped server, by the database's own shell. */
async function sql(s, text) {
  const done = s.pg ? await run('psql', [s.pg, '-qv', 'ON_ERROR_STOP=1', '-c', text]) : await run('sqlite3', ['-bail', join(s.dir, 'ironflow.db'), text]);
  assert.equal(done.code, 0, done.stderr);
}

/** Stops, inserts, starts again on the same port. */
async function withStopped(s, text) {
  s.child.kill('SIGTERM');
  await s.exited;
  await sql(s, text);
  s.ended = undefined;
  await s.launch();
}

let keys = 0;
function key({ org = 'org_default', env = 0, roles = 'admin', expires = 0 }) {
  const raw = `ifkey_${randomBytes(16).toString('hex')}`, hash = createHash('sha256').update(raw).digest('hex');
  return { raw, id: `ak_test_${keys++}`, insert() {
    return `INSERT INTO api_keys (id, org_id, env, name, prefix, hash, roles, created_at, expires_at, last_used_at) VALUES ('${this.id}', '${org}', ${env}, 'test', '${raw.slice(0, 14)}', '${hash}', '${roles}', ${Date.now()}, ${expires}, 0);`;
  } };
}

const QA = 2, OTHER = 3, OTHER2 = 4;
const k = {
  org: key({}), scopedDefault: key({ env: 1 }), scopedQa: key({ env: QA }),
  other: key({ org: 'org_other' }), otherScoped: key({ org: 'org_other', env: OTHER2 }),
  viewer: key({ roles: 'viewer' }), developer: key({ roles: 'developer' }), both: key({ roles: 'viewer,developer' }), nobody: key({ roles: '' }),
  unknownRole: key({ roles: 'superadmin' }), expired: key({ expires: Date.now() - 1000 }), revoked: key({}), gone: key({ env: 99 }),
  soon: key({ expires: Date.now() + 3600e3 }),
};
let s;

before(async () => {
  s = await Server.start({ dev: false, env: { IRONFLOW_POLL_HOLD_MS: '200' } });
  const env = (id, n, org, name) => `INSERT INTO environments (key, id, org_id, project_id, name, created_at) VALUES (${n}, '${id}', '${org}', 'proj_x', '${name}', ${n});`;
  await withStopped(s, `INSERT INTO organizations (id, name, created_at) VALUES ('org_other', 'other', 1);
    ${env('env_qa', QA, 'org_default', 'qa')} ${env('env_other', OTHER, 'org_other', 'main')} ${env('env_other2', OTHER2, 'org_other', 'qa')}
    ${Object.values(k).map((x) => x.insert()).join('\n')}`);
});
after(() => s.stop());

const as = (who, env) => ({ authorization: `Bearer ${who.raw}`, ...(env ? { 'x-ironflow-environment': env } : {}) });
const get = (who, path, env) => s.rest('GET', path, undefined, as(who, env));
const post = (who, path, body, env) => s.rest('POST', path, body, as(who, env));
const put = (who, path, body, env) => s.rest('PUT', path, body, as(who, env));
const rpc = (who, method, body, env) => s.rpc(method, body, as(who, env));

test('a key of one environment works there alone; another header is 403 with the body of access.md 6.2', async () => {
  for (const env of [undefined, 'qa', 'env_qa', 'current'])
    assert.equal((await get(k.scopedQa, '/functions', env)).status, 200, env);
  for (const env of ['default', 'env_default', 'env_other', 'nowhere']) {
    const rest = await get(k.scopedQa, '/functions', env);
    assert.equal(rest.status, 403, env);
    assert.equal(rest.body.code, 'forbidden');
    assert.equal(rest.body.message, 'environment does not match API key scope');
    const call = await rpc(k.scopedQa, 'ListFunctions', {}, env);
    assert.deepEqual([call.status, call.body], [403, { code: 'permission_denied', message: 'environment does not match API key scope' }]);
    assert.equal((await s.rest('GET', `/functions?env=${env}`, undefined, as(k.scopedQa))).status, 403);
  }
  assert.equal((await get(k.scopedDefault, '/functions', 'default')).status, 200);
  assert.equal((await get(k.scopedDefault, '/functions', 'qa')).status, 403);
});

test('an organization-wide key reaches its own environments; foreign and unknown ones look alike', async () => {
  for (const env of [undefined, 'default', 'qa', 'env_qa', 'env_default', 'current'])
    assert.equal((await get(k.org, '/functions', env)).status, 200, env);
  for (const env of ['env_other', 'env_other2', 'main', 'nowhere']) {
    const answer = await get(k.org, '/functions', env);
    assert.deepEqual([answer.status, answer.body.error], [404, 'environment not found'], env);
  }
  assert.equal((await get(k.other, '/functions', 'main')).status, 200);
  assert.equal((await get(k.other, '/functions', 'env_default')).status, 404);
  assert.equal((await get(k.other, '/functions', 'default')).status, 200, 'the organization\'s own default');
  assert.equal((await get(k.other, '/functions', 'env_qa')).status, 404, 'the other organization\'s environment of the same name');
});

test('revoked, expired, orphaned and unknown keys are 401', async () => {
  for (const who of [k.expired, k.gone, { raw: 'ifkey_' + '0'.repeat(32) }, { raw: k.org.raw + '0' }, { raw: k.org.raw.toUpperCase() }, { raw: k.org.raw.slice(0, -1) }, { raw: '' }]) {
    const answer = await get(who, '/functions');
    assert.deepEqual([answer.status, answer.body.code], [401, 'unauthenticated'], who.raw);
    assert.equal((await rpc(who, 'Trigger', { event: 'x' })).status, 401);
  }
  assert.equal((await get(k.soon, '/functions')).status, 200);
  assert.equal((await get(k.revoked, '/functions')).status, 200);
  await withStopped(s, `DELETE FROM api_keys WHERE id = '${k.revoked.id}'; UPDATE api_keys SET expires_at = ${Date.now() - 1} WHERE id = '${k.soon.id}';`);
  assert.equal((await get(k.revoked, '/functions')).status, 401);
  assert.equal((await get(k.soon, '/functions')).status, 401);
});

test('a key that expires while it is in the cache stops working', async () => {
  const brief = key({ expires: Date.now() + 8000 });
  await s.sql(brief.insert()); // beside the server: a restart may take long
  assert.equal((await get(brief, '/functions')).status, 200);
  await until('the key to expire', async () => (await get(brief, '/functions')).status === 401);
  assert.equal((await post(brief, '/events', { name: 'x' })).status, 401);
});

test('roles: a viewer reads, a developer works, nobody may nothing', async () => {
  const calls = {
    emit: (w) => post(w, '/events', { name: 'role.go' }), trigger: (w) => rpc(w, 'Trigger', { event: 'role.go' }), batch: (w) => rpc(w, 'TriggerBatch', { events: [{ event: 'role.go' }] }),
    sync: (w) => rpc(w, 'TriggerSync', { event: 'role.nobody', timeoutMs: 100 }),
    register: (w) => rpc(w, 'RegisterFunction', { id: 'role', triggers: [{ event: 'role.go' }] }), status: (w) => rpc(w, 'UpdateFunctionStatus', { id: 'role', status: 'FUNCTION_STATUS_ACTIVE' }),
    invoke: (w) => post(w, '/functions/role/invoke', { data: {} }), worker: (w) => post(w, '/workers/role-w/register', { worker_id: 'role-w', function_ids: ['role'] }),
    poll: (w) => get(w, '/workers/role-w/jobs?available=0'), cancel: async (w) => post(w, `/runs/run_0000000000000/cancel`, {}),
  };
  const reads = { functions: (w) => get(w, '/functions'), runs: (w) => get(w, '/runs'), events: (w) => get(w, '/events'), workers: (w) => get(w, '/workers'), rpcRuns: (w) => rpc(w, 'ListRuns'), overview: (w) => get(w, '/overview') };
  await rpc(k.org, 'RegisterFunction', { id: 'role', triggers: [{ event: 'role.go' }] });
  for (const [name, call] of Object.entries(calls)) {
    for (const who of [k.viewer, k.nobody, k.unknownRole]) {
      const answer = await call(who);
      assert.deepEqual([answer.status, answer.body.code], [403, 'permission_denied'], `${name}: ${answer.text}`);
    }
    for (const who of [k.developer, k.both, k.org]) assert.ok(![401, 403].includes((await call(who)).status), name);
  }
  for (const [name, call] of Object.entries(reads)) {
    for (const who of [k.viewer, k.developer, k.org]) assert.equal((await call(who)).status, 200, name);
    assert.ok([200, 403].includes((await call(k.nobody)).status), name);
  }
  assert.equal((await get(k.nobody, '/functions')).status, 403);
  const found = await get(k.org, '/events?name=role.go&limit=100');
  assert.equal(found.body.count, 9, 'the refused emits left nothing');
});

test('the same names in four environments never meet (checklist 33)', async () => {
  const places = [[k.org, 'default'], [k.org, 'qa'], [k.other, 'main'], [k.otherScoped, undefined]];
  const mine = [];
  for (const [i, [who, env]] of places.entries()) {
    const fn = await rpc(who, 'RegisterFunction', { id: 'same', description: `d${i}`, triggers: [{ event: 'same.go' }], preferredMode: 'PULL' }, env);
    assert.equal(fn.body.created, true, fn.text);
    assert.equal((await post(who, '/workers/w/register', { worker_id: 'w', hostname: `h${i}`, function_ids: ['same'] }, env)).status, 200);
  }
  for (const [i, [who, env]] of places.entries()) {
    const emitted = (await post(who, '/events', { name: 'same.go', data: { i }, idempotency_key: 'same-key' }, env)).body;
    assert.equal(emitted.run_ids.length, 1, 'it starts the function of its own environment alone');
    const again = (await post(who, '/events', { name: 'same.go', data: { i }, idempotency_key: 'same-key' }, env)).body;
    assert.deepEqual(again, emitted, 'its own key');
    mine.push({ who, env, i, event: emitted.event_id, run: emitted.run_ids[0] });
  }
  assert.equal(new Set(mine.map((m) => m.run)).size, 4);
  assert.equal(new Set(mine.map((m) => m.event)).size, 4);

  for (const m of mine) {
    const polled = await get(m.who, '/workers/w/jobs?available=10', m.env);
    assert.deepEqual(polled.body.jobs.map((j) => [j.run_id, j.event.data]), [[m.run, { i: m.i }]]);
    [m.job] = polled.body.jobs;
    const fence = { execution_seq: m.job.execution_seq, lease_token: m.job.lease_token };
    for (const o of mine.filter((x) => x !== m)) {
      assert.equal((await put(o.who, `/workers/w/jobs/${m.job.job_id}/ack`, { run_id: m.run, ...fence }, o.env)).status, 409, 'a stolen fence');
      assert.equal((await put(o.who, `/workers/w/jobs/${m.job.job_id}`, { status: 'progress', steps: [step(m.job, 'stolen', 1)], ...fence }, o.env)).status, 409);
      assert.equal((await put(o.who, `/workers/w/jobs/${m.job.job_id}`, { status: 'completed', output: 'stolen', ...fence }, o.env)).status, 409);
      await post(o.who, '/workers/w/heartbeat', { worker_id: 'w', active_jobs: 1, jobs: [{ job_id: m.job.job_id, started_at: new Date().toISOString() }] }, o.env);
    }
    assert.equal((await put(m.who, `/workers/w/jobs/${m.job.job_id}`, { status: 'progress', steps: [step(m.job, `s${m.i}`, m.i)], ...fence }, m.env)).status, 200);
  }

  for (const m of mine) {
    const list = async (path, field) => (await get(m.who, path, m.env)).body[field];
    assert.deepEqual((await list('/events?name=same.go', 'events')).map((e) => e.id), [m.event]);
    assert.deepEqual((await list('/runs?function_id=same', 'runs')).map((r) => r.id), [m.run]);
    assert.deepEqual((await list('/runs?status=running', 'runs')).map((r) => r.id), [m.run]);
    assert.deepEqual((await list('/workers', 'workers')).filter((w) => w.id === 'w').map((w) => w.hostname), [`h${m.i}`]);
    assert.equal((await rpc(m.who, 'GetFunction', { id: 'same' }, m.env)).body.description, `d${m.i}`);
    assert.deepEqual((await list(`/runs/${m.run}/steps`, 'steps')).map((x) => x.name), [`s${m.i}`]);
    for (const o of mine.filter((x) => x !== m)) {
      for (const path of [`/runs/${o.run}`, `/runs/${o.run}/steps`, `/events/${o.event}`]) {
        const answer = await get(m.who, path, m.env);
        assert.equal(answer.status, 404, `${path} is seen from another environment`);
        assert.ok(!answer.text.includes('same'), answer.text);
      }
      assert.equal((await rpc(m.who, 'GetRun', { id: o.run }, m.env)).status, 404);
      assert.equal((await rpc(m.who, 'GetRunSteps', { runId: o.run }, m.env)).status, 404);
      assert.equal((await post(m.who, `/runs/${o.run}/cancel`, {}, m.env)).status, 404);
      assert.equal((await rpc(m.who, 'CancelRun', { id: o.run }, m.env)).status, 404);
    }
    assert.equal((await s.rpc('ListRuns', { functionId: 'same' }, as(m.who, m.env))).body.runs.length, 1);
  }

  const [first] = mine;
  const page = await get(first.who, '/events?limit=1', first.env);
  if (page.body.has_next) {
    const stolen = await get(k.other, `/events?limit=10&cursor=${encodeURIComponent(page.body.next_cursor)}`, 'main');
    assert.equal(stolen.status, 200);
    assert.ok((stolen.body.events ?? []).every((e) => e.id === mine[2].event), 'a foreign cursor shows nothing foreign');
  }
  assert.equal((await rpc(k.org, 'DeleteFunction', { id: 'same' }, 'qa')).status, 200);
  assert.equal((await rpc(k.org, 'GetFunction', { id: 'same' }, 'default')).status, 200);
  assert.equal((await rpc(k.other, 'GetFunction', { id: 'same' }, 'main')).status, 200);
  for (const m of mine) {
    const r = (await get(m.who, `/runs/${m.run}`, m.env)).body;
    assert.ok(['running', 'cancelled'].includes(r.status) && (m.i === 1 || r.status === 'running'), `${m.i} ${r.status}`);
  }
});

test('a held poll and a held emit are woken by their own environment alone', async () => {
  await rpc(k.org, 'RegisterFunction', { id: 'held', triggers: [{ event: 'held.go' }], preferredMode: 'PULL' }, 'default');
  await rpc(k.other, 'RegisterFunction', { id: 'held', triggers: [{ event: 'held.go' }], preferredMode: 'PULL' }, 'main');
  await post(k.other, '/workers/held/register', { worker_id: 'held', function_ids: ['held'] }, 'main');
  const poll = get(k.other, '/workers/held/jobs?available=1', 'main');
  assert.equal((await post(k.org, '/events', { name: 'held.go' }, 'default')).body.run_ids.length, 1);
  assert.equal((await poll).status, 204);
});

test('counters of the overview and of Info are those of the environment', async () => {
  const at = async (who, env) => (await get(who, '/overview', env)).body;
  const before = await at(k.other, 'main'), mine = await at(k.org, 'default');
  await post(k.org, '/events', { name: 'count.me' }, 'default');
  await until('the counter', async () => (await at(k.org, 'default')).events.total === mine.events.total + 1);
  assert.deepEqual((await at(k.other, 'main')).events, before.events);
  const [a, b] = [(await rpc(k.org, 'Info', {}, 'default')).body, (await rpc(k.other, 'Info', {}, 'main')).body];
  assert.notDeepEqual([a.functionCount, a.activeRuns], [b.functionCount, b.activeRuns]);
});
