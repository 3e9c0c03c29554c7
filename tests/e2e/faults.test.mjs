// Disks that fill up or fail, databases that were damaged, and a PostgreSQL that goes away: a clear
// error, no wrong answer, nothing lost that was acknowledged.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { closeSync, existsSync, linkSync, openSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Server, bin, pgUrl, run, step, until } from './lib.mjs';
import { Cluster } from '../lib/cluster.mjs';
import { Disk, faultEnv, releaseBin } from '../lib/disk.mjs';

const onSqlite = { skip: pgUrl !== '' };

/** Every stored event of a name, as the numbers in its data, oldest first. */
async function stored(s, name) {
  const all = [];
  let path = `/events?name=${name}&limit=1000`;
  for (;;) {
    const page = await s.rest('GET', path);
    assert.equal(page.status, 200, page.text.slice(0, 300));
    all.push(...page.body.events.map((e) => e.data.i));
    if (!page.body.has_next) return all.sort((a, b) => a - b);
    path = `/events?name=${name}&limit=1000&cursor=${encodeURIComponent(page.body.next_cursor)}`;
  }
}

/** Emits until told to stop and remembers what was acknowledged and what was not. */
class Emitter {
  constructor(s, name, pad = '') {
    Object.assign(this, { s, name, pad, acked: [], refused: [], odd: [], i: 0 });
  }

  async once() {
    const i = this.i++;
    const answer = await this.s.rest('POST', '/events', { name: this.name, data: { i, pad: this.pad } })
      .catch((e) => ({ status: 0, text: String(e), headers: new Headers() }));
    if (answer.status === 200) this.acked = [...this.acked, i].sort((a, b) => a - b);
    else if (answer.status === 503 || answer.status === 0) this.refused.push(i);
    else this.odd.push(`${answer.status} ${answer.text}`);
    return answer;
  }

  async many(n) {
    return Promise.all(Array.from({ length: n }, () => this.once()));
  }

  /** What is stored holds all that was acknowledged and nothing that was never sent. */
  async account(s = this.s) {
    assert.deepEqual(this.odd, []);
    const found = await stored(s, this.name);
    assert.equal(new Set(found).size, found.length, 'stored twice');
    const missing = this.acked.filter((i) => !found.includes(i));
    assert.deepEqual(missing, [], `${missing.length} acknowledged events are lost`);
    return found;
  }
}

const lines = (s, level) => s.stderr.split('\n').filter((l) => l.includes(`"level":"${level}"`));

test('a full disk: writes are 503, reads and health go on, and it recovers by itself', onSqlite, async (t) => {
  const disk = await Disk.start(t, { env: { IRONFLOW_POLL_HOLD_MS: '500' } });
  const s = disk.server, e = new Emitter(s, 'full.go');
  await s.register('full', 'full.go');
  const w = await s.worker('w', ['full']);
  await e.many(20);
  const job = await w.take();
  assert.equal((await w.ack(job)).status, 200);

  disk.fail('full .db', 'full -wal', 'full -shm');
  const refused = await e.many(50);
  assert.ok(refused.every((r) => r.status === 503), refused.map((r) => r.status).join());
  assert.equal(refused[0].body.code, 'unavailable');
  assert.match(refused[0].body.message, /full/);
  assert.ok(refused[0].headers.get('retry-after'));
  assert.equal((await w.update(job, { status: 'progress', steps: [step(job, 'a', 1)], step_offset: 0 })).status, 503);
  assert.equal((await s.rpc('RegisterFunction', { id: 'later', triggers: [{ event: 'x' }] })).status, 503);
  assert.equal((await w.poll(3)).status, 503, 'a claim that cannot be stored is not given away');
  assert.equal((await s.rest('GET', '/health')).status, 200);
  assert.equal((await s.rest('GET', `/runs/${job.run_id}`)).body.status, 'running');
  assert.deepEqual(await stored(s, 'full.go'), e.acked);
  assert.ok(s.stderr.split('\n').length < 300, 'a full disk must not fill the log');

  disk.works();
  assert.equal((await w.update(job, { status: 'progress', steps: [step(job, 'a', 1)], step_offset: 0 })).status, 200);
  assert.equal((await w.update(job, { status: 'completed', output: 'after' })).status, 200);
  const after = await e.many(20);
  assert.ok(after.every((r) => r.status === 200));
  assert.deepEqual(await e.account(), e.acked, 'nothing of a refused write may be stored');
  assert.ok(s.ended === undefined);
  await s.crash();
  assert.deepEqual(await e.account(), e.acked);
  assert.equal((await s.getRun(job.run_id)).output, 'after');
});

