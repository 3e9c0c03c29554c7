// Bad input: a clear error that names the fault, and the server goes on (issue: nothing lost).
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, raw, until } from './lib.mjs';

let s;
before(async () => { s = await Server.start(); });
after(() => s.stop());

const post = (body, headers) => s.rest('POST', '/events', body, headers);
const alive = async () => assert.equal((await s.rest('GET', '/health')).status, 200);
const status = (text) => Number((text.match(/^HTTP\/1\.1 (\d+)/) ?? [])[1] ?? 0);

test('malformed, truncated, deep, wrongly typed and repeated JSON is 400 with its place', async () => {
  const deep = (n) => '['.repeat(n) + ']'.repeat(n);
  for (const body of [
    '{', '{"name":"x"', '{"name":"x"}}', '{"name":x}', "{'name':'x'}", '{"name":"x",}', '[]', '"x"', 'null', '5', '{"name":"x"} x',
    '{"name":"a","name":"b"}', '{"name":"x","data":{"a":01}}', '{"name":"x","data":{"a":1.}}', '{"name":"x","data":{"a":NaN}}',
    '{"name":"x","data":"\\ud800"}', '{"name":"x","data":"\u0001"}', `{"name":"x","data":${deep(1000)}}`, `{"name":"x","data":${deep(100000)}}`,
    deep(100000), '{"name":{"a":1}}', '{"name":["x"]}', '{"name":"x","version":"one"}', '{"name":"x","version":12345678901234567890}',
  ]) {
    const answer = await post(body);
    assert.equal(answer.status, 400, `${body.slice(0, 60)}: ${answer.status} ${answer.text}`);
    assert.equal(answer.body.code, 'invalid_argument');
    assert.ok(answer.body.message.length > 5 && answer.body.message.length < 600);
  }
  const empty = await post('');
  assert.equal(empty.status, 400);
  await alive();
});

test('invalid UTF-8 and a body that is too large', async () => {
  const bad = await fetch(`${s.url}/api/v1/events`, { method: 'POST', headers: s.headers(), body: Buffer.from('{"name":"x","data":"\xff\xfe"}', 'latin1') });
  assert.equal(bad.status, 400);
  const huge = await post(`{"name":"x","data":"${'a'.repeat(5 * 1024 * 1024)}"}`).catch(() => ({ status: 413 }));
  assert.equal(huge.status, 413);
  const fits = await post(`{"name":"big.one","data":"${'a'.repeat(3 * 1024 * 1024)}"}`);
  assert.equal(fits.status, 200, fits.text.slice(0, 200));
  await alive();
});

test('content types, methods and paths', async () => {
  assert.equal((await post('{"name":"x"}', { 'content-type': 'text/xml' })).status, 415);
  assert.equal((await s.rpc('GetRun', { id: 'run_x' }, { 'content-type': 'text/plain' })).status, 415);
  const method = await s.rest('DELETE', '/events');
  assert.equal(method.status, 405);
  assert.ok(method.headers.get('allow').includes('POST'));
  assert.equal((await s.rest('GET', '/no/such/thing')).status, 404);
  assert.equal((await s.rpc('NoSuchMethod')).status, 404);
  assert.equal((await fetch(`${s.url}/ironflow.v1.IronflowService/Trigger`)).status, 405);
  const later = await s.rpc('PubSubService/Publish', { topic: 'x' });
  assert.equal(later.status, 501);
  assert.equal(later.body.code, 'unimplemented');
});

test('unknown fields are ignored, unknown enum words are unset', async () => {
  assert.equal((await post({ name: 'x', nothing: [1] })).status, 200);
  const fn = await s.rpc('RegisterFunction', { id: 'enum-word', preferredMode: 'sideways', triggers: [{ event: 'q' }] });
  assert.equal(fn.status, 200, fn.text);
  assert.equal(fn.body.function.preferredMode, 'EXECUTION_MODE_PULL');
});

test('negative, huge and fractional numbers where integers belong; ids with control characters', async () => {
  for (const query of ['limit=-5', 'limit=1.5', 'limit=99999999999999999999', 'offset=-1', 'limit=abc', 'since=nonsense'])
    assert.equal((await s.rest('GET', `/runs?${query}`)).status, 400, query);
  assert.equal((await s.rpc('ListRuns', { limit: 1.5 })).status, 400);
  assert.equal((await s.rpc('ListRuns', { limit: '5' })).status, 200);
  assert.equal((await s.rpc('ListRuns', { limit: 5.0 })).status, 200);
  for (const id of ['run_%01', 'run_%00x', 'run_%ff', '%2e%2e', 'run_' + 'a'.repeat(4000)])
    assert.ok([400, 404, 414].includes((await s.rest('GET', `/runs/${id}`)).status), id);
  assert.equal((await s.rest('POST', '/workers/%00/register', { worker_id: '\u0000', function_ids: ['x'] })).status, 400);
  await alive();
});

test('Connect headers: version and timeout', async () => {
  assert.equal((await s.rpc('Health', {}, { 'connect-protocol-version': '2' })).status, 400);
  assert.equal((await s.rpc('Health', {}, { 'connect-timeout-ms': 'soon' })).status, 400);
  assert.equal((await s.rpc('Health', {}, { 'connect-timeout-ms': '12345678901' })).status, 400);
  assert.equal((await s.rpc('Health', {}, { 'connect-timeout-ms': '5000' })).status, 200);
});

