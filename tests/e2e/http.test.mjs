// The door: slow, silent, greedy and vanishing clients, unusual but valid ones, and races between
// requests. Every time the server goes on for everybody else.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { Server, run, step, until } from './lib.mjs';
import { Socket, openFiles, request, residentMiB } from '../lib/net.mjs';
import { releaseBin } from '../lib/disk.mjs';

let s;
before(async () => { s = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '3000' } }); });
after(() => s.stop());

const V1 = '/api/v1';
const post = (body, headers) => s.rest('POST', '/events', body, headers);
const alive = async (server = s) => assert.equal((await server.rest('GET', '/health')).status, 200);
const count = async (name) => (await s.rest('GET', `/events?name=${encodeURIComponent(name)}&limit=1000`)).body.count;
const times = (n, f) => Promise.all(Array.from({ length: n }, (_, i) => f(i)));

/* ---- unusual but valid ---- */

test('content types: with parameters, of curl -d, none at all; others are 415', async () => {
  const body = '{"name":"type.ok"}';
  for (const type of ['application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON;charset="UTF-8"', 'application/x-www-form-urlencoded', 'application/x-www-form-urlencoded; charset=UTF-8'])
    assert.equal((await post(body, { 'content-type': type })).status, 200, type);
  const bare = await Socket.open(s.port);
  await bare.write(request('POST', `${V1}/events`, { body, headers: { 'Content-Type': null } }));
  assert.deepEqual(await bare.answers(1), [200]);
  bare.close();
  for (const type of ['text/plain', 'multipart/form-data; boundary=x', 'application/xml', 'application/jsonp', 'application/proto', 'json'])
    assert.equal((await post(body, { 'content-type': type })).status, 415, type);
  const form = await post('name=type.ok&data=1', { 'content-type': 'application/x-www-form-urlencoded' });
  assert.deepEqual([form.status, form.body.code], [400, 'invalid_argument'], 'a real form is not guessed at');
  assert.equal((await s.rpc('Trigger', { event: 'type.ok' }, { 'content-type': 'application/x-www-form-urlencoded' })).status, 415, 'Connect stays strict');
  assert.equal(await count('type.ok'), 6);
});

test('curl as people type it', async () => {
  const curl = async (...args) => run('curl', ['-s', '-w', '\n%{http_code}', ...args]);
  const events = `${s.url}${V1}/events`;
  assert.match((await curl('-d', '{"name":"curl.it"}', events)).stdout, /\n200$/);
  assert.match((await curl('-4', '-d', '@-', events, ).then((r) => r)).stdout, /\n400$/, 'an empty body says what is missing');
  assert.match((await run('curl', ['-s', '-w', '\n%{http_code}', '-d', '@-', events], { input: '{"name":"curl.it"}' })).stdout, /\n200$/);
  assert.match((await curl('--json', '{"name":"curl.it"}', events)).stdout, /\n200$/);
  assert.match((await curl('-H', 'Transfer-Encoding: chunked', '-d', '{"name":"curl.it"}', events)).stdout, /\n200$/);
  assert.match((await curl('--http1.0', '-d', '{"name":"curl.it"}', events)).stdout, /\n200$/);
  assert.match((await curl('--http2', '-d', '{"name":"curl.it"}', events)).stdout, /\n200$/, 'an offer to upgrade is not taken');
  assert.match((await curl('--compressed', '-I', `${s.url}/health`)).stdout, /200/);
  const big = JSON.stringify({ name: 'curl.it', data: 'x'.repeat(2 << 20) });
  assert.match((await run('curl', ['-s', '-w', '\n%{http_code}', '-H', 'Expect: 100-continue', '-d', '@-', events], { input: big })).stdout, /\n200$/);
  assert.equal(await count('curl.it'), 7);
});

test('compressed bodies are refused with what is understood', async () => {
  const body = gzipSync('{"name":"gzip.it"}');
  for (const encoding of ['gzip', 'br', 'deflate', 'identity, gzip']) {
    for (const path of [`${V1}/events`, '/ironflow.v1.IronflowService/Trigger']) {
      const r = await fetch(s.url + path, { method: 'POST', headers: { 'content-type': 'application/json', 'content-encoding': encoding }, body });
      assert.equal(r.status, 501, encoding);
      assert.equal((await r.json()).code, 'unimplemented');
      assert.equal(r.headers.get('accept-encoding'), 'identity');
    }
  }
  assert.equal((await post('{"name":"plain.it"}', { 'content-encoding': 'identity' })).status, 200);
  assert.equal(await count('gzip.it'), 0);
});