test('a disk that fills up while the log is copied into the database file loses nothing', onSqlite, async (t) => {
  const disk = await Disk.start(t);
  const s = disk.server, e = new Emitter(s, 'wal.go', 'x'.repeat(2 << 20));
  await e.once();
  disk.fail('full .db');
  for (let i = 0; i < 24; i++) await e.once();
  assert.equal((await s.rest('GET', '/health')).status, 200);
  assert.match(lines(s, 'warn').join() + lines(s, 'error').join(), /checkpoint/, 'the log was never copied: the test is void');
  disk.works();
  await e.once();
  assert.deepEqual(e.acked.at(-1), e.i - 1, s.stderr.slice(-500));
  await e.account();
  await s.crash();
  await e.account();
});

for (const where of ['-wal', '.db'])
  test(`an fsync of ${where} that fails: 503, a message, a non-zero exit; what was acknowledged is there`, onSqlite, async (t) => {
    const disk = await Disk.start(t);
    const s = disk.server, e = new Emitter(s, 'sync.go', where === '.db' ? 'x'.repeat(2 << 20) : '');
    await s.register('sync', 'sync.go');
    for (let i = 0; i < 5; i++) await e.once();
    disk.fail(`sync ${where}`);
    /* A checkpoint comes only after 32 MiB of log. */
    const replies = [];
    await until('the end of the server', async () => {
      if (!s.ended) replies.push(await e.once());
      return s.ended;
    });
    assert.ok(s.ended.code > 0, JSON.stringify(s.ended));
    assert.ok(lines(s, 'fatal').length >= 1, s.stderr.slice(-500));
    assert.match(lines(s, 'fatal').join(), /storage|disk/);
    if (where === '-wal') {
      assert.equal(replies[0].status, 503, replies[0].text);
      assert.equal(replies[0].body.code, 'unavailable');
    }
    assert.ok(replies.every((r) => [200, 503, 0].includes(r.status)));
    disk.works();
    s.ended = undefined;
    await s.launch();
    await e.account();
    assert.equal((await e.once()).status, 200);
  });

test('many writers in flight when an fsync fails: each is told 503 or cut off, none 200', onSqlite, async (t) => {
  const disk = await Disk.start(t);
  const s = disk.server, e = new Emitter(s, 'sync.many');
  await e.many(50);
  const before = e.acked.length;
  disk.fail('sync -wal');
  const replies = await e.many(300);
  assert.ok(replies.every((r) => r.status === 503 || r.status === 0), [...new Set(replies.map((r) => r.status))].join());
  assert.ok(replies.some((r) => r.status === 503));
  assert.equal(e.acked.length, before);
  await until('the end of the server', () => s.ended);
  assert.ok(s.ended.code > 0);
  disk.works();
  s.ended = undefined;
  await s.launch();
  await e.account();
});

test('a disk that cannot be read: 503 or the truth, never something else', onSqlite, async (t) => {
  const disk = await Disk.start(t);
  const s = disk.server, e = new Emitter(s, 'read.go', 'x'.repeat(1 << 18));
  for (let i = 0; i < 30; i++) await e.once();
  disk.fail('read .db', 'read -wal');
  for (const path of ['/events?name=read.go&limit=30', '/runs', '/functions', '/events/evt_0000000000000', '/overview']) {
    const answer = await s.rest('GET', path);
    assert.ok([200, 404, 503].includes(answer.status), `${path}: ${answer.status} ${answer.text.slice(0, 200)}`);
    if (path.includes('read.go')) assert.equal(answer.status, 503, 'the pages are not in memory');
  }
  disk.works();
  assert.equal((await e.once()).status, 200, s.stderr.slice(-300));
  await e.account();
});

