// Push mode against endpoints that behave and endpoints that do not: engine checklist F and G.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, until } from './lib.mjs';

const KEY = 'a signing key', TIMEOUT = 6000, OPEN = 4000;
const retry = { maxAttempts: 3, initialDelayMs: 20, backoffFactor: 1 };
let s;
const endpoints = [];
before(async () => {
  s = await Server.start({ env: {
    IRONFLOW_SIGNING_KEY: KEY, IRONFLOW_PUSH_TIMEOUT_MS: `${TIMEOUT}`, IRONFLOW_BREAKER_MS: `${OPEN}`,
    IRONFLOW_METRICS_ENABLED: 'true',
  } });
});
after(async () => {
  await s.stop();
  for (const e of endpoints) e.close();
});

/** An endpoint: answer(body, request, response) returns what is sent as JSON, or answers by itself. */
async function endpoint(answer) {
  const calls = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (d) => chunks.push(d));
    request.on('end', async () => {
      const raw = Buffer.concat(chunks).toString();
      const call = { raw, body: JSON.parse(raw), headers: request.headers, url: request.url, at: Date.now() };
      calls.push(call);
      const out = await answer(call.body, response, call);
      if (out === undefined || response.writableEnded) return;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(out));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const e = {
    calls, server, url: `http://127.0.0.1:${server.address().port}/api/ironflow?v=1`,
    close: () => { server.closeAllConnections(); server.close(); },
  };
  endpoints.push(e);
  return e;
}

let n = 0;
/** Registers functions with their endpoint on a server. */
const push = (on) => async (url, extra = {}) => {
  const id = `push-${n++}`;
  const answer = await on.rpc('RegisterFunction', { id, triggers: [{ event: `${id}.go` }], retry, endpointUrl: url, ...extra });
  assert.equal(answer.status, 200, answer.text);
  return { id, version: answer.body.function.version, emit: (data = {}, rest = {}) =>
    on.rest('POST', '/events', { name: `${id}.go`, data, ...rest }).then((r) => r.body.run_ids[0]) };
};
const pushed = (url, extra) => push(s)(url, extra);
/** A server that waits for an endpoint, and with an open breaker, longer than a test does. */
async function patient(t) {
  const own = await Server.start({ env: { IRONFLOW_PUSH_TIMEOUT_MS: '90000', IRONFLOW_BREAKER_MS: '600000' } });
  t.after(() => own.stop());
  return own;
}
const done = (result, steps = []) => ({ status: 'completed', result, steps });
const stepOf = (body, name, output, extra = {}) =>
  ({ id: `${body.run_id}:${name}:0`, name, type: 'invoke', status: 'completed', output, ...extra });
const hex = (text) => createHmac('sha256', KEY).update(text).digest('hex');
const breakerOf = async (f, on = s) => (await on.rest('GET', '/circuit-breakers')).body.circuit_breakers.find((b) => b.key.startsWith(`${f.id}|`));
const reset = (key, on = s) => on.rest('POST', `/circuit-breakers/${encodeURIComponent(key)}/reset`);

/** What the published verifiers check. */
function verifyJs(header, body) {
  const got = Buffer.from(header.slice('sha256='.length), 'hex');
  return header.startsWith('sha256=') && got.equals(Buffer.from(hex(body), 'hex'));
}
function verifyGo(header, body, nowS = Date.now() / 1000) {
  const parts = Object.fromEntries(header.split(',').map((p) => p.split('=')));
  return Math.abs(nowS - Number(parts.t)) <= 300 && parts.v1 === hex(`${parts.t}.${body}`);
}

