// Commands, endpoints and RPCs of the workflow engine by the row numbers of the coverage list, beside
// coverage.test.mjs: a real server, the real command line. What the command line prints is held byte for
// byte in tests/golden; the rules behind it are in operator, audit, push, flow and waits.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { Server, served, bin, run as execute, step, until } from './lib.mjs';

let s;
before(async () => {
  s = await Server.start({ dev: false, env: { IRONFLOW_POLL_HOLD_MS: '300', IRONFLOW_REFUSED_EVENTS: 'poison.', IRONFLOW_OUTBOX_BACKOFF_MS: '1' } });
});
after(() => s.stop());

const ok = (answer) => { assert.equal(answer.status, 200, answer.text); return answer.body; };
const cli = (args, env = {}) => execute(bin, args,
  { env: { PATH: process.env.PATH, HOME: s.dir, IRONFLOW_SERVER_URL: s.url, IRONFLOW_API_KEY: s.key, ...env } });
/** What a command prints; it must succeed. */
const said = async (args, env) => {
  const done = await cli(args, env);
  assert.deepEqual([done.code, done.stderr], [0, ''], args.join(' '));
  return done.stdout;
};
const refused = async (args, words, env) => {
  const done = await cli(args, env);
  assert.deepEqual([done.code, done.stdout], [1, ''], args.join(' '));
  assert.match(done.stderr, words);
};
const sorted = (o) => Object.keys(o).sort();

let n = 0;
const actor = (extra = {}) => served(s, `ce-${n++}`, { retry: { maxAttempts: 1 }, recording: true, ...extra });

/** A run held for injection behind two steps. */
async function held() {
  const f = await actor();
  const run = await f.emit({ order: 1 });
  const job = await f.take();
  ok(await s.rpc('PauseRun', { run_id: run }));
  ok(await f.w.update(job, { status: 'progress', steps: [step(job, 'validate-input', { valid: true }), step(job, 'process-order', { total: 99.99 })] }));
  const steps = ok(await s.rest('GET', `/runs/${run}/steps`)).steps;
  return { ...f, run, job, steps };
}
/** A run that failed at its second step. */
async function failed() {
  const f = await actor();
  const run = await f.emit();
  const job = await f.take();
  ok(await f.w.update(job, { status: 'failed', error: { message: 'no stock', retryable: false },
    steps: [step(job, 'reserve', 1), step(job, 'pay', undefined, { status: 'failed', error: { message: 'no stock' } })] }));
  const steps = ok(await s.rest('GET', `/runs/${run}/steps`)).steps;
  return { ...f, run, job, steps };
}
/** A push endpoint that answers this status, and a function behind it. */
async function pushed(t, status) {
  const state = { status, calls: 0 };
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      state.calls++;
      response.statusCode = state.status;
      response.end('{"status":"completed","steps":[]}');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.closeAllConnections(); server.close(); });
  const id = `ce-${n++}`, url = `http://127.0.0.1:${server.address().port}/api`;
  ok(await s.rpc('RegisterFunction', { id, triggers: [{ event: `${id}.go` }], retry: { maxAttempts: 1 }, endpointUrl: url }));
  return { id, url, state, key: `${id}|${url}`, emit: async () => ok(await s.rest('POST', '/events', { name: `${id}.go`, data: {} })).run_ids[0] };
}
const breaker = async (f) => ok(await s.rest('GET', '/circuit-breakers')).circuit_breakers.find((b) => b.key === f.key);
/** One of a function whose five calls failed. */
async function opened(t) {
  const f = await pushed(t, 500);
  for (let i = 0; i < 5; i++) await s.untilRun(await f.emit(), 'failed');
  assert.equal((await breaker(f)).state, 'open');
  return f;
}
async function debounced(key) {
  const id = `ce-${n++}`;
  await s.register(id, `${id}.go`, { debounce: { period_ms: 600000, key: 'k' } });
  const event = ok(await s.rest('POST', '/events', { name: `${id}.go`, data: { k: key } })).event_id;
  return { id, event };
}
const entries = async () => ok(await s.rest('GET', '/debounce/entries'));
const letters = async () => ok(await s.rest('GET', '/outbox/dead-letter?env=default')).items;
/** Events, in their order, that are dead letters now. */
async function dead(count) {
  const ids = [];
  for (let i = 0; i < count; i++) ids.push(ok(await s.rest('POST', '/events', { name: 'poison.pill', data: {} })).event_id);
  await until('dead letters', async () => { const all = await letters(); return ids.every((id) => all.some((x) => x.event_id === id)); });
  return ids;
}