test('request smuggling and malformed heads are refused and the connection ends', async () => {
  const host = 'Host: 127.0.0.1\r\n';
  const body = '{"name":"smuggled"}';
  const cases = {
    'both lengths': `POST /api/v1/events HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'two lengths': `POST /api/v1/events HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`,
    'bare line feeds': `GET /health HTTP/1.1\nHost: x\n\n`,
    'space before colon': `GET /health HTTP/1.1\r\nHost : x\r\n\r\n`,
    'folded header': `GET /health HTTP/1.1\r\n${host}X-A: b\r\n c\r\n\r\n`,
    'negative length': `POST /api/v1/events HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n`,
    'plus length': `POST /api/v1/events HTTP/1.1\r\n${host}Content-Length: +5\r\n\r\nabcde`,
    'bad chunk size': `POST /api/v1/events HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}\r\n0\r\n\r\n`,
    'other coding': `POST /api/v1/events HTTP/1.1\r\n${host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    'no host': `GET /health HTTP/1.1\r\n\r\n`,
    'two hosts': `GET /health HTTP/1.1\r\n${host}${host}\r\n`,
    'control byte in a value': `GET /health HTTP/1.1\r\n${host}X-A: \x01\r\n\r\n`,
    'no method': ` /health HTTP/1.1\r\n${host}\r\n`,
    'wrong version': `GET /health HTTP/9.9\r\n${host}\r\n`,
    garbage: `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n`,
  };
  for (const [name, text] of Object.entries(cases)) {
    const answer = await raw(s.port, Buffer.from(text, 'latin1'));
    assert.ok([400, 501, 505, 0].includes(status(answer)), `${name}: ${answer.slice(0, 200)}`);
    assert.ok((answer.match(/^HTTP\/1\.1 \d{3}/gm) ?? []).length <= 1, `${name} got two answers`);
  }
  assert.equal((await s.rest('GET', '/events?name=smuggled')).body.count, 0);
  await alive();
});

test('oversized heads and URLs', async () => {
  const long = await raw(s.port, `GET /${'a'.repeat(20000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.ok([414, 431].includes(status(long)), long.slice(0, 100));
  const head = await raw(s.port, `GET /health HTTP/1.1\r\nHost: x\r\nX-A: ${'b'.repeat(70000)}\r\n\r\n`);
  assert.equal(status(head), 431, head.slice(0, 100));
  const many = await raw(s.port, `GET /health HTTP/1.1\r\nHost: x\r\n${'X-A: b\r\n'.repeat(5000)}\r\n`);
  assert.ok([400, 431].includes(status(many)), many.slice(0, 100));
  await alive();
});

test('half-closed, split, pipelined, chunked and aborted requests', async () => {
  const body = '{"name":"wire.ok"}';
  const head = `POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const half = await raw(s.port, head + body, { halfClose: true });
  assert.equal(status(half), 200, half);
  const split = await raw(s.port, [...(head.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n') + body)]);
  assert.equal(status(split), 200, split);
  const two = await raw(s.port, head + body + head.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n') + body);
  assert.equal((two.match(/HTTP\/1\.1 200/g) ?? []).length, 2, two);
  const chunked = await raw(s.port, `POST /api/v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n${body.slice(0, 5)}\r\n${(body.length - 5).toString(16)};x=y\r\n${body.slice(5)}\r\n0\r\n\r\n`);
  assert.equal(status(chunked), 200, chunked);
  const expect = await raw(s.port, head.replace('\r\n\r\n', '\r\nExpect: 100-continue\r\n\r\n'),
    { enough: (text) => text.includes('\r\n\r\n') });
  assert.equal(status(expect), 100, expect);
  const before = (await s.rest('GET', '/events?name=wire.ok&limit=100')).body.count;
  assert.equal(before, 5);
  const cut = raw(s.port, head + body.slice(0, 5), { enough: () => true, timeoutMs: 1500 }).catch(() => '');
  await cut;
  assert.equal((await s.rest('GET', '/events?name=wire.ok&limit=100')).body.count, before);
  await alive();
});

test('5,000 writes at once: every one is either whole or refused', async () => {
  const answers = await Promise.all(Array.from({ length: 5000 }, (_, i) =>
    post({ name: 'flood', data: { i } }).then((r) => r.status, () => 0)));
  const ok = answers.filter((a) => a === 200).length;
  assert.ok(answers.every((a) => [200, 503, 0].includes(a)), [...new Set(answers)].join());
  assert.ok(ok > 0);
  let count = 0, path = '/events?name=flood&limit=1000';
  for (let page = await s.rest('GET', path); ; page = await s.rest('GET', `${path}&cursor=${encodeURIComponent(page.body.next_cursor)}`)) {
    count += page.body.count;
    if (!page.body.has_next) break;
  }
  const dropped = answers.filter((a) => a === 0).length;
  assert.ok(count >= ok && count <= ok + dropped, `${count} stored, ${ok} acknowledged, ${dropped} dropped`);
  await alive();
});