test('F121 F122 F127 a request is compact JSON, and its answer ends the run', async () => {
  const e = await endpoint((body) => done({ n: 1 }, [stepOf(body, 'fare', { cents: 1290 })]));
  const f = await pushed(e.url);
  const id = await f.emit({ km: 18 });
  const run = await s.untilRun(id, 'completed');
  assert.deepEqual(run.output, { n: 1 });
  assert.equal(run.execution_mode, 'push');
  assert.equal(e.calls.length, 1);
  const { raw, body, headers, url } = e.calls[0];
  assert.equal(url, '/api/ironflow?v=1');
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(raw, JSON.stringify(body));
  assert.deepEqual(Object.keys(body), ['run_id', 'function_id', 'attempt', 'event', 'steps']);
  assert.equal(body.run_id, id);
  assert.equal(body.function_id, f.id);
  assert.equal(body.attempt, 1);
  assert.deepEqual(body.steps, []);
  assert.deepEqual(Object.keys(body.event), ['id', 'name', 'data', 'timestamp', 'version', 'source']);
  assert.equal(body.event.version, 1);
  const steps = (await s.rest('GET', `/runs/${id}/steps`)).body.steps;
  assert.deepEqual(steps.map((x) => [x.step_id, x.status, x.output]), [[`${id}:fare:0`, 'completed', { cents: 1290 }]]);
  await s.untilRun(await f.emit({}, { metadata: { a: 1 }, idempotency_key: 'once', version: 4 }), 'completed');
  const event = e.calls[1].body.event;
  assert.deepEqual([event.metadata, event.idempotency_key, event.version], [{ a: 1 }, 'once', 4]);
});

test('F123 F124 F125 the signature fits every verifier, also of a body printed again', async () => {
  const e = await endpoint((body) => body.attempt < 2 ? { status: 'failed', steps: [], error: { message: 'x', retryable: true } } : done());
  const f = await pushed(e.url);
  const id = (await s.rest('POST', '/events', `{"name":"${f.id}.go","data":{ "a" : "<&>\\u0041\\/\\ud83d\\ude00\\n", "b":[1.0, 0.10, 1e3,-0.5e-7 ,true , null], "big":12345678901234567890 }}`)).body.run_ids[0];
  await s.untilRun(id, 'completed');
  for (const { headers, raw } of e.calls) {
    const header = headers['x-ironflow-signature'];
    assert.ok(verifyJs(header, raw) && verifyGo(header, raw));
    assert.ok(!verifyGo(header, raw, Date.now() / 1000 + 302));
    assert.match(raw, /12345678901234567890/);
  }
  const id2 = (await s.rest('POST', '/events', `{"name":"${f.id}.go","data":{ "a" : "<&>\\u0041\\/\\ud83d\\ude00\\u0001", "b":[1.0, 0.10, 1e3,-0.5e-7 ,1E21,123e-20] }}`)).body.run_ids[0];
  await s.untilRun(id2, 'completed');
  const { headers, raw } = e.calls.at(-1);
  assert.ok(verifyJs(headers['x-ironflow-signature'], JSON.stringify(JSON.parse(raw))));
});

test('F128 F129 each wait costs a request, and the next one knows its result', async () => {
  const e = await endpoint((body) => {
    const has = Object.fromEntries(body.steps.map((x) => [x.name, x]));
    if (!has.nap) return { status: 'yielded', steps: [stepOf(body, 'one', 1)],
      yield: { step_id: `${body.run_id}:nap:0`, type: 'sleep', until: new Date(Date.now() + 50).toISOString() } };
    if (!has.word) return { status: 'yielded', steps: [stepOf(body, 'two', 2)],
      yield: { step_id: `${body.run_id}:word:0`, type: 'wait_for_event', event_filter: { event: 'push.word', timeout: '1m' } } };
    return done(has.word.output.data);
  });
  const f = await pushed(e.url);
  const id = await f.emit();
  await until('the second request', () => e.calls.length === 2);
  await s.untilRun(id, 'paused');
  await s.rest('POST', '/events', { name: 'push.word', data: { ok: true } });
  const run = await s.untilRun(id, 'completed');
  assert.deepEqual(run.output, { ok: true });
  assert.equal(e.calls.length, 3);
  assert.deepEqual(e.calls[2].body.steps.map((x) => [x.name, x.status]),
    [['one', 'completed'], ['nap', 'completed'], ['two', 'completed'], ['word', 'completed']]);
});

test('F130 F131 failures of the function retry or end, and never count for the breaker: G140', async () => {
  const e = await endpoint((body) => body.attempt < 3
    ? { status: 'failed', steps: body.attempt === 1 ? [stepOf(body, 'a', 1)] : [], error: { message: 'busy', code: 'BUSY', retryable: true } }
    : done('well'));
  const f = await pushed(e.url);
  const id = await f.emit();
  const run = await s.untilRun(id, 'completed');
  assert.equal(run.attempt, 3);
  assert.deepEqual(e.calls.map((c) => c.body.steps.length), [0, 1, 1]);
  const never = await endpoint(() => ({ status: 'failed', steps: [], error: { message: 'no', code: 'NEVER', retryable: false } }));
  const g = await pushed(never.url);
  for (let i = 0; i < 7; i++) {
    const failed = await s.untilRun(await g.emit(), 'failed');
    assert.deepEqual([failed.error.message, failed.error.code], ['no', 'NEVER']);
  }
  assert.equal(never.calls.length, 7);
  assert.equal(await breakerOf(g), undefined);
});