// ---- command line -------------------------------------------------------------------------------

test('B5 audit trail: columns, total, filters, JSON', async () => {
  const f = await actor();
  const run = await f.emit({ a: 1 });
  const job = await f.take();
  ok(await f.w.update(job, { status: 'completed', output: 1, steps: [step(job, 'only', 1)] }));
  const [{ id: stepId }] = ok(await s.rest('GET', `/runs/${run}/steps`)).steps;
  const lines = (await said(['audit', 'trail', run])).split('\n');
  assert.match(lines[0], /^TIMESTAMP +EVENT TYPE +STEP ID +PAYLOAD$/);
  assert.match(lines[1], /^\d\d:\d\d:\d\d\.\d{3}  run\.created +-  +\{.*"functionId":"ce-\d+".*\}$/);
  assert.ok(lines.some((l) => l.includes('step.completed') && l.includes(stepId)));
  const total = lines.length - 4; // head, blank line, total, end
  assert.equal(lines.at(-2), `Total: ${total} events`);
  assert.match(await said(['audit', 'trail', run, '--type', 'step.completed']), /\nTotal: 1 events\n$/);
  assert.match(await said(['audit', 'trail', run, '--to', '2020-01-01T00:00:00Z']), /\nTotal: 0 events\n$/);
  assert.match(await said(['audit', 'trail', run, '--from', '2020-01-01T00:00:00Z', '-s', s.url], { IRONFLOW_SERVER_URL: 'http://127.0.0.1:1' }), new RegExp(`Total: ${total} `));
  const json = JSON.parse(await said(['audit', 'trail', run, '--limit', '2', '--json']));
  assert.deepEqual([json.events.length, json.total_count], [2, total]);
  await refused(['audit', 'trail', 'run_0000000000000'], /not found/);
});

test('B12 B13 G8 circuit-breaker list and reset by endpoint and by function; shared states are in cluster.test.mjs', async (t) => {
  const a = await opened(t), b = await opened(t);
  const list = await said(['circuit-breaker', 'list']);
  assert.match(list, /^FUNCTION_ID +ENDPOINT +STATE +FAILS +LAST_FAILURE\n/);
  assert.match(list, new RegExp(`\n${a.id} +${a.url} +open +5 +\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d`));
  assert.equal(JSON.parse(await said(['cb', 'list', '--json'])).circuit_breakers.find((x) => x.key === a.key).state, 'open');
  assert.equal(await said(['circuit-breaker', 'reset', a.url]), `Reset circuit breaker ${a.key}\n`);
  assert.equal(await said(['cb', 'reset', b.id, '-s', s.url], { IRONFLOW_SERVER_URL: 'http://127.0.0.1:1' }), `Reset circuit breaker ${b.key}\n`);
  for (const f of [a, b]) assert.deepEqual([(await breaker(f)).state, (await breaker(f)).failures], ['closed', 0]);
  await refused(['circuit-breaker', 'reset', 'nobody'], /nobody/);
});

test('B14 B15 G9 debounce list and cancel; keys with slashes and dots', async () => {
  const a = await debounced('user/4.2'), b = await debounced('');
  const list = await said(['debounce', 'list']);
  assert.match(list, /^FUNCTION_ID +KEY +FIRES_AT +PERIOD_MS +EVENT_ID\n/);
  assert.match(list, new RegExp(`\n${a.id} +user/4\\.2 +\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z +600000 +${a.event}\n`));
  assert.deepEqual(JSON.parse(await said(['debounce', 'list', '--json'])), await entries());
  assert.equal(await said(['debounce', 'cancel', a.id, 'user/4.2']), `Cancelled debounce entry ${a.id} (key: user/4.2)\n`);
  assert.equal(await said(['debounce', 'cancel', b.id, '', '--env', 'env_default']), `Cancelled debounce entry ${b.id} (key: )\n`);
  assert.ok(!(await entries()).some((e) => [a.id, b.id].includes(e.function_id)));
  await refused(['debounce', 'cancel', a.id, 'user/4.2'], /no pending entry/);
});