test('header names in odd case, repeated list headers, blanks around values', async () => {
  const c = await Socket.open(s.port), body = '{"name":"case.it","data":1}';
  await c.write(`POST ${V1}/events HTTP/1.1\r\nhOsT:x\r\ncOnTeNt-TyPe:   Application/JSON \t\r\nCONTENT-LENGTH:\t${body.length}\r\nAccept: a\r\nAccept: b\r\nX-IRONFLOW-ENVIRONMENT: default\r\n\r\n${body}`);
  assert.deepEqual(await c.answers(1), [200]);
  await c.write(`GET ${V1}/events?name=case.it HTTP/1.1\r\nhost: x\r\nx-ironflow-environment:  nowhere\r\n\r\n`);
  assert.deepEqual(await c.answers(2), [200, 404]);
  c.close();
});

test('long names, keys and unicode ids: a limit that is told, and exact matches', async () => {
  assert.equal((await post({ name: 'n'.repeat(1024) })).status, 200);
  const long = await post({ name: 'n'.repeat(1025) });
  assert.equal(long.status, 400);
  assert.match(long.body.message, /1024/);
  const first = await post({ name: 'key.it', idempotency_key: 'k'.repeat(1024) });
  assert.equal(first.status, 200);
  assert.deepEqual((await post({ name: 'key.it', idempotency_key: 'k'.repeat(1024) })).body, first.body);
  for (const n of [1025, 100000]) {
    const r = await post({ name: 'key.it', idempotency_key: 'k'.repeat(n) });
    assert.equal(r.status, 400);
    assert.match(r.body.message, /idempotency key.*1024/);
  }
  assert.equal(await count('key.it'), 1);
  await s.register('bestellung-ü-😀', 'größe.*', {});
  const header = await s.rest('POST', `/functions/${encodeURIComponent('bestellung-ü-😀')}/invoke`, { data: 1 }, { 'idempotency-key': 'k'.repeat(2000) });
  assert.equal(header.status, 400);
  assert.equal((await s.rest('POST', `/workers/${encodeURIComponent('wörker-😀')}/register`, { worker_id: 'wörker-😀', function_ids: ['bestellung-ü-😀'] })).status, 200);
  const id = (await post({ name: 'größe.😀', data: { 'ключ': '値' } })).body.run_ids[0];
  const job = await until('the job', async () => (await s.rest('GET', `/workers/${encodeURIComponent('wörker-😀')}/jobs?available=1`)).body?.jobs?.[0]);
  assert.deepEqual([job.run_id, job.function_id, job.event.name, job.event.data], [id, 'bestellung-ü-😀', 'größe.😀', { 'ключ': '値' }]);
  assert.equal(await count('größe.😀'), 1);
  assert.equal(await count('gro\u0308ße.😀'), 0, 'names are compared byte for byte');
});