test('F132 answers that are no outcome retry, and the run says what came', async () => {
  for (const [status, code] of [[500, 'PUSH_HTTP_500'], [404, 'PUSH_HTTP_404'], [401, 'PUSH_HTTP_401'], [302, 'PUSH_HTTP_302']]) {
    const e = await endpoint((body, response) => {
      response.statusCode = status;
      if (status === 302) response.setHeader('location', endpoints[0].url);
      return { error: { message: 'the handler said no', code: 'X' } };
    });
    const f = await pushed(e.url);
    const before = endpoints[0].calls.length;
    const run = await s.untilRun(await f.emit(), 'failed');
    assert.equal(run.error.code, code);
    assert.match(run.error.message, /the handler said no/);
    assert.equal(e.calls.length, 3);
    assert.equal(endpoints[0].calls.length, before);
    assert.equal((await breakerOf(f)).failures, 3);
  }
});

test('F133 a slow handler is cut off', async () => {
  const cut = [];
  const e = await endpoint((body, response) => {
    if (body.attempt > 1) return done('quick');
    response.on('close', () => cut.push(Date.now()));
  });
  const f = await pushed(e.url);
  const id = await f.emit();
  const run = await s.untilRun(id, 'completed');
  assert.equal(run.attempt, 2);
  assert.equal(cut.length, 1);
  const took = cut[0] - e.calls[0].at; // from when we heard of the request, which may be late
  assert.ok(took > TIMEOUT / 2 && took < TIMEOUT + 30000, `${took}`);
});

/** A server of raw bytes: behave(socket) once a request has come. */
async function rawEndpoint(behave) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.once('data', () => behave(socket));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const e = { url: `http://127.0.0.1:${server.address().port}/`, close: () => { for (const x of sockets) x.destroy(); server.close(); } };
  endpoints.push(e);
  return e;
}

test('endpoints that answer garbage, too much, or not at all', async () => {
  const ok = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
  const flood = Buffer.alloc(1 << 20, 0x20);
  const pour = (socket) => { const go = () => { while (!socket.destroyed && socket.write(flood)); }; socket.on('drain', go); go(); };
  const cases = [
    ['silent', () => {}, 'PUSH_TIMEOUT'],
    ['drips', (x) => { x.write(ok); const t = setInterval(() => x.write('a: b\r\n'), 50); x.on('close', () => clearInterval(t)); }, 'PUSH_TIMEOUT'],
    ['resets', (x) => x.resetAndDestroy(), 'PUSH_CONNECTION_BROKEN'],
    ['closes', (x) => x.end(), 'PUSH_CONNECTION_BROKEN'],
    ['no HTTP', (x) => x.end('SSH-2.0-OpenSSH_9.2\r\n'), 'PUSH_CONNECTION_BROKEN'],
    ['cut short', (x) => x.end(`${ok}content-length: 100\r\n\r\n{"status":`), 'PUSH_CONNECTION_BROKEN'],
    ['a gigabyte announced', (x) => { x.write(`${ok}content-length: 1073741824\r\n\r\n`); pour(x); }, 'PUSH_RESPONSE_TOO_LARGE'],
    ['a gigabyte in chunks', (x) => { x.write(`${ok}\r\n`); pour(x); }, 'PUSH_RESPONSE_TOO_LARGE'],
    ['no JSON', (x) => x.end(`${ok}content-length: 5\r\n\r\nhello`), 'PUSH_INVALID_RESPONSE'],
    ['empty', (x) => x.end(`${ok}content-length: 0\r\n\r\n`), 'PUSH_INVALID_RESPONSE'],
    ['another object', (x) => x.end(`${ok}content-length: 11\r\n\r\n{"ok":true}`), 'PUSH_INVALID_RESPONSE'],
    ['progress', (x) => x.end(`${ok}content-length: 21\r\n\r\n{"status":"progress"}`), 'PUSH_INVALID_RESPONSE'],
    ['a yield without yield', (x) => x.end(`${ok}content-length: 20\r\n\r\n{"status":"yielded"}`), 'PUSH_INVALID_RESPONSE'],
    ...[['a list', '[]'], ['a text', '"completed"'], ['null', 'null'], ['two answers', '{"status":"completed"}{"status":"completed"}'], ['a status of another type', '{"status":1}'],
      ['steps that are none', '{"status":"completed","steps":{"a":1}}'], ['an unknown status', '{"status":"done"}'], ['no UTF-8', Buffer.from('{"status":"completed","result":"\xff"}', 'latin1')],
      ['nested without end', `{"status":"completed","result":${'['.repeat(200000)}`], ['an unknown yield', '{"status":"yielded","yield":{"type":"nap","step_id":"x"}}'],
      ['a sleep without end', '{"status":"yielded","yield":{"type":"sleep","step_id":"x","until":"tomorrow"}}'],
    ].map(([name, body]) => [name, (x) => { x.write(`${ok}content-length: ${body.length}\r\n\r\n`); x.end(body); }, 'PUSH_INVALID_RESPONSE']),
    ['a step without id', (x) => x.end(`${ok}content-length: 46\r\n\r\n{"status":"completed","steps":[{"name":"a"}] }`), 'PUSH_INVALID_RESPONSE'],
  ];
  const runs = await Promise.all(cases.map(async ([, behave]) => {
    const f = await pushed((await rawEndpoint(behave)).url, { retry: { maxAttempts: 1 } });
    return f.emit();
  }));
  for (const [i, [name, , code]] of cases.entries()) {
    const run = await s.untilRun(runs[i], 'failed');
    assert.equal(run.error.code, code, `${name}: ${JSON.stringify(run.error)}`);
  }
  const good = await endpoint(() => done(1));
  await s.untilRun(await (await pushed(good.url)).emit(), 'completed');
});