test('B40 B41 B42 outbox dlq list, requeue and discard', async () => {
  const [a, b] = await dead(2);
  const list = await said(['outbox', 'dlq', 'list', '--env', 'default']);
  assert.match(list, /^EVENT_ID +TOPIC +KIND +ATTEMPTS +DEAD_AT +LAST_ERROR\n/);
  const rows = list.split('\n').map((l) => l.split(' ')[0]);
  assert.ok(rows.indexOf(b) > 0 && rows.indexOf(b) < rows.indexOf(a), 'newest first');
  const page = JSON.parse(await said(['outbox', 'dlq', 'list', '--limit', '1', '--offset', '1', '--json'], { IRONFLOW_ENV: 'default' }));
  assert.deepEqual([page.items.map((x) => x.event_id), page.limit, page.offset], [[a], 1, 1]);
  await refused(['outbox', 'dlq', 'list'], /--env or IRONFLOW_ENV/);
  assert.equal(await said(['outbox', 'dlq', 'requeue', a, '--env', 'default']), `Requeued ${a}\n`);
  await refused(['outbox', 'dlq', 'discard', b, '--env', 'default'], /./);
  assert.equal(await said(['outbox', 'dlq', 'discard', b, '--env', 'default', '--yes']), `Discarded ${b}\n`);
  assert.equal((await s.rest('GET', `/events/${b}`)).status, 200);
  await refused(['outbox', 'dlq', 'discard', b, '--env', 'default', '--yes'], /no dead letter/);
});

test('B93 B94 B95 B96 run pause, paused-state, inject and resume', async () => {
  const f = await actor();
  const run = await f.emit();
  const job = await f.take();
  assert.equal(await said(['run', 'pause', run]), `Run ${run}: pause_requested\n`);
  ok(await f.w.update(job, { status: 'progress', steps: [step(job, 'total', 42), step(job, 'tax', 8)] }));
  assert.equal(await said(['run', 'pause', run]), `Run ${run}: paused\n`);
  const [total] = ok(await s.rest('GET', `/runs/${run}/steps`)).steps;
  await refused(['run', 'inject', run, total.id], /--output is required/);
  assert.equal(await said(['run', 'inject', run, total.id, '--output', '43', '--reason', 'recount']), `Injected step ${total.id}\nPrevious output: 42\n`);
  assert.match(await said(['run', 'paused-state', run]), new RegExp(`^Pause reason: injection\n\nID +NAME +INJECTED +OUTPUT\n${total.id} +total +yes +43\n`));
  assert.equal(JSON.parse(await said(['run', 'paused-state', run, '--json'])).pause_reason, 'injection');
  assert.equal(await said(['run', 'resume', run]), `Resumed run ${run} (status: running)\n`);
  const again = await f.take();
  assert.deepEqual(again.completed_steps.map((x) => x.output), [43, 8]);
  ok(await f.w.update(again, { status: 'failed', error: { message: 'x', retryable: false } }));
  assert.equal(await said(['run', 'resume', run, '--from-step', total.id]), `Resumed run ${run} (status: running)\n`);
  assert.deepEqual((await f.take()).completed_steps, []);
  await refused(['run', 'resume', run], /only paused and failed runs/);
  await refused(['run', 'paused-state', run], /not paused for injection/);
});

// ---- REST ---------------------------------------------------------------------------------------

test('E9 streams of a run: a list that is empty until it touches one', async () => {
  const f = await actor();
  const run = await f.emit();
  assert.deepEqual(ok(await s.rest('GET', `/runs/${run}/streams`)), { entity_ids: [] });
  assert.equal((await s.rest('GET', '/runs/run_0000000000000/streams')).status, 404);
});