test('a write that fails with an I/O error: 503 at most, and the truth after a restart', onSqlite, async (t) => {
  const disk = await Disk.start(t);
  const s = disk.server, e = new Emitter(s, 'eio.go');
  await e.many(10);
  disk.fail('write -wal');
  const replies = await e.many(20);
  assert.ok(replies.every((r) => r.status === 503 || r.status === 0), replies.map((r) => r.status).join());
  disk.works();
  if (s.ended || !(await s.rest('GET', '/health').then((r) => r.status === 200, () => false))) {
    await until('the end of the server', () => s.ended);
    assert.ok(s.ended.code > 0);
    s.ended = undefined;
    await s.launch();
  }
  await e.account();
  assert.equal((await e.once()).status, 200);
});

/** Starts serve on a database as it lies there; resolves with the ended program or the running server. */
async function tryStart(t, dir, env = {}) {
  const s = new Server({ dir, sqlite: true, env });
  t.after(() => s.child && !s.ended && s.stop());
  await s.launch().catch((e) => { if (!s.ended) throw e; });
  return s;
}

/** A stopped database with functions, runs, steps and 200 events; {dir, path, events}. */
async function filled(t) {
  const s = await Server.start({ sqlite: true });
  t.after(() => rmSync(s.dir, { recursive: true, force: true }));
  s.options.dir = s.dir;
  const e = new Emitter(s, 'dmg.go', 'p'.repeat(2000));
  await s.register('dmg', 'dmg.go');
  const w = await s.worker('w', ['dmg']);
  for (let i = 0; i < 4; i++) await e.many(50);
  for (const job of await w.take(10)) await w.update(job, { status: 'completed', output: { r: job.run_id }, steps: [step(job, 'a', 1)] });
  const path = join(s.dir, 'ironflow.db');
  await s.stop();
  return { dir: s.dir, path, events: e };
}