test('HTTP/1.0, Connection: close, absolute and asterisk targets, trailers and unknown expectations', async () => {
  const old = await Socket.open(s.port);
  await old.write('GET /health HTTP/1.0\r\n\r\n');
  await old.untilEnd();
  assert.match(old.text, /^HTTP\/1\.1 200 [\s\S]*Connection: close\r\n[\s\S]*healthy/);
  const kept = await Socket.open(s.port);
  for (let i = 1; i <= 3; i++) {
    await kept.write('GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    await kept.answers(i);
  }
  assert.match(kept.text, /Connection: keep-alive/);
  kept.close();
  const closing = await Socket.open(s.port);
  await closing.write(request('GET', '/health', { headers: { Connection: 'close' } }) + request('POST', `${V1}/events`, { body: '{"name":"after.close"}' }));
  await closing.untilEnd();
  assert.deepEqual(closing.statuses(), [200]);
  assert.match(closing.text, /Connection: close/);
  assert.equal(await count('after.close'), 0, 'what follows a close is not served');
  const c = await Socket.open(s.port);
  await c.write('GET http://any.host:99/health?x=y HTTP/1.1\r\nHost: any.host:99\r\n\r\n');
  await c.write('OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n');
  await c.write(request('GET', '/health', { headers: { Expect: 'the impossible' } }));
  assert.deepEqual(await c.answers(3), [200, 204, 417]);
  c.close();
  const trailer = await Socket.open(s.port);
  await trailer.write(`POST ${V1}/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{"name":"trailer.it"}\r\n0\r\nContent-Length: 5\r\n\r\n`);
  await trailer.untilEnd();
  assert.deepEqual(trailer.statuses(), [400], 'nothing may hide behind a body');
  assert.equal(await count('trailer.it'), 0);
  const tooBig = await Socket.open(s.port);
  await tooBig.write(request('POST', `${V1}/events`, { headers: { 'Content-Length': 9e6, Expect: '100-continue' } }));
  assert.deepEqual(await tooBig.answers(1), [413], 'refused before the body is sent');
  tooBig.close();
});

test('pipelining: mixed requests are answered in order, each sees what came before it', async () => {
  const c = await Socket.open(s.port);
  let text = '';
  for (let i = 0; i < 20; i++) {
    text += request('POST', `${V1}/events`, { body: `{"name":"pipe.it","data":${i}}` });
    text += request('GET', `${V1}/events?name=pipe.it&limit=100`);
    text += request(i % 2 ? 'GET' : 'DELETE', i % 2 ? '/no/such' : `${V1}/events`);
  }
  await c.write(text);
  const statuses = await c.answers(60);
  for (let i = 0; i < 20; i++) assert.deepEqual(statuses.slice(3 * i, 3 * i + 3), [200, 200, i % 2 ? 404 : 405], `${i}`);
  const counts = [...c.text.matchAll(/"count":(\d+)/g)].map((m) => Number(m[1]));
  assert.deepEqual(counts, Array.from({ length: 20 }, (_, i) => i + 1));
  c.close();
  const bytes = await Socket.open(s.port);
  for (const b of request('POST', `${V1}/events`, { body: '{"name":"byte.it"}' }) + request('GET', '/health')) bytes.socket.write(b);
  assert.deepEqual(await bytes.answers(2), [200, 200]);
  bytes.close();
});

/* ---- slow, silent, greedy, gone ---- */

test('slow heads and bodies end with 408, steadily dripping ones too, while others are served', async (t) => {
  const s = await Server.start({ env: { IRONFLOW_HEADER_MS: '1500', IRONFLOW_BODY_MS: '1500' } });
  t.after(() => s.stop());
  const drip = async (c, next, everyMs) => { while (!c.ended && !c.closed) { await c.write(next()); await new Promise((r) => setTimeout(r, everyMs)); } };
  const open = async (text) => { const c = await Socket.open(s.port); await c.write(text); return c; };
  const head = await open('GET /health HTTP/1.1\r\nHost: x\r\nX-A: ');
  const headDrip = await open('GET /health HTTP/1.1\r\nHost: x\r\nX-A: ');
  const body = await open(request('POST', `${V1}/events`, { headers: { 'Content-Length': 100, 'Content-Type': 'application/json' } }) + '{"name":');
  const bodyDrip = await open(request('POST', `${V1}/events`, { headers: { 'Content-Length': 4e6, 'Content-Type': 'application/json' } }) + '{"name":');
  const chunkDrip = await open(request('POST', `${V1}/events`, { headers: { 'Transfer-Encoding': 'chunked', 'Content-Type': 'application/json' } }));
  const blank = await open('\r\n');
  const drips = [drip(headDrip, () => 'a', 50), drip(bodyDrip, () => ' ', 50), drip(chunkDrip, () => '1\r\n \r\n', 50), drip(blank, () => '\r\n', 50)];
  const all = { head, headDrip, body, bodyDrip, chunkDrip };
  for (let i = 0; i < 20; i++) assert.equal((await s.rest('POST', '/events', { name: 'meanwhile' })).status, 200);
  await until('all to be turned away', () => Object.values(all).every((c) => c.ended || c.closed) && (blank.ended || blank.closed))
    .catch(() => assert.fail(`still open: ${Object.entries({ ...all, blank }).filter(([, c]) => !c.ended && !c.closed).map(([k]) => k)}`));
  for (const [name, c] of Object.entries(all)) assert.deepEqual(c.statuses(), [408], name);
  await Promise.all(drips);
  for (const c of [...Object.values(all), blank]) c.close();
});

test('a client that sends slowly but steadily is served', async (t) => {
  const s = await Server.start({ env: { IRONFLOW_BODY_MS: '3000' } });
  t.after(() => s.stop());
  const c = await Socket.open(s.port), body = JSON.stringify({ name: 'steady.it', data: 'x'.repeat(20000) });
  await c.write(request('POST', `${V1}/events`, { headers: { 'Content-Type': 'application/json', 'Content-Length': body.length } }));
  for (let at = 0; at < body.length; at += 500) {
    await c.write(body.slice(at, at + 500));
    await new Promise((r) => setTimeout(r, 100)); // longer in all than a body without progress may take
  }
  assert.deepEqual(await c.answers(1), [200], c.text);
  c.close();
});

test('aborted and half-closed connections at every stage leave nothing behind', async () => {
  const before = openFiles(s.child.pid);
  const text = request('POST', `${V1}/events`, { body: '{"name":"cut.it"}' }) + request('GET', `${V1}/runs`);
  const cuts = Array.from({ length: Math.ceil(text.length / 3) }, (_, i) => i * 3);
  for (const how of ['close', 'reset', 'half'])
    await Promise.all(cuts.map(async (n) => {
      const c = await Socket.open(s.port);
      await c.write(text.slice(0, n));
      c[how]();
      if (how === 'half') await c.untilEnd();
    }));
  const whole = request('POST', `${V1}/events`, { body: '{"name":"half.it"}' });
  await times(50, async () => {
    const c = await Socket.open(s.port);
    await c.write(whole);
    c.half();
    await c.untilEnd();
    assert.deepEqual(c.statuses(), [200], 'who stops sending may still read');
  });
  assert.equal(await count('half.it'), 50);
  await until('the descriptors to come back', () => openFiles(s.child.pid) <= before + 5);
  await alive();
});

test('claims of polls whose client vanished come back, with their lease at the latest', async (t) => {
  const s = await Server.start({ env: { IRONFLOW_LEASE_CLAIM_MS: '1500', IRONFLOW_GRACE_MS: '100', IRONFLOW_POLL_HOLD_MS: '3000' } });
  t.after(() => s.stop());
  await s.register('vanish', 'vanish.go');
  const w = await s.worker('vanishing', ['vanish'], { max_concurrent_jobs: 1000 });
  const path = `${V1}/workers/vanishing/jobs?available=1`;
  const ids = [];
  for (let round = 0; round < 6; round++) {
    const polls = await times(8, async () => { const c = await Socket.open(s.port); await c.write(request('GET', path)); return c; });
    const emits = times(8, async () => ids.push((await s.rest('POST', '/events', { name: 'vanish.go' })).body.run_ids[0]));
    for (const [i, c] of polls.entries()) [() => c.reset(), () => c.close(), () => c.half()][i % 3]();
    await emits;
    for (const c of polls) c.close();
  }
  await until('every run to be handed out and completed', async () => {
    for (const job of (await w.poll(50)).body?.jobs ?? []) {
      await w.ack(job); // the claim of a slow one may be over by now: then it comes again
      await w.update(job, { status: 'completed' });
    }
    return (await Promise.all(ids.map((id) => s.getRun(id)))).every((r) => r.status === 'completed');
  });
});

test('a poll whose client is known dead gives nothing away', async () => {
  await s.register('vanish', 'vanish.go');
  const w = await s.worker('vanishing', ['vanish'], { max_concurrent_jobs: 1000 });
  const path = `${V1}/workers/vanishing/jobs?available=1`;
  const dead = await Socket.open(s.port);
  await dead.write(request('GET', path));
  const other = s.rest('GET', '/workers/vanishing/jobs?available=1');
  dead.reset();
  await alive();
  const t = Date.now();
  const id = (await post({ name: 'vanish.go' })).body.run_ids[0];
  let job = (await other).body?.jobs?.[0];
  if (!job) job = await w.take();
  assert.equal(job.run_id, id);
  assert.ok(Date.now() - t < 20000, `${Date.now() - t} ms: the dead poll kept the run for its lease of 30 s`);
});

test('slow readers of large lists cost bounded memory and disturb nobody', async (t) => {
  const r = await Server.start({ bin: releaseBin });
  t.after(() => r.stop());
  const pad = 'p'.repeat(1 << 20);
  for (let i = 0; i < 30; i++) assert.equal((await r.rest('POST', '/events', { name: 'large', data: { i, pad } })).status, 200);
  const before = residentMiB(r.child.pid);
  const readers = await times(40, async () => {
    const c = await Socket.open(r.port, { reading: false });
    await c.write(request('GET', `${V1}/events?name=large&limit=1000`));
    return c;
  });
  await until('the server to have seen them', async () => (await r.rest('GET', '/events?name=large&limit=1')).status === 200, 90000);
  let most = 0;
  for (let i = 0; i < 40; i++) {
    most = Math.max(most, residentMiB(r.child.pid));
    const started = Date.now();
    assert.equal((await r.rest('POST', '/events', { name: 'small' })).status, 200);
    assert.ok(Date.now() - started < 30000);
  }
  assert.ok(most - before < 640, `${most - before} MiB for 40 readers of 30 MiB each`);
  for (const c of readers) c.close();
  const seen = [];
  for (let path = '/events?name=large&limit=1000'; path;) {
    const page = await r.rest('GET', path);
    assert.equal(page.status, 200, page.text.slice(0, 200));
    seen.push(...page.body.events.map((e) => e.data.i));
    path = page.body.has_next ? `/events?name=large&limit=1000&cursor=${encodeURIComponent(page.body.next_cursor)}` : undefined;
  }
  assert.deepEqual(seen, Array.from({ length: 30 }, (_, i) => 29 - i), 'pages shortened by size neither skip nor repeat');
});

test('a poll for more than fits into an answer gets what fits; the rest is handed out next', async (t) => {
  const r = await Server.start({ bin: releaseBin });
  t.after(() => r.stop());
  await r.register('fat', 'fat.go');
  const w = await r.worker('fat', ['fat'], { max_concurrent_jobs: 500 });
  const data = 'p'.repeat(3 << 20), ids = [];
  for (let i = 0; i < 95; i++) ids.push((await r.rest('POST', '/events', { name: 'fat.go', data })).body.run_ids[0]);
  const before = residentMiB(r.child.pid), got = [];
  await until('every run', async () => {
    const polled = await w.poll(200);
    assert.equal(polled.status, 200, polled.text.slice(0, 300));
    assert.ok(polled.text.length < 40 << 20, `${polled.text.length} bytes`);
    got.push(...polled.body.jobs.map((j) => j.run_id));
    return got.length >= 95;
  });
  assert.deepEqual(got, ids, 'oldest first, each once');
  assert.ok(residentMiB(r.child.pid) - before < 300);
  const all = await r.rest('GET', '/runs?limit=1000');
  assert.deepEqual([all.status, all.body.code], [413, 'resource_exhausted']);
  assert.match(all.body.message, /limit/);
  assert.equal((await r.rest('GET', '/runs?limit=20')).body.count, 20);
});

test('2,000 idle connections cost little and the next request is served at once', async (t) => {
  const r = await Server.start({ bin: releaseBin });
  t.after(() => r.stop());
  const before = residentMiB(r.child.pid);
  const idle = await times(2000, () => Socket.open(r.port));
  await Promise.all(idle.map(async (c) => { await c.write(request('GET', '/health')); await c.answers(1); }));
  const grown = residentMiB(r.child.pid) - before;
  assert.ok(grown < 24, `${grown} MiB for 2,000 idle connections`);
  const started = Date.now();
  assert.equal((await r.rest('POST', '/events', { name: 'small' })).status, 200);
  assert.ok(Date.now() - started < 15000);
  for (const c of idle) c.reset();
  await until('the descriptors to come back', () => openFiles(r.child.pid) < 100);
});

test('out of file descriptors: who has a connection is served, others when there is room again', async (t) => {
  const r = await Server.start({ bin: releaseBin });
  t.after(() => r.stop());
  const kept = await Socket.open(r.port);
  await kept.write(request('GET', '/health'));
  await kept.answers(1);
  const limit = openFiles(r.child.pid) + 5;
  assert.equal((await run('prlimit', [`--pid=${r.child.pid}`, `--nofile=${limit}:${limit}`])).code, 0);
  const crowd = await times(100, () => Socket.open(r.port));
  await until('the table to be full', () => openFiles(r.child.pid) >= limit);
  await kept.write(request('POST', `${V1}/events`, { body: '{"name":"kept"}' }) + request('GET', `${V1}/runs`));
  assert.deepEqual(await kept.answers(3), [200, 200, 200]);
  for (const c of crowd) c.close();
  await until('new connections', () => r.rest('GET', '/health').then((x) => x.status === 200, () => false));
  assert.ok(r.stderr.split('\n').length < 200, 'the log is flooded');
  kept.close();
});

/* ---- races ---- */

test('200 cancels race 200 completions: one of them wins, and each reply tells which', async () => {
  await s.register('race', 'race.go');
  const w = await s.worker('racer', ['race'], { max_concurrent_jobs: 1000 });
  for (let round = 0; round < 4; round++) {
    await times(50, () => post({ name: 'race.go' }));
    const jobs = [];
    await until('50 jobs', async () => { jobs.push(...((await w.poll(50)).body?.jobs ?? [])); return jobs.length >= 50; });
    await Promise.all(jobs.map(async (job, i) => {
      const cancel = () => s.rest('POST', `/runs/${job.run_id}/cancel`, {});
      const complete = () => w.update(job, { status: 'completed', output: { mine: job.run_id } });
      const [c, d] = i % 2 ? await Promise.all([cancel(), complete()]) : (await Promise.all([complete(), cancel()])).reverse();
      const r = await s.getRun(job.run_id);
      if (r.status === 'completed') {
        assert.deepEqual([c.status, d.status, r.output], [412, 200, { mine: job.run_id }]);
      } else {
        assert.deepEqual([r.status, c.status, c.body.status, d.status, d.body.code], ['cancelled', 200, 'cancelled', 409, 'RUN_NOT_RUNNING']);
        assert.equal(r.output ?? null, null, 'the loser left something');
      }
    }));
  }
});

test('50 connections emit with one key: one event, one answer; another body changes nothing', async () => {
  await s.register('one-key', 'one.key');
  for (const round of [1, 2, 3]) {
    const answers = await times(50, (i) => post({ name: 'one.key', data: { i }, idempotency_key: `one-${round}` }));
    assert.ok(answers.every((a) => a.status === 200), answers.map((a) => a.text).join('\n'));
    assert.equal(new Set(answers.map((a) => a.text)).size, 1);
    assert.equal(await count('one.key'), round);
  }
  assert.equal((await s.rest('GET', '/runs?function_id=one-key')).body.total_count, 3);
});

test('SIGTERM with held polls, half requests and slow readers: answered or cut, and gone at once', async (t) => {
  const r = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '60000' } });
  t.after(() => r.stop());
  await r.register('end', 'end.go');
  await r.worker('end', ['end']);
  const polls = await times(30, async () => { const c = await Socket.open(r.port); await c.write(request('GET', `${V1}/workers/end/jobs?available=1`)); return c; });
  const idle = await times(20, () => Socket.open(r.port));
  const half = await Socket.open(r.port);
  await half.write(request('POST', `${V1}/events`, { headers: { 'Content-Length': 1000, 'Content-Type': 'application/json' } }) + '{');
  await r.rest('POST', '/events', { name: 'big', data: 'x'.repeat(3 << 20) });
  const slow = await Socket.open(r.port, { reading: false });
  await slow.write(request('GET', `${V1}/events?name=big`));
  const started = Date.now();
  r.child.kill('SIGTERM');
  assert.deepEqual(await until('the exit', () => r.ended), { code: 0, signal: null });
  assert.ok(Date.now() - started < 20000, `${Date.now() - started} ms to stop: a drain is given 30 s, and this one has nothing to wait for`);
  for (const c of polls) assert.deepEqual(c.statuses(), [204], c.text);
  for (const c of [...idle, half, slow, ...polls]) c.close();
});