test('E10 the trail of a run with its filters', async () => {
  const f = await failed();
  const all = ok(await s.rest('GET', `/runs/${f.run}/audit`));
  assert.equal(all.total_count, all.events.length);
  for (const key of ['id', 'environment_id', 'run_id', 'function_id', 'step_id', 'event_type', 'payload', 'metadata', 'created_at'])
    assert.ok(all.events.some((e) => key in e), key);
  const page = ok(await s.rest('GET', `/runs/${f.run}/audit?event_type=step.created&limit=1&from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00Z`));
  assert.deepEqual([page.events.length, page.total_count], [1, 2]);
  const next = ok(await s.rest('GET', `/runs/${f.run}/audit?event_type=step.created&limit=1&cursor=${page.next_cursor}`));
  assert.deepEqual([next.events[0].payload.name, next.next_cursor], ['pay', undefined]);
});

test('E12 resume: 200, 400, 404, 412, and the state stays when it is refused', async () => {
  const f = await failed();
  const resume = (body) => s.rest('POST', '/runs/resume', body);
  for (const [body, status] of [[{}, 400], ['{', 400], [{ run_id: 'run_0000000000000' }, 404], [{ run_id: f.run, from_step: 'nobody' }, 404]])
    assert.equal((await resume(body)).status, status, JSON.stringify(body));
  assert.equal((await s.getRun(f.run)).status, 'failed');
  const answer = ok(await resume({ run_id: f.run, from_step: f.steps[1].id }));
  assert.deepEqual([answer.id, answer.status], [f.run, 'running']);
  assert.equal((await resume({ run_id: f.run })).status, 412);
});

test('E13 patch: a step by either id, with a reason; 404 and 400', async () => {
  const f = await failed();
  const patch = (body) => s.rest('POST', '/steps/patch', body);
  const one = ok(await patch({ step_id: f.steps[1].id, output: { result: 'manual_fix' }, reason: 'Corrected API response' }));
  assert.deepEqual([one.id, one.status, one.output], [f.steps[1].id, 'completed', { result: 'manual_fix' }]);
  assert.deepEqual(ok(await patch({ step_id: f.steps[1].step_id, output: null })).output, null);
  assert.equal((await patch({ step_id: 'nobody', output: 1 })).status, 404);
  assert.equal((await patch({ step_id: f.steps[0].id })).status, 400);
});

test('E92 E93 circuit breakers: key, state, failures, last failure; reset by the encoded key', async (t) => {
  const f = await opened(t);
  const b = await breaker(f);
  assert.deepEqual(sorted(b), ['failures', 'key', 'last_failure', 'state']);
  assert.deepEqual([b.state, b.failures], ['open', 5]);
  const waits = await f.emit();
  f.state.status = 200;
  ok(await s.rest('POST', `/circuit-breakers/${encodeURIComponent(f.key)}/reset`));
  await s.untilRun(waits, 'completed');
  assert.equal((await s.rest('POST', '/circuit-breakers/nobody%7Chttp%3A%2F%2Fx/reset')).status, 404);
});

test('E94 E95 debounce entries: a bare array of eight fields; 204 twice, 400, 403', async () => {
  const f = await debounced('k/1');
  const list = await entries();
  const e = list.find((x) => x.function_id === f.id);
  assert.deepEqual(sorted(e), ['armed_at', 'debounce_key', 'environment_id', 'event_id', 'fires_at', 'function_id', 'function_version', 'period_ms']);
  assert.deepEqual([e.environment_id, e.debounce_key, e.event_id, e.function_version, e.period_ms], ['env_default', 'k/1', f.event, 1, 600000]);
  for (const at of [e.armed_at, e.fires_at]) assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const cancel = (env, key) => s.rest('DELETE', `/debounce/entries/${env}/${f.id}/${key}`);
  const key = Buffer.from('k/1').toString('base64url');
  assert.equal((await cancel('env_default', '!!')).status, 400);
  assert.equal((await cancel('env_other', key)).status, 403);
  for (let i = 0; i < 2; i++) assert.equal((await cancel('env_default', key)).status, 204);
  assert.ok(!(await entries()).some((x) => x.function_id === f.id));
});