test('a damaged database is refused or answers 503: never a wrong answer, never a crash', onSqlite, async (t) => {
  const { dir, path, events } = await filled(t);
  assert.ok(!existsSync(`${path}-wal`) || statSync(`${path}-wal`).size === 0, 'an orderly stop leaves one file');
  const good = readFileSync(path), page = good.readUInt16BE(16) || 65536, pages = good.length / page;
  assert.ok(pages > 60);
  const scribble = (from, n, byte) => { const b = Buffer.from(good); for (let p = from; p < Math.min(from + n, pages); p++) b.fill(byte, p * page, (p + 1) * page); return b; };
  const cases = {
    'cut in half': good.subarray(0, Math.floor(pages / 2) * page),
    'cut within a page': good.subarray(0, good.length - 100),
    'a zeroed first page': scribble(0, 1, 0),
    'a header with a wrong page size': (() => { const b = Buffer.from(good); b.writeUInt16BE(777, 16); return b; })(),
    'a scribbled schema': (() => { const b = Buffer.from(good); b.fill(0x5a, 100, page); return b; })(),
    'zeroed tables': scribble(1, 20, 0),
    'scribbled tables': scribble(1, 20, 0xff),
    'scribbled middle': scribble(Math.floor(pages / 3), Math.floor(pages / 3), 0xa7),
    'scribbled end': scribble(pages - 20, 20, 0x11),
    'every other page zeroed': (() => { const b = Buffer.from(good); for (let p = 2; p < pages; p += 2) b.fill(0, p * page, (p + 1) * page); return b; })(),
  };
  let refused = 0, unavailable = 0;
  for (const [name, bytes] of Object.entries(cases)) {
    rmSync(`${path}-wal`, { force: true });
    rmSync(`${path}-shm`, { force: true });
    writeFileSync(path, bytes);
    const s = await tryStart(t, dir);
    if (s.ended) {
      assert.equal(s.ended.code, 1, `${name}: ${JSON.stringify(s.ended)} ${s.stderr.slice(-2000)}`);
      assert.match(s.stderr, /Error: .*(damaged|not a SQLite database|malformed|schema)/, name);
      refused++;
      continue;
    }
    const calls = [['GET', '/functions'], ['GET', '/runs?limit=100'], ['GET', '/events?name=dmg.go&limit=1000'], ['GET', '/workers'], ['GET', '/overview'],
      ['POST', '/events', { name: 'dmg.go', data: { i: -1 } }], ['GET', '/workers/w/jobs?available=5'], ['GET', '/health'], ['GET', '/runs?status=completed']];
    for (const [method, url, body] of calls) {
      const r = await s.rest(method, url, body).catch((e) => ({ status: 0, text: String(e) }));
      assert.ok([200, 204, 404, 503].includes(r.status), `${name}: ${method} ${url}: ${r.status} ${r.text.slice(0, 300)}\n${s.stderr.slice(-1500)}`);
      if (r.status === 503 && url !== '/health') unavailable++;
      for (const e of url.startsWith('/events') ? r.body?.events ?? [] : [])
        assert.ok(e.data.i === -1 || (events.acked.includes(e.data.i) && e.data.pad === 'p'.repeat(2000)), `${name}: a wrong event ${JSON.stringify(e).slice(0, 200)}`);
      for (const x of url.startsWith('/runs') ? r.body?.runs ?? [] : []) assert.equal(x.functionId ?? x.function_id, 'dmg', name);
    }
    assert.equal(s.ended, undefined, `${name}: ${s.stderr.slice(-1500)}`);
    const end = await s.stop();
    assert.deepEqual(end, { code: 0, signal: null }, `${name}: ${s.stderr.slice(-1500)}`);
  }
  assert.ok(refused >= 4 && unavailable >= 1, `${refused} refused, ${unavailable} answered 503`);
});

test('a torn or scribbled log beside the database: what it still proves is there, the rest is not invented', onSqlite, async (t) => {
  const s = await Server.start({ sqlite: true });
  t.after(() => s.stop());
  const e = new Emitter(s, 'torn.go', 't'.repeat(5000));
  for (let i = 0; i < 20; i++) await e.many(10);
  s.child.kill('SIGKILL');
  await s.exited;
  const wal = join(s.dir, 'ironflow.db-wal'), size = statSync(wal).size;
  assert.ok(size > 100000);
  truncateSync(wal, Math.floor(size * 0.8));
  const fd = openSync(wal, 'r+');
  writeSync(fd, Buffer.alloc(3000, 0x77), 0, 3000, Math.floor(size * 0.6));
  closeSync(fd);
  s.ended = undefined;
  await s.launch();
  const found = await stored(s, 'torn.go');
  assert.ok(found.length < 200 && found.length > 0, `${found.length}`);
  assert.ok(found.every((i) => e.acked.includes(i)));
  assert.equal((await e.once()).status, 200);
});

test('a database on a read-only disk is refused; one that turns read-only answers 503', onSqlite, async (t) => {
  const disk = await Disk.start(t);
  const s = disk.server, e = new Emitter(s, 'ro.go');
  await e.many(5);
  s.child.kill('SIGKILL');
  await s.exited;
  disk.fail('readonly .db', 'readonly -wal', 'readonly -shm');
  const refused = await run(releaseBin, s.args(), { env: { PATH: process.env.PATH, ...faultEnv(s.dir, disk.control) } });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /read-only/i);
  disk.works();
  s.ended = undefined;
  await s.launch();
  await e.account();
});

