// HTTP/2 with prior knowledge on the port of HTTP/1: the same server, the same answers.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { Server, raw, run, step, until } from './lib.mjs';

let s, session;
before(async () => {
  s = await Server.start();
  session = http2.connect(s.url);
});
after(async () => {
  session.close();
  await s.stop();
});

/** One request; resolves with {status, headers, text, body}. A body is sent in pieces of 16 KiB. */
function ask(on, method, path, body, headers = {}) {
  const stream = on.request({ ':method': method, ':path': path, ...s.headers(), ...headers });
  const promise = new Promise((resolve, reject) => {
    let text = '', head;
    stream.on('response', (h) => (head = h));
    stream.setEncoding('utf8');
    stream.on('data', (d) => (text += d));
    stream.on('error', reject);
    stream.on('close', () => {
      if (!head) { reject(new Error(`stream closed with ${stream.rstCode}`)); return; }
      let json;
      try { json = JSON.parse(text); } catch { json = undefined; }
      resolve({ status: head[':status'], headers: head, text, body: json });
    });
  });
  if (body !== undefined) stream.write(typeof body === 'string' ? body : JSON.stringify(body));
  stream.end();
  return Object.assign(promise, { stream });
}

test('health, HEAD, a path that is not there', async () => {
  const health = await ask(session, 'GET', '/health');
  assert.equal(health.status, 200);
  assert.equal(health.body.status, 'healthy');
  assert.equal(Number(health.headers['content-length']), Buffer.byteLength(health.text));
  const one = await s.rest('GET', '/health');
  assert.deepEqual(Object.keys(health.body), Object.keys(one.body));
  const head = await ask(session, 'HEAD', '/health');
  assert.equal(head.status, 200);
  assert.equal(head.text, '');
  assert.equal((await ask(session, 'GET', '/api/v1/nothing')).status, 404);
});

test('curl with prior knowledge: health and an emit', async () => {
  const flags = ['-sS', '--http2-prior-knowledge', '-w', '\n%{http_version} %{http_code}'];
  const health = await run('curl', [...flags, `${s.url}/health`]);
  assert.match(health.stdout, /"healthy".*\n2 200$/s);
  const emit = await run('curl', [...flags, '-H', 'content-type: application/json', '-d',
    '{"name":"by.curl","data":{"n":1e400}}', `${s.url}/api/v1/events`]);
  assert.match(emit.stdout, /\n2 200$/);
  const found = await s.rest('GET', '/events?name=by.curl');
  assert.match(found.text, /1e400/);
});

test('many requests at once on one connection', async () => {
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) =>
    ask(session, 'POST', '/api/v1/events', { name: 'many.h2', data: { i } })));
  assert.deepEqual([...new Set(answers.map((a) => a.status))], [200]);
  const ids = new Set(answers.map((a) => a.text));
  assert.equal(ids.size, 500);
});

test('bodies in both directions that are larger than any window, and one that is too large', async () => {
  const big = 'a'.repeat(3 * 1024 * 1024);
  const sent = await ask(session, 'POST', '/api/v1/events', { name: 'big.h2', data: big });
  assert.equal(sent.status, 200, sent.text.slice(0, 200));
  const back = await ask(session, 'GET', '/api/v1/events?name=big.h2');
  assert.equal(back.status, 200);
  assert.ok(back.text.includes(big));
  const huge = await ask(session, 'POST', '/api/v1/events', 'x'.repeat(5 * 1024 * 1024));
  assert.equal(huge.status, 413);
  assert.equal((await ask(session, 'GET', '/health')).status, 200);
});

test('a Connect call and its error', async () => {
  const path = '/ironflow.v1.IronflowService/';
  const health = await ask(session, 'POST', `${path}Health`, {});
  assert.equal(health.status, 200);
  const wrong = await ask(session, 'POST', `${path}GetRun`, { id: 'run_none' });
  assert.equal(wrong.status, 404);
  assert.equal(wrong.body.code, 'not_found');
});

test('a run from emit to completed; a poll that is reset gives nothing away', async () => {
  await s.register('h2-fn', 'h2.go');
  const worker = await s.worker('w-h2', ['h2-fn']);
  const jobs = '/api/v1/workers/w-h2/jobs?available=1';
  const gone = ask(session, 'GET', jobs);
  gone.catch(() => {});
  const second = ask(session, 'GET', '/health'); // is not held up by the poll
  assert.equal((await second).status, 200);
  gone.stream.close(http2.constants.NGHTTP2_CANCEL);
  await assert.rejects(gone);
  const held = ask(session, 'GET', jobs);
  const emitted = await ask(session, 'POST', '/api/v1/events', { name: 'h2.go', data: { a: 1 } });
  const runId = emitted.body.run_ids[0];
  let answer = await held;
  answer = await until('the job', async () =>
    (answer.status === 200 ? answer : (answer = await ask(session, 'GET', jobs)).status === 200 && answer));
  const job = answer.body.jobs[0];
  assert.equal(job.run_id, runId);
  assert.equal((await worker.ack(job)).status, 200);
  const done = await ask(session, 'PUT', `/api/v1/workers/w-h2/jobs/${job.job_id}`,
    { ...worker.fence(job), status: 'completed', steps: [step(job, 'one', { b: 2 })], output: { ok: true } });
  assert.ok(done.status < 300, done.text);
  await s.untilRun(runId, 'completed');
});

test('bytes that are no HTTP/2 end their connection alone', async () => {
  for (const bytes of ['PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'x'.repeat(1000)}`])
    await raw(s.port, bytes);
  assert.equal((await ask(session, 'GET', '/health')).status, 200);
  assert.equal((await s.rest('GET', '/health')).status, 200);
});

test('a stop tells the connection and answers what is open', async () => {
  const other = await Server.start();
  const on = http2.connect(other.url);
  const goaways = [];
  on.on('goaway', (code) => goaways.push(code));
  on.on('error', () => {});
  await other.register('h2-stop', 'h2.stop');
  await other.worker('w-stop', ['h2-stop']);
  assert.equal((await ask(on, 'GET', '/health')).status, 200);
  const poll = ask(on, 'GET', '/api/v1/workers/w-stop/jobs?available=1');
  const closed = new Promise((resolve) => on.on('close', resolve));
  await ask(on, 'GET', '/health'); // the poll has arrived
  const end = await other.stop();
  assert.equal((await poll).status, 204);
  await closed;
  assert.equal(end.code, 0);
  assert.ok(goaways.length > 0 && goaways.every((code) => code === 0), `${goaways}`);
});