test('addresses that nobody answers on, and addresses that are refused', async () => {
  const one = { retry: { maxAttempts: 1 } };
  for (const [url, code] of [
    ['http://127.0.0.1:1/x', 'PUSH_CONNECT_FAILED'],
    ['http://169.254.169.254/latest/meta-data', 'PUSH_ADDRESS_REFUSED'],
    ['http://[::ffff:169.254.169.254]/x', 'PUSH_ADDRESS_REFUSED'],
    ['http://[fd00:ec2::254]/x', 'PUSH_ADDRESS_REFUSED'],
    ['http://0xa9fea9fe/x', 'PUSH_ADDRESS_REFUSED'],
    ['http://nobody.invalid/x', 'PUSH_CONNECT_FAILED'],
  ]) {
    const run = await s.untilRun(await (await pushed(url, one)).emit(), 'failed');
    assert.equal(run.error.code, code, `${url}: ${JSON.stringify(run.error)}`);
  }
});

test('F135 a failed child is told as a step', async () => {
  const child = await endpoint(() => ({ status: 'failed', steps: [], error: { message: 'no paper', retryable: false } }));
  const c = await pushed(child.url);
  const e = await endpoint((body) => {
    const known = body.steps.find((x) => x.id === `${body.run_id}:print:0`);
    if (!known) return { status: 'yielded', steps: [], yield: { step_id: `${body.run_id}:print:0`, type: 'invoke_function', function_id: c.id, input: {} } };
    return done([known.status, JSON.parse(known.error)]);
  });
  const f = await pushed(e.url);
  const run = await s.untilRun(await f.emit(), 'completed');
  assert.equal(run.output[0], 'failed');
  assert.equal(run.output[1].message, 'no paper');
  assert.equal(run.output[1].function_id, c.id);
  assert.equal(run.output[1].retryable, false);
  assert.match(run.output[1].child_run_id, /^run_/);
});