test('without IPv6 the server listens on IPv4', async (t) => {
  const s = await Server.start({ bin: releaseBin, env: { LD_PRELOAD: faultEnv('/', '/').LD_PRELOAD, DISKFAULT_NO_IPV6: '1' } });
  t.after(() => s.stop());
  assert.equal((await s.rest('POST', '/events', { name: 'v4' })).status, 200);
});

test('one server for one file, whatever it is called: symbolic and hard links, a lock file that was deleted', onSqlite, async (t) => {
  const s = await Server.start();
  t.after(() => s.stop());
  const file = join(s.dir, 'ironflow.db');
  symlinkSync(file, join(s.dir, 'soft.db'));
  linkSync(file, join(s.dir, 'hard.db'));
  symlinkSync(s.dir, join(s.dir, 'dir'));
  rmSync(`${file}.lock`);
  for (const name of ['soft.db', 'hard.db', 'dir/ironflow.db', 'ironflow.db']) {
    const second = await run('timeout', ['-k', '1', '60', bin, 'serve', '--port', '0', '--db', join(s.dir, name), '--bootstrap-key-file', join(s.dir, 'second.json')]);
    assert.equal(second.code, 1, `${name}: ${second.stderr}`);
    assert.match(second.stderr, /in use by/, name);
  }
  assert.equal((await s.rest('POST', '/events', { name: 'still.mine' })).status, 200);
  rmSync(join(s.dir, 'hard.db'));
  await s.crash();
  assert.equal((await s.rest('GET', '/events?name=still.mine')).body.count, 1);
});

/* ---- PostgreSQL ---- */

const onPg = { skip: pgUrl === '' };

/** Emitters and one worker that go on whatever is answered; `acked` of each is what was promised. */
class Load {
  constructor(s, fn) {
    this.s = s;
    this.fn = fn;
    this.emitter = new Emitter(s, `${fn}.go`);
    this.completed = [];
    this.odd = [];
    this.going = true;
  }

  async start(emitters = 6) {
    await this.s.register(this.fn, `${this.fn}.go`);
    this.worker = await this.s.worker(`w-${this.fn}`, [this.fn]);
    const forever = async (turn) => { while (this.going) await turn(); };
    this.loops = [...Array.from({ length: emitters }, () => forever(() => this.emitter.once())), forever(() => this.work())];
  }

  async work() {
    const gone = (e) => ({ status: 0, text: String(e), body: undefined });
    const polled = await this.worker.poll(5).catch(gone);
    if (![200, 204, 503, 0].includes(polled.status)) this.odd.push(`poll ${polled.status} ${polled.text}`);
    for (const job of polled.body?.jobs ?? []) {
      const done = await this.worker.update(job, { status: 'completed', output: { run: job.run_id } }).catch(gone);
      if (done.status === 200) this.completed.push(job.run_id);
      else if (![503, 0, 409].includes(done.status)) this.odd.push(`report ${done.status} ${done.text}`);
    }
  }

  until(n, m, ms = 60000) {
    return until(`${n} emits and ${m} completions; have ${this.emitter.acked.length}, ${this.completed.length}`,
      () => this.emitter.acked.length >= n && this.completed.length >= m, ms);
  }

  async stop() {
    this.going = false;
    await Promise.all(this.loops);
    assert.deepEqual(this.odd, []);
    await this.emitter.account();
    for (const id of this.completed) {
      const r = await this.s.getRun(id);
      assert.deepEqual([r.status, r.output], ['completed', { run: id }], 'a completion that was acknowledged');
    }
    assert.equal(new Set(this.completed).size, this.completed.length, 'a run was completed twice');
  }
}

const shortLeases = { IRONFLOW_LEASE_MS: '1500', IRONFLOW_LEASE_CLAIM_MS: '800', IRONFLOW_GRACE_MS: '200', IRONFLOW_POLL_HOLD_MS: '200' };