test('E96 E97 E98 G7 dead letters: twelve fields after ten attempts; requeued, discarded, 404', async () => {
  assert.equal((await s.rest('GET', '/outbox/dead-letter')).status, 400);
  const [id] = await dead(1);
  const page = ok(await s.rest('GET', '/outbox/dead-letter?env=default&limit=9999&offset=0'));
  assert.deepEqual([sorted(page), page.limit, page.offset], [['items', 'limit', 'offset'], 500, 0]);
  const item = page.items.find((x) => x.event_id === id);
  assert.equal(sorted(item).length, 12);
  assert.equal(item.attempts, 10);
  assert.equal(Buffer.from(item.payload, 'base64').toString(), '{}');
  assert.equal((await s.rest('POST', `/outbox/dead-letter/${id}/requeue`)).text, `{"event_id":"${id}","result":"requeued"}`);
  await until('it to be dead again', async () => (await letters()).some((x) => x.event_id === id), 60000);
  assert.equal((await s.rest('DELETE', `/outbox/dead-letter/${id}`)).text, `{"event_id":"${id}","result":"discarded"}`);
  for (const [method, path] of [['POST', `/outbox/dead-letter/${id}/requeue`], ['DELETE', `/outbox/dead-letter/${id}`]])
    assert.equal((await s.rest(method, path)).status, 404);
});

// ---- RPC ----------------------------------------------------------------------------------------

test('F5 F6 F7 G6 pause, paused state, inject: the first original stays, the audit knows', async () => {
  const f = await held();
  assert.equal(ok(await s.rpc('PauseRun', { run_id: f.run })).status, 'paused');
  const state = ok(await s.rpc('GetPausedState', { run_id: f.run }));
  assert.deepEqual([state.pause_reason, state.next_step_hint ?? '', state.steps.map((x) => [x.id, x.name, JSON.parse(x.output), x.injected])],
    ['injection', '', [[f.steps[0].id, 'validate-input', { valid: true }, false], [f.steps[1].id, 'process-order', { total: 99.99 }, false]]]);
  const inject = async (value) => ok(await s.rpc('InjectStepOutput', { run_id: f.run, step_id: f.steps[1].id, new_output: value, reason: 'why' }));
  const first = await inject('{"total":89.99}');
  assert.deepEqual([first.step_id, JSON.parse(first.previous_output)], [f.steps[1].id, { total: 99.99 }]);
  assert.deepEqual(JSON.parse((await inject('1')).previous_output), { total: 89.99 });
  const row = ok(await s.rest('GET', `/runs/${f.run}/steps`)).steps[1];
  assert.deepEqual([row.output, row.original_output], [1, { total: 99.99 }]);
  assert.ok(row.patched_at && /^ak_/.test(row.patched_by));
  const rows = ok(await s.rest('GET', `/runs/${f.run}/audit?event_type=step.injected`)).events;
  assert.deepEqual(rows.map((e) => [e.payload.previousOutput, e.payload.newOutput, e.metadata.actor]),
    [[{ total: 99.99 }, { total: 89.99 }, row.patched_by], [{ total: 89.99 }, 1, row.patched_by]]);
  assert.equal((await s.rpc('GetPausedState', { run_id: (await failed()).run })).body.code, 'failed_precondition');
});

test('F11 AuditService: GetAuditTrail answers; GetAuthAuditTrail says that it is not there yet', async () => {
  const f = await failed();
  const body = ok(await s.rpc('AuditService/GetAuditTrail', { run_id: f.run, limit: 1 }));
  assert.deepEqual([body.events[0].event_type, body.entries[0].type], ['run.created', 'run.created']);
  assert.ok(body.total_count > 1 && body.total_count === body.totalCount);
  const auth = await s.rpc('AuditService/GetAuthAuditTrail', { org_id: 'org_default' });
  assert.deepEqual([auth.status, auth.body.code], [501, 'unimplemented']);
  assert.match(auth.body.message, /GetAuthAuditTrail.*not supported by this release/);
});

// ---- the edges of other areas -------------------------------------------------------------------