test('H161 every failure of a child reaches a push parent, which may catch it or fail', async () => {
  const child = await endpoint(() => ({ status: 'failed', steps: [], error: { message: 'no paper', code: 'EMPTY', retryable: false } }));
  const silent = await endpoint(() => undefined);
  const broken = await pushed(child.url), late = await pushed(silent.url, { retry: { maxAttempts: 1 } });
  const e = await endpoint((body) => {
    const { target, timeout, catches } = body.event.data, stepId = `${body.run_id}:${target}:0`;
    const known = body.steps.find((x) => x.id === stepId);
    if (!known) return { status: 'yielded', steps: [], yield: { step_id: stepId, type: 'invoke_function', function_id: target, input: {}, ...timeout } };
    if (!catches) return { status: 'failed', steps: [], error: { message: JSON.parse(known.error).message, code: 'INVOKE', retryable: false } };
    return done({ status: known.status, error: JSON.parse(known.error), output: known.output ?? null });
  });
  const f = await pushed(e.url);
  const caught = async (data, during = () => {}) => {
    const id = await f.emit({ ...data, catches: true });
    await during(id);
    const { output } = await s.untilRun(id, 'completed');
    assert.deepEqual([output.error.retryable, output.error.function_id, output.output], [false, data.target, null]);
    return output;
  };
  const failed = await caught({ target: broken.id });
  assert.deepEqual([failed.status, failed.error.message], ['failed', 'no paper']);
  assert.match(failed.error.child_run_id, /^run_/);
  const timedOut = await caught({ target: late.id, timeout: { invoke_timeout_ms: 100 } });
  assert.equal(timedOut.status, 'timed_out');
  const unknown = await caught({ target: 'nobody-here' });
  assert.deepEqual([unknown.status, unknown.error.message], ['failed', 'function not found']);
  const cancelled = await caught({ target: late.id }, async (id) => {
    const row = await until('the child', async () => (await s.rest('GET', `/runs/${id}/steps`)).body.steps.find((x) => x.child_run_id));
    await s.rest('POST', `/runs/${row.child_run_id}/cancel`);
  });
  assert.equal(cancelled.status, 'failed');
  const run = await s.untilRun(await f.emit({ target: broken.id, catches: false }), 'failed');
  assert.deepEqual([run.error.code, run.error.message, run.attempt], ['INVOKE', 'no paper', 1]);
});

test('F136 a cancelled run is not pushed again, and its outcome is dropped', async () => {
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  const e = await endpoint(async () => { await gate; return { status: 'failed', steps: [], error: { message: 'x', retryable: true } }; });
  const f = await pushed(e.url);
  const id = await f.emit();
  await until('the request', () => e.calls.length === 1);
  assert.equal((await s.rest('POST', `/runs/${id}/cancel`)).status, 200);
  release();
  const other = await endpoint(() => done());
  await s.untilRun(await (await pushed(other.url)).emit(), 'completed');
  assert.equal((await s.getRun(id)).status, 'cancelled');
  const waiting = await endpoint((body) => ({ status: 'failed', steps: [], error: { message: 'x', retryable: true } }));
  const g = await pushed(waiting.url, { retry: { maxAttempts: 5, initialDelayMs: 3000 } });
  const id2 = await g.emit();
  await s.untilRun(id2, 'waiting');
  assert.equal((await s.rest('POST', `/runs/${id2}/cancel`)).status, 200);
  const later = await g.emit();
  await until('the retry of a later run', () => waiting.calls.length === 3);
  assert.deepEqual(waiting.calls.map((c) => c.body.run_id), [id2, later, later]);
  await s.rest('POST', `/runs/${later}/cancel`);
  assert.equal(e.calls.length, 1);
});

test('J204 a flagged run is paused when its answer comes, and before its next request', async () => {
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  const e = await endpoint(async (body) => {
    if (body.event.data.first) await gate;
    return body.attempt === 1 ? { status: 'failed', steps: [stepOf(body, 'a', 1)], error: { message: 'x', retryable: true } } : done(body.steps[0].output);
  });
  const f = await pushed(e.url, { concurrency: { limit: 1 }, retry: { maxAttempts: 9, initialDelayMs: 4000, backoffFactor: 1 } });
  const pause = async (id) => assert.equal((await s.rpc('PauseRun', { run_id: id })).body.status, 'pause_requested');
  const ids = [await f.emit({ first: true })];
  await until('the request', () => e.calls.length === 1);
  ids.push(await f.emit(), await f.emit());
  await pause(ids[0]);
  await pause(ids[1]);
  release();
  for (const id of ids.slice(0, 2)) assert.equal((await s.untilRun(id, 'paused')).pause_reason, 'injection');
  await s.untilRun(ids[2], 'waiting');
  await pause(ids[2]);
  assert.equal((await s.untilRun(ids[2], 'paused')).pause_reason, 'injection');
  assert.deepEqual(e.calls.map((c) => c.body.run_id), [ids[0], ids[2]]);
  const [step] = (await s.rest('GET', `/runs/${ids[2]}/steps`)).body.steps;
  assert.equal((await s.rpc('InjectStepOutput', { run_id: ids[2], step_id: step.id, new_output: '2' })).status, 200);
  for (const id of ids) assert.equal((await s.rest('POST', '/runs/resume', { run_id: id })).status, 200);
  assert.equal((await s.untilRun(ids[2], 'completed')).output, 2);
  assert.equal((await s.untilRun(ids[0], 'completed')).output, 1);
  assert.equal((await s.untilRun(ids[1], 'completed')).output, 1);
});