test('PostgreSQL crashes and comes back under load: 503 meanwhile, nothing acknowledged is lost', onPg, async (t) => {
  const pg = await Cluster.start(t);
  const s = await Server.start({ pg: pg.url, env: shortLeases });
  t.after(() => s.stop());
  const load = new Load(s, 'pgload');
  await load.start();
  await load.until(30, 5);
  await pg.restart();
  const { acked } = load.emitter, { length } = load.completed;
  await load.until(acked.length + 30, length + 5);
  assert.ok((await pg.cut()) > 0);
  await load.until(load.emitter.acked.length + 30, load.completed.length + 5);
  await load.stop();
  assert.ok(load.emitter.refused.length > 0, 'nobody noticed: the test is void');
  assert.equal(s.ended, undefined);
});

test('PostgreSQL is away for a while: 503 at once, unready, then it goes on', onPg, async (t) => {
  const pg = await Cluster.start(t);
  const s = await Server.start({ pg: pg.url, env: shortLeases });
  t.after(() => s.stop());
  const e = new Emitter(s, 'away.go');
  await e.many(10);
  const w = await s.worker('w', ['nothing']);
  const held = w.poll(1).catch((x) => ({ status: 0, text: String(x) }));
  await pg.down();
  await until('unready', async () => (await s.rest('GET', '/ready')).status === 503);
  const start = Date.now();
  const refused = await e.many(20);
  assert.ok(refused.every((r) => r.status === 503), refused.map((r) => `${r.status} ${r.text}`).join('\n'));
  assert.ok(Date.now() - start < 10000, `${Date.now() - start} ms to say no`);
  for (const path of ['/functions', '/runs', '/events']) assert.equal((await s.rest('GET', path)).status, 503, path);
  assert.ok([204, 503].includes((await held).status));
  const texts = [...refused.map((r) => r.text), (await s.rest('GET', '/ready')).text, (await s.rpc('Health')).text,
    (await s.rest('GET', '/runs')).text];
  for (const text of texts) {
    assert.match(text, /the database is unavailable/);
    assert.doesNotMatch(text, /127\.0\.0\.1|localhost|socket|port |server at/, 'where the database is concerns no client');
  }
  assert.match(s.stderr, /the database cannot be reached.*(refused|127\.0\.0\.1|socket)/, 'the operator is told');
  assert.ok(s.stderr.split('\n').length < 400, `the log is flooded:\n${s.stderr.slice(-1000)}`);
  await pg.up();
  await until('ready again', async () => (await s.rest('GET', '/ready')).status === 200);
  assert.equal((await e.once()).status, 200);
  await e.account();
});

test('starting while PostgreSQL is down, or with a wrong URL: a clear message and exit 1', onPg, async (t) => {
  const pg = await Cluster.start(t);
  await pg.down();
  const dead = new URL(pg.url);
  dead.password = 'hunter2';
  const serve = (url) => run(bin, ['serve', '--port', '0', '--nats-store-dir', ''], { env: { PATH: process.env.PATH, HOME: pg.dir, TMPDIR: pg.dir, IRONFLOW_DATABASE_URL: url } });
  const down = await serve(dead.toString());
  assert.equal(down.code, 1);
  assert.match(down.stderr, /^Error: .*(PostgreSQL|database)/m);
  assert.ok(!down.stderr.includes('hunter2'), 'a password must not be printed');
  await pg.up();
  const missing = new URL(pg.url);
  missing.pathname = '/no_such_database';
  const wrong = await serve(missing.toString());
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /no_such_database/);
  for (const url of ['mysql://127.0.0.1/x', 'postgres//nothing', 'postgresql://127.0.0.1:notaport/x']) {
    const bad = await serve(url);
    assert.equal(bad.code, 1, url);
    assert.match(bad.stderr, /^Error: ./m, url);
  }
});