test('20 connections register the same new function: exactly one created it, one version', async () => {
  for (let round = 0; round < 5; round++) {
    const answers = await times(20, () => s.rpc('RegisterFunction', { id: `once-${round}`, triggers: [{ event: 'once.go' }] }));
    assert.ok(answers.every((a) => a.status === 200), answers.map((a) => a.text).join('\n'));
    assert.equal(answers.filter((a) => a.body.created).length, 1);
    assert.equal((await s.rpc('GetFunction', { id: `once-${round}` })).body.version, 1);
    assert.deepEqual((await s.rpc('ListFunctionHistory', { functionId: `once-${round}` })).body.entries ?? [], [], 'no version before the first');
  }
});

test('rollback races rollback: versions stay gapless and the last one is what is served', async () => {
  const description = (i) => `version ${i}`;
  for (let i = 1; i <= 3; i++) assert.equal((await s.rpc('RegisterFunction', { id: 'roll', description: description(i), triggers: [{ event: `roll.${i}` }] })).status, 200);
  const answers = await times(20, (i) => s.rpc('RollbackFunction', { id: 'roll', functionId: 'roll', version: 1 + (i % 2), targetVersion: 1 + (i % 2) }));
  assert.ok(answers.every((a) => [200, 409].includes(a.status)), answers.map((a) => `${a.status} ${a.text}`).join('\n'));
  assert.ok(answers.some((a) => a.status === 200));
  const now = (await s.rpc('GetFunction', { id: 'roll' })).body;
  const list = await s.rpc('ListFunctionHistory', { functionId: 'roll', limit: 100 });
  const versions = list.body.entries.map((v) => v.functionSnapshot.version).sort((a, b) => a - b);
  assert.deepEqual(versions, Array.from({ length: now.version - 1 }, (_, i) => i + 1));
  assert.equal(now.version, 3 + answers.filter((a) => a.status === 200).length, 'an answer of 200 is one version');
  assert.ok([description(1), description(2)].includes(now.description));
  assert.equal((await post({ name: `roll.${now.description.at(-1)}` })).body.run_ids.length, 1);
});