test('F138 the same registration keeps its version; another mode takes the queue over', async () => {
  const e = await endpoint(() => done('pushed'));
  const f = await pushed(e.url);
  assert.equal((await s.rpc('RegisterFunction', { id: f.id, triggers: [{ event: `${f.id}.go` }], retry, endpointUrl: e.url })).body.function.version, f.version);
  await s.register(f.id, `${f.id}.go`);
  const w = await s.worker(`w-${f.id}`, [f.id]);
  const id = await f.emit();
  const job = await w.take();
  assert.equal((await w.update(job, { status: 'completed', output: 'pulled' })).status, 200);
  assert.equal((await s.untilRun(id, 'completed')).output, 'pulled');
  assert.equal(e.calls.length, 0);
  const waiting = await f.emit();
  assert.equal((await s.rpc('RegisterFunction', { id: f.id, triggers: [{ event: `${f.id}.go` }], retry, endpointUrl: e.url })).status, 200);
  assert.equal((await s.untilRun(waiting, 'completed')).output, 'pushed');
});

test('G139 G141 G142 G143 G145 five failures open the breaker, a good probe closes it', async () => {
  let broken = true;
  const e = await endpoint((body, response) => { if (broken) response.statusCode = 503; return done('ok'); });
  const f = await pushed(e.url, { retry: { maxAttempts: 1 } });
  for (let i = 0; i < 5; i++) {
    assert.equal((await s.untilRun(await f.emit(), 'failed')).error.code, 'PUSH_HTTP_503');
    const b = await breakerOf(f);
    assert.deepEqual([b.key, b.state, b.failures], [`${f.id}|${e.url}`, i < 4 ? 'closed' : 'open', i + 1]);
    assert.match(b.last_failure, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  }
  const opened = Date.parse((await breakerOf(f)).last_failure);
  const ids = [await f.emit(), await f.emit(), await f.emit()];
  assert.match((await s.rest('GET', '/metrics')).text,
    new RegExp(`ironflow_circuit_breaker_state\\{function_id="${f.id}",endpoint="[^"]*"\\} 2\\n`));
  broken = false;
  assert.equal(e.calls.length, 5);
  for (const id of ids) {
    const run = await s.getRun(id);
    assert.deepEqual([run.status, run.error ?? null, run.attempt], ['pending', null, 1]);
  }
  for (const id of ids) await s.untilRun(id, 'completed');
  assert.ok(e.calls[5].at - opened >= OPEN - 10, `${e.calls[5].at - opened}`);
  const b = await breakerOf(f);
  assert.deepEqual([b.state, b.failures], ['closed', 0]);
});

test('G142 G144 one probe at a time, and a bad one opens it again', async () => {
  let hold, probes = 0;
  const e = await endpoint(async (body, response) => {
    if (e.calls.length === 6) await new Promise((resolve) => (hold = resolve));
    if (e.calls.length > 5) probes++;
    response.statusCode = 500;
    return {};
  });
  const f = await pushed(e.url, { retry: { maxAttempts: 1 } });
  for (let i = 0; i < 5; i++) await s.untilRun(await f.emit(), 'failed');
  const ids = [await f.emit(), await f.emit(), await f.emit()];
  await until('the probe', () => hold);
  assert.equal((await breakerOf(f)).state, 'half-open');
  const words = [];
  for (const id of ids) words.push((await s.getRun(id)).status);
  assert.deepEqual(words.sort(), ['pending', 'pending', 'running']);
  assert.equal(e.calls.length, 6);
  hold();
  await until('the breaker to open again', async () => (await breakerOf(f)).state === 'open');
  assert.equal(e.calls.length, 6);
  const again = Date.parse((await breakerOf(f)).last_failure);
  await until('the next probe', () => e.calls.length === 7);
  assert.ok(e.calls[6].at - again >= OPEN - 10, `${e.calls[6].at - again}`);
});

test('G146 G147 a reset lets everybody go; a key that nobody has is 404', async (t) => {
  const s = await patient(t), pushed = push(s);
  let broken = true;
  const e = await endpoint((body, response) => { if (broken) response.statusCode = 500; return done(); });
  const f = await pushed(e.url, { retry: { maxAttempts: 1 } });
  for (let i = 0; i < 5; i++) await s.untilRun(await f.emit(), 'failed');
  const id = await f.emit();
  broken = false;
  assert.equal((await reset((await breakerOf(f, s)).key, s)).status, 200);
  await s.untilRun(id, 'completed');
  assert.deepEqual((({ state, failures }) => [state, failures])(await breakerOf(f, s)), ['closed', 0]);
  assert.equal((await reset('nobody|http://x/')).status, 404);
  assert.equal((await reset('nobody')).status, 404);
});

test('changing the endpoint begins with a fresh breaker', async (t) => {
  const s = await patient(t), pushed = push(s);
  const bad = await endpoint((body, response) => { response.statusCode = 500; return {}; });
  const good = await endpoint(() => done());
  const f = await pushed(bad.url, { retry: { maxAttempts: 1 } });
  for (let i = 0; i < 5; i++) await s.untilRun(await f.emit(), 'failed');
  const id = await f.emit();
  await s.rpc('RegisterFunction', { id: f.id, triggers: [{ event: `${f.id}.go` }], endpointUrl: good.url });
  await s.untilRun(id, 'completed');
});

test('a slow function does not hold others up', async (t) => {
  const s = await patient(t), pushed = push(s);
  const slow = await endpoint(() => undefined); // never answers
  const quick = await endpoint(() => done());
  const f = await pushed(slow.url, { retry: { maxAttempts: 1 } }), g = await pushed(quick.url);
  for (let i = 0; i < 300; i++) await f.emit();
  await Promise.all(Array.from({ length: 50 }, async () => s.untilRun(await g.emit(), 'completed')));
  slow.close(); // or the server would wait for its answers
});

test('F126 G148 without a key nothing is signed; breakers and requests under way survive a crash', async () => {
  // a node of a cluster takes back only what it had sent itself, so it must keep its name
  const own = await Server.start({ env: { IRONFLOW_BREAKER_MS: '60000' }, flags: ['--node-id', 'one'] });
  try {
    const e = await endpoint((body, response) => { response.statusCode = 500; return {}; });
    let first = true;
    const held = await endpoint((body) => { if (first) { first = false; return undefined; } return done('second'); });
    const make = (id, url, extra) => own.rpc('RegisterFunction', { id, triggers: [{ event: `${id}.go` }], endpointUrl: url, ...extra });
    await make('bad', e.url, { retry: { maxAttempts: 1 } });
    await make('held', held.url);
    const emit = async (id) => (await own.rest('POST', '/events', { name: `${id}.go`, data: {} })).body.run_ids[0];
    for (let i = 0; i < 5; i++) await own.untilRun(await emit('bad'), 'failed');
    assert.equal(e.calls[0].headers['x-ironflow-signature'], undefined);
    const queued = await emit('bad'), sent = await emit('held');
    await until('the held request', () => held.calls.length === 1);
    const before = (await own.rest('GET', '/circuit-breakers')).body.circuit_breakers;
    await own.crash();
    assert.equal((await own.untilRun(sent, 'completed', 60000)).output, 'second');
    assert.deepEqual(held.calls.map((c) => c.body.attempt), [1, 1]);
    assert.deepEqual((await own.rest('GET', '/circuit-breakers')).body.circuit_breakers, before);
    assert.equal((await own.getRun(queued)).status, 'pending');
    assert.equal(e.calls.length, 5);
  } finally {
    await own.stop();
  }
});

test('a stop lets requests under way end', async () => {
  const own = await Server.start({});
  const e = await endpoint(async (body) => { await new Promise((resolve) => setTimeout(resolve, 700)); return done('in time'); });
  await own.rpc('RegisterFunction', { id: 'slow', triggers: [{ event: 'slow.go' }], endpointUrl: e.url });
  const id = (await own.rest('POST', '/events', { name: 'slow.go', data: {} })).body.run_ids[0];
  await until('the request', () => e.calls.length === 1);
  own.child.kill('SIGTERM');
  assert.deepEqual(await own.exited, { code: 0, signal: null });
  own.ended = undefined;
  await own.launch();
  try {
    assert.equal((await own.getRun(id)).output, 'in time');
    assert.equal(e.calls.length, 1);
  } finally {
    await own.stop();
  }
});

test('F134 engine.pushTimeout of the file changes the limit; the variable beats it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-config-'));
  const file = join(dir, 'ironflow.yaml');
  const e = await endpoint(() => undefined); // never answers
  /** How long a request may take, with this timeout in the file. */
  const cutAfter = async (timeout, env) => {
    writeFileSync(file, `apiVersion: ironflow/v1\nkind: Server\nspec:\n  engine:\n    pushTimeout: ${timeout}\n  auth: {signingKey: '\${KEY_OF_TEST}'}\n`);
    const own = await Server.start({ flags: ['-f', file], env: { KEY_OF_TEST: KEY, ...env } });
    try {
      await own.rpc('RegisterFunction', { id: 'slow', triggers: [{ event: 'slow.go' }], endpointUrl: e.url, retry: { maxAttempts: 1 } });
      const id = (await own.rest('POST', '/events', { name: 'slow.go', data: {} })).body.run_ids[0];
      const run = await own.untilRun(id, 'failed');
      assert.equal(run.error.code, 'PUSH_TIMEOUT');
      assert.ok(verifyJs(e.calls.at(-1).headers['x-ironflow-signature'], e.calls.at(-1).raw));
      return Date.parse(run.ended_at) - Date.parse(run.started_at);
    } finally {
      await own.stop();
    }
  };
  const short = await cutAfter('300ms'), long = await cutAfter('2500ms');
  assert.ok(short >= 290 && long >= 2490, `${short} ${long}`);
  assert.ok(await cutAfter('80s', { IRONFLOW_PUSH_TIMEOUT_MS: '300' }) < 60000);
  rmSync(dir, { recursive: true });
});