test('two servers on one PostgreSQL: one registry, one queue, no run held twice', onPg, async (t) => {
  const a = await Server.start({ env: { ...shortLeases, IRONFLOW_LEASE_MS: '60000', IRONFLOW_LEASE_CLAIM_MS: '60000' } });
  t.after(() => a.stop());
  const b = await Server.start({ pg: a.pg, env: { ...shortLeases, IRONFLOW_LEASE_MS: '60000', IRONFLOW_LEASE_CLAIM_MS: '60000' } });
  t.after(() => b.stop());
  for (let i = 0; i < 10; i++) {
    const [x, y] = i % 2 ? [a, b] : [b, a];
    await x.register(`two-${i}`, `two-${i}.go`);
    assert.equal((await y.rpc('GetFunction', { id: `two-${i}` })).status, 200, 'seen at once on the other');
    const emitted = await y.rest('POST', '/events', { name: `two-${i}.go` });
    assert.equal(emitted.body.run_ids.length, 1, 'a function registered on one node misses an event emitted on the other');
  }
  await a.register('race', 'race.go');
  const workers = [await a.worker('wa', ['race']), await b.worker('wb', ['race']), await a.worker('wc', ['race']), await b.worker('wd', ['race'])];
  assert.equal((await b.rest('GET', '/workers')).body.count, 4);
  const ids = (await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? a : b).rest('POST', '/events', { name: 'race.go', idempotency_key: `k${i >> 1}` }))))
    .map((r) => { assert.equal(r.status, 200, r.text); return r.body.run_ids[0]; });
  assert.equal(new Set(ids).size, 30, 'the same key on both nodes is one event');
  const got = [];
  await until('all runs', async () => {
    const rounds = await Promise.all(workers.flatMap((w) => [w.poll(3), w.poll(2)]));
    for (const r of rounds) {
      assert.ok([200, 204].includes(r.status), r.text);
      for (const job of r.body?.jobs ?? []) got.push(job);
    }
    await Promise.all(got.filter((j) => !j.done).map(async (j) => {
      j.done = true;
      const node = got.indexOf(j) % 2 ? a : b, owner = (await node.getRun(j.run_id)).worker_id;
      const done = await node.rest('PUT', `/workers/${owner ?? 'wa'}/jobs/${j.job_id}`, { status: 'completed', execution_seq: j.execution_seq, lease_token: j.lease_token });
      assert.equal(done.status, 200, done.text);
    }));
    return got.length >= 30;
  });
  assert.equal(new Set(got.map((j) => j.run_id)).size, got.length, 'a run was held by two workers');
  const held = workers[3].poll(1);
  const late = (await a.rest('POST', '/events', { name: 'race.go' })).body.run_ids[0];
  let job = (await held).body?.jobs?.[0];
  if (!job) job = await workers[3].take();
  assert.equal(job.run_id, late);
  await a.crash();
  assert.equal((await b.getRun(late)).status, 'running');
  assert.equal((await a.rpc('GetFunction', { id: 'two-3' })).status, 200);
});

test('two servers with the same node id never make the same id', onPg, async (t) => {
  const flags = ['--node-id', 'copied-unit-file'];
  const a = await Server.start({ flags });
  t.after(() => a.stop());
  const b = await Server.start({ flags, pg: a.pg });
  t.after(() => b.stop());
  await a.register('twin', 'twin.go');
  for (let round = 0; round < 8; round++) {
    const all = await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 ? a : b).rest('POST', '/events', { name: 'twin.go' })));
    assert.deepEqual(all.filter((r) => r.status !== 200).map((r) => r.text), []);
  }
});

test('three servers start at once on an empty PostgreSQL: all serve, one made the key', onPg, async (t) => {
  const pg = await Cluster.start(t);
  const all = [1, 2, 3].map(() => { const s = new Server({ dev: false }); s.pg = pg.url; t.after(() => s.stop()); return s; });
  await Promise.all(all.map((s) => s.launch()));
  const withKey = all.filter((s) => s.key);
  assert.equal(withKey.length, 1, all.map((s) => s.stderr).join('\n'));
  for (const s of all) {
    s.key = withKey[0].key;
    assert.equal((await s.rest('GET', '/functions')).status, 200);
  }
  assert.equal(await pg.sql("SELECT count(*) FROM api_keys"), '1');
});