test('heartbeats race expiry: a kept job is never taken back, a lost one never kept', async (t) => {
  const s = await Server.start({ env: { IRONFLOW_LEASE_MS: '4000', IRONFLOW_GRACE_MS: '100', IRONFLOW_POLL_HOLD_MS: '1000' } });
  t.after(() => s.stop());
  await s.register('beat', 'beat.go');
  const w = await s.worker('beater', ['beat'], { max_concurrent_jobs: 100 }), thief = await s.worker('thief', ['beat'], { max_concurrent_jobs: 100 });
  await times(20, () => s.rest('POST', '/events', { name: 'beat.go' }));
  const jobs = [];
  await until('20 jobs', async () => { jobs.push(...((await w.poll(20)).body?.jobs ?? [])); return jobs.length >= 20; });
  await Promise.all(jobs.map((j) => w.ack(j)));
  const kept = jobs.slice(0, 10), lost = jobs.slice(10);
  const stolen = new Map();
  let over = false;
  const thieving = (async () => { while (!over) for (const j of (await thief.poll(20)).body?.jobs ?? []) stolen.set(j.run_id, j); })();
  await until('the lost ones to be taken over', async () => {
    const beat = await w.heartbeat({ active_jobs: 10, jobs: kept.map((j) => ({ job_id: j.job_id, started_at: new Date().toISOString() })) });
    assert.equal(beat.status, 200);
    return lost.every((j) => stolen.has(j.run_id));
  }).finally(() => (over = true));
  assert.ok(kept.every((j) => !stolen.has(j.run_id)), 'a job with a heartbeat was taken away');
  const late = await Promise.all(lost.map((j) => w.update(j, { status: 'completed', output: 'late' })));
  assert.ok(late.every((r) => r.status === 409 && r.body.code === 'STALE_EXECUTION'), late.map((r) => r.text).join());
  assert.ok((await Promise.all(kept.map((j) => w.update(j, { status: 'completed', output: 'kept' })))).every((r) => r.status === 200));
  await thieving;
});