test('49 50 71 137 170 225 streams, topics, secrets and subscriptions: what is there, and what says that it is not', async () => {
  const later = (answer, what) => {
    assert.deepEqual([answer.status, answer.body.code], [501, 'unimplemented'], what);
    assert.match(answer.body.message, /not supported by this release/, what);
  };
  const f = await actor();
  const run = await f.emit();
  const header = { 'x-ironflow-run-id': run };
  const append = { entity_id: 'order-1', entity_type: 'order', event_name: `${f.id}.go`, data: {} };
  const publish = { topic: `${f.id}.go`, data: {} };
  const events = async () => ok(await s.rest('GET', `/events?name=${f.id}.go`)).count;
  later(await s.rest('POST', '/streams/order-1/events', append, header), '49 by REST');
  later(await s.rpc('EntityStreamService/AppendEvent', append, header), '49 by RPC');
  later(await s.rpc('PubSubService/Publish', publish, header), '50');
  for (const rpc of ['CreateConsumerGroup', 'ListTopics']) later(await s.rpc(`PubSubService/${rpc}`), `225 ${rpc}`);
  const ws = await fetch(`${s.url}/ws`, { headers: s.headers() }); // streams of subscriptions: stream.test.mjs
  later({ status: ws.status, body: await ws.json() }, '225 by WebSocket');
  assert.equal(await events(), 1, 'nothing was stored');
  assert.equal(ok(await s.rest('GET', `/runs?function_id=${f.id}`)).total_count, 1, 'nothing was started');
  assert.deepEqual(ok(await s.rest('GET', `/runs/${run}/streams`)), { entity_ids: [] }, '170: it touched none');

  for (const extra of [{}, { endpointUrl: 'http://127.0.0.1:1/x' }]) { // 71 pull, 137 push
    const answer = await s.rpc('RegisterFunction', { id: `${f.id}-secret`, secrets: ['TOKEN'], ...extra });
    later(answer, 'a declared secret');
    assert.match(answer.body.message, /^secrets: /);
  }
  later(await s.rest('POST', '/secrets', { name: 'TOKEN', value: 'x' }), 'secrets');
  const job = await f.take();
  assert.deepEqual([job.secrets ?? {}, job.context?.secrets ?? {}], [{}, {}], '71: nothing is declared, nothing comes');
});

test('18 56 the mode follows the endpoint; attempts are numbers from the beginning', async () => {
  const mode = async (extra) => {
    const id = `ce-${n++}`;
    ok(await s.rpc('RegisterFunction', { id, triggers: [{ event: `${id}.go` }], ...extra }));
    return ok(await s.rest('GET', `/functions?name=${id}`)).functions[0];
  };
  assert.match((await mode({ endpointUrl: 'http://127.0.0.1:1/x' })).preferred_mode, /push/i);
  const pull = await mode({ retry: { maxAttempts: 7 } });
  assert.match(pull.preferred_mode, /pull/i);
  const run = ok(await s.rest('POST', '/events', { name: `${pull.id}.go`, data: {} })).run_ids[0];
  const plain = ok(await s.rpc('GetRun', { id: run }));
  assert.deepEqual([plain.attempt, plain.maxAttempts], [1, 7]);
  const strict = ok(await s.rpc('GetRun', { id: run }, { 'connect-protocol-version': '1' }));
  assert.deepEqual([strict.attempt, strict.maxAttempts], [1, 7]);
});

// ---- rules --------------------------------------------------------------------------------------

test('G5 cancel and resume: the cause is user, the cancel events of the run go, one topic each', async () => {
  const f = await actor({ cancelOn: [{ event: 'g5.stop', match: 'k' }] });
  const run = await f.emit({ k: 1 });
  ok(await s.rest('POST', `/runs/${run}/cancel`, { reason: 'operator says so' }));
  ok(await s.rest('POST', `/runs/${run}/cancel`, { reason: 'again' }));
  ok(await s.rest('POST', '/events', { name: 'g5.stop', data: { k: 1 } }));
  assert.deepEqual((({ status, cancellation_cause }) => [status, cancellation_cause])(await s.getRun(run)), ['cancelled', 'user']);
  const moves = async (id, type) => ok(await s.rest('GET', `/runs/${id}/audit?event_type=${type}`)).events.map((e) => e.payload);
  assert.deepEqual((await moves(run, 'run.status_changed')).map((p) => [p.newStatus, p.reason]), [['cancelled', 'user']]);
  const g = await failed();
  ok(await s.rest('POST', '/runs/resume', { run_id: g.run }));
  assert.deepEqual(await moves(g.run, 'run.resumed'), [{ runId: g.run, oldStatus: 'failed', newStatus: 'running', reason: 'resumed' }]);
});