test('F134 a push timeout that passes the stale threshold is refused at the start', async () => {
  await assert.rejects(Server.start({ env: { IRONFLOW_PUSH_TIMEOUT_MS: '100000' } }), /push timeout/);
});

test('killed under load ten times: no run is lost, no stored step runs again', async () => {
  const own = await Server.start({ flags: ['--node-id', 'one'] });
  const stored = new Map(), ended = new Map();
  const wrong = [];
  let nonce = 0;
  const e = await endpoint((body) => {
    const a = body.steps.find((x) => x.name === 'a');
    if (!a && stored.has(body.run_id)) wrong.push(`${body.run_id}: step a is gone`);
    if (!a) return { status: 'yielded', steps: [stepOf(body, 'a', ++nonce)],
      yield: { step_id: `${body.run_id}:nap:0`, type: 'sleep', until: new Date(Date.now() + 20).toISOString() } };
    if (stored.has(body.run_id) && stored.get(body.run_id) !== a.output) wrong.push(`${body.run_id}: step a ran again`);
    stored.set(body.run_id, a.output);
    ended.set(body.run_id, (ended.get(body.run_id) ?? 0) + 1);
    return done(a.output);
  });
  try {
    const answer = await own.rpc('RegisterFunction', { id: 'load', triggers: [{ event: 'load.go' }], endpointUrl: e.url });
    assert.equal(answer.status, 200);
    const acked = [];
    let over = false;
    const emitters = Array.from({ length: 8 }, async () => {
      while (!over) {
        const reply = await own.rest('POST', '/events', { name: 'load.go', data: {} }).catch(() => null);
        if (reply?.status === 200) acked.push(...reply.body.run_ids);
        else await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    for (let i = 0; i < 10; i++) {
      const before = acked.length;
      await until('some load', () => acked.length > before + 10 + 7 * i);
      await own.crash();
    }
    over = true;
    await Promise.all(emitters);
    for (const id of acked) {
      const run = await own.untilRun(id, 'completed');
      assert.deepEqual([run.output, run.attempt], [stored.get(id), 1]);
    }
    assert.deepEqual(wrong, []);
    assert.ok(acked.length > 300);
  } finally {
    await own.stop();
  }
});
