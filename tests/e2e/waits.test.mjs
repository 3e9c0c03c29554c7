// Waits for events, children and cancelOn: engine checklist C55, D89 to D93, H149 to H169, I189 to I191.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, step, until } from './lib.mjs';

let s;
before(async () => { s = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '300' } }); });
after(() => s.stop());

const NODE_29 = { sdk: '0.29.0', runtime: 'node-v22.3.0' };
const NODE_30 = { sdk: '0.30.0', runtime: 'node-v22.3.0' };
const GO = { sdk: '0.12.0', runtime: 'go1.22' };

const emit = async (name, data = {}, extra = {}) => {
  const answer = await s.rest('POST', '/events', { name, data, ...extra });
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
};
let n = 0;
/** A fresh function with one worker. */
async function setup(extra = {}, version = NODE_29) {
  const id = `waits-${n++}`;
  await s.register(id, `${id}.go`, extra);
  const w = await s.worker(`w-${id}`, [id], { version });
  const take = async () => {
    const job = await w.take();
    assert.equal((await w.ack(job)).status, 200);
    return job;
  };
  return {
    id, w, take,
    async emit(data) { return (await emit(`${id}.go`, data)).run_ids[0]; },
    /** A run that waits for the event `<id>.<name>`. */
    async wait(data, filter, stepId) {
      const run = await this.emit(data);
      const job = await take();
      const answer = await w.update(job, yieldWait(job, { event: `${id}.ok`, ...filter }, stepId));
      assert.equal(answer.status, 200, answer.text);
      return { run, job };
    },
    ok: (data, extra2) => emit(`${id}.ok`, data, extra2),
    complete: (job, output) => w.update(job, { status: 'completed', output }),
  };
}
const yieldWait = (job, filter, stepId = `${job.run_id}:ok:0`) =>
  ({ status: 'yielded', yield: { step_id: stepId, type: 'wait_for_event', event_filter: filter } });
const yieldInvoke = (job, fn, extra = {}, stepId = `${job.run_id}:${fn}:0`) =>
  ({ status: 'yielded', yield: { step_id: stepId, type: 'invoke_function', function_id: fn, ...extra } });
const steps = async (run) => (await s.rest('GET', `/runs/${run}/steps`)).body.steps;
const stepOf = async (run, id) => (await steps(run)).find((x) => x.step_id === id);

test('C55 D89 a wait pauses the run; the whole event completes it', async () => {
  const f = await setup();
  const { run, job } = await f.wait({});
  const paused = await s.getRun(run);
  assert.equal(paused.status, 'paused');
  assert.equal(paused.pause_reason, 'wait_event');
  const [row] = await steps(run);
  assert.equal(row.status, 'waiting');
  assert.equal(row.step_type, 'wait_for_event');
  assert.equal(row.name, 'ok');
  const rpc = await s.rpc('GetRunSteps', { runId: run });
  assert.equal(rpc.body.steps[0].waitEventName, `${f.id}.ok`);
  const days = (Date.parse(rpc.body.steps[0].waitTimeout) - Date.now()) / 86400000;
  assert.ok(days > 6.99 && days < 7.01, `H158 the default is seven days: ${days}`);
  const raw = '{"b":1.50,"a":[1e400,"x"],"b":2}';
  const answer = await s.rest('POST', '/events',
    `{"name":"${f.id}.ok","data":${raw},"metadata":{"k":"v"},"version":3}`);
  assert.equal(answer.status, 200, answer.text);
  const next = await f.take();
  assert.equal(next.run_id, run);
  assert.equal(next.execution_seq, 2);
  assert.equal(next.attempt, 1);
  const [done] = next.completed_steps;
  assert.equal(done.step_id, job.run_id + ':ok:0');
  assert.equal(done.output.id, answer.body.event_id);
  assert.equal(done.output.name, `${f.id}.ok`);
  assert.deepEqual(done.output.metadata, { k: 'v' });
  assert.equal(done.output.version, 3);
  assert.equal(done.output.source, 'api');
  assert.ok(Date.parse(done.output.timestamp) > 0);
  assert.ok((await s.rest('GET', `/runs/${run}/steps`)).text.includes(`"data":${raw}`), 'data byte for byte');
  await f.complete(next, 1);
  assert.equal((await s.getRun(run)).status, 'completed');
});

test('H152 an event before the wait does not satisfy it', async () => {
  const f = await setup();
  const run = await f.emit({});
  const job = await f.take();
  await f.ok({ n: 1 });
  await f.w.update(job, yieldWait(job, { event: `${f.id}.ok` }));
  assert.equal((await s.getRun(run)).status, 'paused');
  const { event_id } = await f.ok({ n: 2 });
  assert.equal((await f.take()).completed_steps[0].output.id, event_id);
});

test('H153 H154 match as a path, with and without data.; a differing value does not wake', async () => {
  for (const match of ['order.id', 'data.order.id']) {
    const f = await setup();
    const { run } = await f.wait({ order: { id: 7 } }, { match });
    await f.ok({ order: { id: 8 } });
    await f.ok({ other: 7 });
    await f.ok({});
    assert.equal((await s.getRun(run)).status, 'paused');
    const { event_id } = await f.ok({ order: { id: '7' } }); // a number and its text are equal
    assert.equal((await f.take()).completed_steps[0].output.id, event_id);
  }
});

test('a path that is missing in the trigger matches where it is missing or empty', async () => {
  const f = await setup();
  const { run } = await f.wait({}, { match: 'k' });
  await f.ok({ k: 'x' });
  assert.equal((await s.getRun(run)).status, 'paused');
  await f.ok({ k: '' });
  assert.equal((await s.getRun(run)).status, 'pending');
});

test('match_value is the expected value', async () => {
  const f = await setup();
  const { run } = await f.wait({ k: 'a' }, { match: 'k', match_value: 'b' });
  await f.ok({ k: 'a' });
  assert.equal((await s.getRun(run)).status, 'paused');
  await f.ok({ k: 'b' });
  assert.equal((await s.getRun(run)).status, 'pending');
});

test('H155 match as an expression wakes only where it holds', async () => {
  const f = await setup();
  const cases = [
    ['data.runId == "RUN"', [{ runId: 'x' }, {}, { runId: 5 }], { runId: 'RUN' }],
    ['data.n == 5', [{ n: '5' }, { n: 6 }], { n: 5.0 }],
    ['"RUN" == data.runId', [{ runId: 'x' }], { runId: 'RUN' }],
    ['data.runId == "RUN" && data.n > 3', [{ runId: 'RUN', n: 3 }, { runId: 'x', n: 9 }], { runId: 'RUN', n: 4 }],
    ['data.n > 3 || has(data.force)', [{ n: 1 }, {}], { force: true }],
    ['event.data.ok == true', [{ ok: 'true' }, { ok: false }], { ok: true }],
    ['data.name == \'it"s\'', [{ name: 'its' }], { name: 'it"s' }],
  ];
  for (const [match, no, yes] of cases) {
    const run = await f.emit({});
    const job = await f.take();
    const fill = (x) => JSON.parse(JSON.stringify(x).replaceAll('RUN', run));
    const answer = await f.w.update(job, yieldWait(job, { event: `${f.id}.ok`, match: match.replaceAll('RUN', run) }));
    assert.equal(answer.status, 200, answer.text);
    for (const data of no) await f.ok(fill(data));
    assert.equal((await s.getRun(run)).status, 'paused', match);
    await f.ok(fill(yes));
    assert.equal((await s.getRun(run)).status, 'pending', match);
    await f.complete(await f.take(), null);
  }
});

test('a bad filter, name or timeout is 400 and the job goes on (D93)', async () => {
  const f = await setup();
  const run = await f.emit({});
  const job = await f.take();
  for (const filter of [
    { event: '' }, { event: '  ' }, { event: 'a.>.b' }, { event: 'x', match: 'data.x ==' }, { event: 'x', match: 'nobody == 1' },
    { event: 'x', match: `a${'.b'.repeat(600)}` }, { event: 'x', timeout: 'soon' }, { event: 'x', timeout: '-5s' },
    { event: 'x', timeout: '5' }, { event: 'x', timeout: '5 parsecs' }, { event: 'x', timeout: '1e99d' },
  ]) {
    const answer = await f.w.update(job, yieldWait(job, filter));
    assert.equal(answer.status, 400, JSON.stringify(filter) + answer.text);
  }
  for (const y of [{ type: 'invoke_function' }, { type: 'invoke_function', function_id: 'x', invoke_timeout_ms: -1 },
    { type: 'nap' }, { type: 'wait_for_event' }]) {
    const answer = await f.w.update(job, { status: 'yielded', yield: { step_id: 'a', ...y } });
    assert.equal(answer.status, 400, JSON.stringify(y) + answer.text);
  }
  assert.equal((await f.complete(job, 1)).status, 200);
  assert.equal((await s.getRun(run)).status, 'completed');
});

test('D92 timeout texts', async () => {
  const f = await setup();
  for (const [timeout, ms] of [['500ms', 500], ['30s', 30e3], ['5m', 300e3], ['1.5h', 5400e3], ['7d', 604800e3]]) {
    await f.emit({});
    const job = await f.take();
    const before = Date.now();
    assert.equal((await f.w.update(job, yieldWait(job, { event: 'never', timeout }))).status, 200);
    const after = Date.now();
    const rpc = await s.rpc('GetRunSteps', { runId: job.run_id });
    const at = Date.parse(rpc.body.steps[0].waitTimeout);
    assert.ok(at >= before + ms - 1 && at <= after + ms + 1, `${timeout}: ${at - before} to ${at - after}`);
  }
});

test('H156 one event wakes all runs that wait for it, and may start others', async () => {
  const f = await setup();
  await s.register(`${f.id}-other`, `${f.id}.ok`);
  const runs = [];
  for (let i = 0; i < 5; i++) runs.push((await f.wait({})).run);
  assert.equal((await f.ok({})).run_ids.length, 1);
  for (const run of runs) assert.equal((await s.getRun(run)).status, 'pending');
});

test('H156 more than an emit wakes itself are woken soon, each once', async () => {
  const f = await setup();
  const runs = [];
  for (let i = 0; i < 300; i++) runs.push((await f.wait({})).run);
  const { event_id } = await f.ok({});
  await until('all to be woken', async () =>
    (await s.rest('GET', `/runs?function_id=${f.id}&status=paused`)).body.total_count === 0);
  const seen = new Set();
  while (seen.size < runs.length) {
    for (const job of (await f.w.poll(10)).body.jobs) {
      assert.ok(!seen.has(job.run_id));
      seen.add(job.run_id);
      assert.equal(job.completed_steps[0].output.id, event_id);
      await f.complete(job, null);
    }
  }
});

test('wildcards in the awaited name', async () => {
  const f = await setup();
  const { run } = await f.wait({}, { event: `${f.id}.*.ok` });
  await f.ok({});
  await emit(`${f.id}.a.b.ok`);
  assert.equal((await s.getRun(run)).status, 'paused');
  await emit(`${f.id}.a.ok`);
  assert.equal((await s.getRun(run)).status, 'pending');
});

test('every way in wakes: Trigger, Emit, TriggerBatch, direct invoke', async () => {
  const f = await setup();
  const ways = [
    () => s.rpc('Trigger', { event: `${f.id}.ok`, data: {} }),
    () => s.rpc('Emit', { event: `${f.id}.ok`, data: {} }),
    () => s.rpc('PubSubService/Emit', { event: `${f.id}.ok`, data: {} }),
    () => s.rpc('TriggerBatch', { events: [{ event: 'x' }, { event: `${f.id}.ok`, data: {} }] }),
  ];
  for (const way of ways) {
    const { run } = await f.wait({});
    const answer = await way();
    if (answer.status === 404 || answer.status === 501) continue;
    assert.equal(answer.status, 200, answer.text);
    assert.equal((await s.getRun(run)).status, 'pending', way.toString());
    await f.complete(await f.take(), null);
  }
  const { run } = await f.wait({}, { event: `ironflow.invoke.${f.id}` });
  await s.rest('POST', `/functions/${f.id}/invoke`, { data: {} });
  assert.equal((await s.getRun(run)).status, 'pending');
});

test('a repeated emit with the same key wakes nobody again', async () => {
  const f = await setup();
  const first = await f.wait({});
  const { event_id } = await f.ok({}, { idempotency_key: `${f.id}-k` });
  await f.complete(await f.take(), null);
  const second = await f.wait({});
  assert.equal((await f.ok({}, { idempotency_key: `${f.id}-k` })).event_id, event_id);
  assert.equal((await s.getRun(second.run)).status, 'paused');
  assert.equal((await s.getRun(first.run)).status, 'completed');
});

test('H157 a timeout fails the run, marks the step, and calls nobody', async () => {
  const f = await setup();
  const { run } = await f.wait({}, { timeout: '200ms' });
  const failed = await s.untilRun(run, 'failed');
  assert.equal(failed.error.code, 'WAIT_TIMEOUT');
  assert.match(failed.error.message, /step ok .*event waits-\d+\.ok/);
  assert.equal(failed.attempt, 1);
  assert.equal((await steps(run))[0].status, 'timed_out');
  assert.equal((await f.w.poll()).status, 204);
  await f.ok({});
  assert.equal((await s.getRun(run)).status, 'failed');
});

/** When the run's timer is due, as far behind a report that came between these two times. */
async function timerOf(run, before, after) {
  const key = [...run.slice('run_'.length)].reduce((n, ch) => n * 32n + BigInt('0123456789abcdefghjkmnpqrstvwxyz'.indexOf(ch)), 0n);
  const due = Number(await s.sql(`SELECT due FROM timers WHERE run_id = ${key}`));
  return [due - after, due - before];
}

test('H158 the default of a wait is seven days', async () => {
  const f = await setup();
  const before = Date.now();
  const { run } = await f.wait({}, {});
  const [least, most] = await timerOf(run, before, Date.now());
  const days = 7 * 24 * 3600 * 1000;
  assert.ok(least <= days && days <= most, `${least} ${most}`);
  await s.rest('POST', `/runs/${run}/cancel`);
});

test('a repeated yield is 200 and keeps the wait; a completed one goes on at once', async () => {
  const f = await setup();
  const { run, job } = await f.wait({}, { timeout: '1h' });
  const again = yieldWait(job, { event: `${f.id}.ok`, timeout: '9h' });
  assert.equal((await f.w.update(job, again)).status, 200);
  assert.equal((await steps(run)).length, 1);
  await f.ok({});
  const next = await f.take();
  assert.equal((await f.w.update(next, yieldWait(next, { event: `${f.id}.ok` }))).status, 200);
  assert.equal((await s.getRun(run)).status, 'pending');
  assert.equal((await f.take()).completed_steps.length, 1);
});

test('cancelling a waiting run ends its wait', async () => {
  const f = await setup();
  const { run } = await f.wait({});
  assert.equal((await s.rest('POST', `/runs/${run}/cancel`, {})).status, 200);
  assert.equal((await steps(run))[0].status, 'failed');
  await f.ok({});
  assert.equal((await s.getRun(run)).status, 'cancelled');
});

test('H149 H150 step ids are echoed byte for byte', async () => {
  const f = await setup();
  const id = (run) => `${run}:a\\:b\\\\c.d:x y:0`;
  const run = await f.emit({});
  const job = await f.take();
  await f.w.update(job, yieldWait(job, { event: `${f.id}.ok` }, id(run)));
  await f.ok({});
  const next = await f.take();
  assert.equal(next.completed_steps[0].step_id, id(run));
  await f.w.update(next, yieldWait(next, { event: `${f.id}.ok` }, 'legacy:a:b'));
  await f.ok({});
  assert.deepEqual((await f.take()).completed_steps.map((x) => x.step_id), [id(run), 'legacy:a:b']);
});

test('a wait survives a crash, and so does its deadline', async () => {
  const f = await setup();
  const wakes = await f.wait({});
  const fails = await f.wait({}, { event: 'never', timeout: '700ms' });
  await s.crash();
  await s.untilRun(fails.run, 'failed');
  await f.ok({});
  assert.equal((await s.getRun(wakes.run)).status, 'pending');
});

test('the event that starts a run at the same name does not wake its own wait', async () => {
  const f = await setup();
  const { run } = await f.wait({ n: 1 }, { event: `${f.id}.go` });
  assert.equal((await s.getRun(run)).status, 'paused');
  const other = await f.emit({ n: 2 });
  assert.equal((await s.getRun(run)).status, 'pending');
  assert.equal((await s.getRun(other)).status, 'pending');
});

/* ---- children ---- */

async function family(version, extra) {
  const parent = await setup({}, version), child = await setup();
  const run = await parent.emit({});
  const job = await parent.take();
  const answer = await parent.w.update(job, yieldInvoke(job, child.id, extra));
  assert.equal(answer.status, 200, answer.text);
  const row = await stepOf(run, `${run}:${child.id}:0`);
  return { parent, child, run, job, row, childRun: row.child_run_id };
}

test('D90 H164 a child names its parent; its output completes the step', async () => {
  const { parent, child, run, row, childRun } = await family(NODE_29, { input: { kg: 3.10 } });
  assert.equal(row.status, 'waiting');
  assert.equal(row.step_type, 'invoke_function');
  assert.equal(row.name, child.id);
  const paused = await s.getRun(run);
  assert.equal(paused.status, 'paused');
  assert.equal(paused.pause_reason, 'wait_event');
  const found = await s.getRun(childRun);
  assert.equal(found.parent_run_id, run);
  assert.equal(found.parent_step_id, `${run}:${child.id}:0`);
  const job = await child.take();
  assert.equal(job.event.name, `ironflow.invoke.${child.id}`);
  assert.deepEqual(job.event.data, { kg: 3.1 });
  await child.complete(job, [1, null]);
  const next = await parent.take();
  assert.deepEqual(next.completed_steps[0].output, [1, null]);
  assert.ok(!('status' in next.completed_steps[0]));
});

test('inputs that are no objects, and none', async () => {
  for (const [extra, data] of [[{ input: 5 }, 5], [{ input: [1] }, [1]], [{}, {}]]) {
    const { child } = await family(NODE_29, extra);
    assert.deepEqual((await child.take()).event.data, data);
  }
});

test('H163 repeated yields and a crash make one child', async () => {
  const { parent, child, run, job, childRun } = await family();
  assert.equal((await parent.w.update(job, yieldInvoke(job, child.id))).status, 200);
  await s.crash();
  await child.w.take().catch(() => null);
  assert.equal((await parent.w.update(job, yieldInvoke(job, child.id))).status, 200);
  const list = await s.rest('GET', `/runs?function_id=${child.id}`);
  assert.deepEqual(list.body.runs.map((r) => r.id), [childRun]);
  assert.equal((await steps(run)).length, 1);
});

for (const [name, version] of [['newer JS', NODE_30], ['Go', GO]]) {
  test(`a failed child reaches ${name} as a failed entry`, async () => {
    const { parent, child, run, childRun } = await family(version);
    const job = await child.take();
    await child.w.update(job, { status: 'failed', error: { message: 'no paper', code: 'X', retryable: false } });
    const next = await parent.take();
    assert.equal(next.run_id, run);
    const [entry] = next.completed_steps;
    assert.equal(entry.status, 'failed');
    assert.equal(entry.output, null);
    assert.deepEqual(entry.error, {
      message: 'no paper', function_id: child.id, child_run_id: childRun, cause: 'no paper', retryable: false,
    });
    await parent.complete(next, 'caught');
    assert.equal((await s.getRun(run)).status, 'completed');
  });
}

test('a failed child fails the run of a JS 0.29 worker with INVOKE_FAILED; a resume may come', async () => {
  const { parent, child, run } = await family(NODE_29);
  const job = await child.take();
  await child.w.update(job, { status: 'failed', error: { message: 'no paper', retryable: false } });
  const failed = await s.getRun(run);
  assert.equal(failed.status, 'failed');
  assert.equal(failed.error.code, 'INVOKE_FAILED');
  assert.match(failed.error.message, /no paper/);
  assert.equal((await parent.w.poll()).status, 204);
  assert.equal((await stepOf(run, `${run}:${child.id}:0`)).status, 'failed');
});

test('a cancelled child fails the step, cancelling the parent leaves the child', async () => {
  const a = await family(GO);
  await s.rest('POST', `/runs/${a.childRun}/cancel`, {});
  assert.equal((await a.parent.take()).completed_steps[0].status, 'failed');
  const b = await family(GO);
  await s.rest('POST', `/runs/${b.run}/cancel`, {});
  assert.equal((await s.getRun(b.childRun)).status, 'pending');
  await b.child.complete(await b.child.take(), 1);
  assert.equal((await s.getRun(b.childRun)).status, 'completed');
  assert.equal((await s.getRun(b.run)).status, 'cancelled');
});

test('H162 a child that takes too long: timed_out, the parent goes on, the child too', async () => {
  const { parent, child, run, childRun } = await family(GO, { invoke_timeout_ms: 200 });
  const next = await parent.take();
  const [entry] = next.completed_steps;
  assert.equal(entry.status, 'timed_out');
  assert.match(entry.error.message, /timed out/);
  assert.equal((await s.getRun(childRun)).status, 'pending');
  await child.complete(await child.take(), 1);
  assert.equal((await stepOf(run, `${run}:${child.id}:0`)).status, 'timed_out');
  await parent.complete(next, null);
});

test('H162 the default of an invoke is 30 s', async () => {
  const before = Date.now();
  const { run, childRun } = await family(GO);
  const after = Date.now();
  const [least, most] = await timerOf(run, before, after);
  assert.ok(least <= 30000 && 30000 <= most, `${least} ${most}`);
  assert.equal((await s.getRun(run)).status, 'paused');
  await s.rest('POST', `/runs/${childRun}/cancel`);
});

test('an unknown function fails the step and makes no child', async () => {
  const f = await setup({}, GO);
  const run = await f.emit({});
  const job = await f.take();
  for (const type of ['invoke_function', 'invoke_function_async']) {
    const current = type === 'invoke_function' ? job : await f.take();
    const answer = await f.w.update(current, { status: 'yielded',
      yield: { step_id: `${run}:${type}:0`, type, function_id: 'nobody' } });
    assert.equal(answer.status, 200, answer.text);
  }
  const next = await f.take();
  assert.deepEqual(next.completed_steps.map((x) => [x.status, x.error.message]),
    [['failed', 'function not found'], ['failed', 'function not found']]);
  const old = await setup({}, NODE_29);
  await old.emit({});
  const j = await old.take();
  await old.w.update(j, yieldInvoke(j, 'nobody'));
  assert.equal((await s.getRun(j.run_id)).error.code, 'INVOKE_FAILED');
});

test('D91 an async invoke completes at once with the run id', async () => {
  const parent = await setup(), child = await setup();
  const run = await parent.emit({});
  const job = await parent.take();
  const answer = await parent.w.update(job, { status: 'yielded', yield: {
    step_id: `${run}:${child.id}:0`, type: 'invoke_function_async', function_id: child.id, input: { a: 1 } } });
  assert.equal(answer.status, 200, answer.text);
  const next = await parent.take();
  const { run_id } = next.completed_steps[0].output;
  assert.equal((await s.getRun(run_id)).parent_run_id, run);
  const cj = await child.take();
  assert.equal(cj.run_id, run_id);
  await child.w.update(cj, { status: 'failed', error: { message: 'x', retryable: false } });
  await parent.complete(next, null);
  assert.equal((await s.getRun(run)).status, 'completed');
});

test('a chain of invokes fails from the bottom up', async () => {
  const fs = [await setup(), await setup(), await setup(), await setup()];
  const runs = [await fs[0].emit({})];
  for (let i = 0; i < 3; i++) {
    const job = await fs[i].take();
    runs[i] = job.run_id;
    await fs[i].w.update(job, yieldInvoke(job, fs[i + 1].id));
  }
  const last = await fs[3].take();
  await fs[3].w.update(last, { status: 'failed', error: { message: 'deep', retryable: false } });
  for (const run of runs) {
    const r = await s.getRun(run);
    assert.equal(r.status, 'failed');
    assert.match(r.error.message, /deep/);
  }
});

/* ---- steps ---- */

test('H151 H167 H168 H169 branches: sleeps park one after the other, null is remembered', async () => {
  const f = await setup();
  const run = await f.emit({});
  let job = await f.take();
  const branch = (k, name, extra) => step(job, name, null, { id: `${run}:fan:${k}:${name}:0`, ...extra });
  await f.w.update(job, { status: 'progress', step_offset: 0, steps: [branch(0, 'a'), branch(1, 'a')] });
  for (const k of [0, 1]) {
    await f.w.update(job, { status: 'yielded', yield: { step_id: `${run}:fan:${k}:nap:0`, type: 'sleep',
      until: new Date(Date.now() + 100).toISOString() } });
    job = await f.take();
  }
  assert.deepEqual(job.completed_steps.map((x) => [x.step_id.slice(run.length), x.output]), [
    [':fan:0:a:0', null], [':fan:1:a:0', null], [':fan:0:nap:0', null], [':fan:1:nap:0', null]]);
  assert.equal(job.step_sequence_base, 4);
  await f.complete(job, 1);
  assert.equal((await s.getRun(run)).status, 'completed');
});

test('H165 compensation steps are stored in the order of the report', async () => {
  const f = await setup();
  const run = await f.emit({});
  const job = await f.take();
  const comp = (name) => step(job, `compensate:${name}`, { undone: true }, {
    id: `${run}:compensate\\:${name}:0`, type: 'compensate', compensation_for: name });
  await f.w.update(job, { status: 'failed', step_offset: 0, error: { message: 'no', retryable: false },
    steps: [step(job, 'a', 1), step(job, 'b', 2), comp('b'), comp('a')] });
  const rows = await steps(run);
  assert.deepEqual(rows.map((x) => [x.name, x.step_type, x.compensation_for ?? '']), [
    ['a', 'invoke', ''], ['b', 'invoke', ''], ['compensate:b', 'compensate', 'b'], ['compensate:a', 'compensate', 'a']]);
});

test('H166 a run whose retries are exhausted has no compensation steps', async () => {
  const f = await setup({ retry: { maxAttempts: 2, initialDelayMs: 1 } });
  const run = await f.emit({});
  for (let attempt = 1; attempt <= 2; attempt++) {
    const job = await f.take();
    assert.equal(job.attempt, attempt);
    const steps_ = attempt === 1 ? [step(job, 'book', 1)] : [];
    await f.w.update(job, { status: 'failed', error: { message: 'busy', retryable: true }, steps: steps_, step_offset: attempt - 1 });
  }
  assert.equal((await s.untilRun(run, 'failed')).attempt, 2);
  assert.deepEqual((await steps(run)).map((x) => [x.name, x.step_type]), [['book', 'invoke']]);
  assert.equal((await f.w.poll()).status, 204, 'nobody is asked to undo');
});

/* ---- cancelOn ---- */

test('I189 an equal value cancels with cause cancel-on-event, another does not', async () => {
  for (const match of ['order.id', 'data.order.id']) {
    const f = await setup();
    await s.register(f.id, `${f.id}.go`, { cancelOn: [{ event: `${f.id}.stop`, match }] });
    const queued = await f.emit({ order: { id: 1 } });
    const other = await f.emit({ order: { id: 2 } });
    const none = await f.emit({});
    await emit(`${f.id}.stop`, { order: { id: 3 } });
    await emit(`${f.id}.stop`, {});
    await emit(`${f.id}.stop`, { order: { id: '1' } });
    const run = await s.getRun(queued);
    assert.equal(run.status, 'cancelled');
    assert.equal(run.cancellation_cause, 'cancel-on-event');
    assert.equal((await s.getRun(other)).status, 'pending');
    assert.equal((await s.getRun(none)).status, 'pending');
  }
});

test('I189 running and waiting runs; a late report is 409', async () => {
  const f = await setup();
  await s.register(f.id, `${f.id}.go`, { cancelOn: [{ event: `${f.id}.stop`, match: 'k' }] });
  const { run } = await f.wait({ k: 'a' });
  const running = await f.emit({ k: 'a' });
  const job = await f.take();
  assert.equal(job.run_id, running);
  await emit(`${f.id}.stop`, { k: 'a' });
  assert.equal((await s.getRun(run)).status, 'cancelled');
  assert.equal((await s.getRun(running)).status, 'cancelled');
  const late = await f.complete(job, 1);
  assert.equal(late.status, 409);
  assert.equal(late.body.code, 'RUN_NOT_RUNNING');
});

test('I190 the event that starts a run does not cancel it, but the one before', async () => {
  const f = await setup();
  await s.register(f.id, `${f.id}.go`, { cancelOn: [{ event: `${f.id}.go`, match: 'k' }] });
  const first = await f.emit({ k: 1 });
  assert.equal((await s.getRun(first)).status, 'pending');
  const second = await f.emit({ k: 1 });
  assert.equal((await s.getRun(first)).status, 'cancelled');
  assert.equal((await s.getRun(second)).status, 'pending');
});

test('I191 a run that ended by any way leaves no rows of cancelOn', async () => {
  const f = await setup({ cancelOn: [{ event: 'i191.stop', match: 'k' }], retry: { maxAttempts: 1 } });
  const left = async () => Number(await s.sql("SELECT count(*) FROM waits WHERE event = 'i191.stop'"));
  const runs = [];
  for (let k = 0; k < 5; k++) runs.push(await f.emit({ k }));
  assert.equal(await left(), 5);
  await f.complete(await f.take(), 1);
  await f.w.update(await f.take(), { status: 'failed', error: { message: 'x', retryable: false } });
  await s.rest('POST', `/runs/${runs[2]}/cancel`);
  await emit('i191.stop', { k: 3 });
  assert.equal(await left(), 1);
  const job = await f.take();
  await f.w.update(job, yieldWait(job, { event: `${f.id}.ok`, timeout: '50ms' }));
  await s.untilRun(runs[4], 'failed');
  assert.equal(await left(), 0);
});

test('a bad cancelOn is refused', async () => {
  for (const entry of [{ event: '', match: 'a' }, { event: 'x', match: '' }, { event: 'a.>.b', match: 'a' }]) {
    const answer = await s.rpc('RegisterFunction', { id: 'bad', triggers: [{ event: 'x' }],
      preferredMode: 'EXECUTION_MODE_PULL', cancelOn: [entry] });
    assert.equal(answer.status, 400, answer.text);
  }
});

/* ---- with operators ---- */

const resume = (run) => s.rest('POST', '/runs/resume', { run_id: run });

test('a resumed run that timed out waits anew', async () => {
  const f = await setup();
  const { run } = await f.wait({}, { timeout: '100ms' });
  await s.untilRun(run, 'failed');
  assert.equal((await resume(run)).status, 200);
  const job = await f.take();
  assert.deepEqual(job.completed_steps, []);
  assert.equal((await f.w.update(job, yieldWait(job, { event: `${f.id}.ok`, timeout: '1h' }))).status, 200);
  assert.equal((await steps(run))[0].status, 'waiting');
  await f.ok({});
  assert.equal((await f.take()).completed_steps.length, 1);
});

test('a resumed run whose invoke failed invokes anew', async () => {
  const { parent, child, run, childRun } = await family(NODE_29);
  await child.w.update(await child.take(), { status: 'failed', error: { message: 'x', retryable: false } });
  assert.equal((await s.getRun(run)).error.code, 'INVOKE_FAILED');
  assert.equal((await resume(run)).status, 200);
  const job = await parent.take();
  assert.equal((await parent.w.update(job, yieldInvoke(job, child.id))).status, 200);
  const second = await child.take();
  assert.notEqual(second.run_id, childRun);
  await child.complete(second, 7);
  assert.equal((await parent.take()).completed_steps[0].output, 7);
});

test('a worker that cannot be told does not invoke twice', async () => {
  const { parent, child, run } = await family(GO);
  const old = await s.worker(`old-${parent.id}`, [parent.id], { version: NODE_29 });
  await child.w.update(await child.take(), { status: 'failed', error: { message: 'x', retryable: false } });
  const job = await old.take();
  await old.ack(job);
  assert.deepEqual(job.completed_steps, []);
  assert.equal((await old.update(job, yieldInvoke(job, child.id))).status, 200);
  assert.equal((await s.getRun(run)).error.code, 'INVOKE_FAILED');
  assert.equal((await s.rest('GET', `/runs?function_id=${child.id}`)).body.total_count, 1);
});

test('a paused wait takes its event and stays paused until it is resumed', async () => {
  const f = await setup();
  const { run } = await f.wait({}, { timeout: '1h' });
  const paused = await s.rpc('PauseRun', { runId: run, id: run });
  assert.equal(paused.status, 200, paused.text);
  assert.equal((await s.getRun(run)).pause_reason, 'injection');
  await f.ok({ n: 1 });
  assert.equal((await s.getRun(run)).status, 'paused');
  assert.equal((await steps(run))[0].status, 'completed');
  assert.equal((await resume(run)).status, 200);
  assert.equal((await f.take()).completed_steps[0].output.data.n, 1);
});

test('a wait whose deadline passes while the run is paused fails it after the resume', async () => {
  const f = await setup();
  const { run } = await f.wait({}, { timeout: '3s' });
  const late = Date.now() + 3200;
  assert.equal((await s.rpc('PauseRun', { runId: run, id: run })).body.status, 'paused');
  await until('the deadline to have passed', () => Date.now() > late);
  assert.equal((await s.getRun(run)).status, 'paused');
  await resume(run);
  const job = await f.take();
  assert.equal((await f.w.update(job, yieldWait(job, { event: `${f.id}.ok`, timeout: '1h' }))).status, 200);
  assert.equal((await s.untilRun(run, 'failed')).error.code, 'WAIT_TIMEOUT');
});

test('an event knows the run that emitted it', async () => {
  const f = await setup();
  const run = await f.emit({});
  const { body } = await s.rest('POST', '/events', { name: `${f.id}.said` }, { 'x-ironflow-run-id': run });
  const found = await s.rest('GET', `/events/${body.event_id}`);
  assert.ok(found.text.includes(run), found.text);
});

/* ---- at the same moment ---- */

test('an event and a new wait at the same moment have one outcome', async () => {
  const f = await setup({ cancelOn: [{ event: 'never.mind', match: 'k' }] });
  for (let round = 0; round < 15; round++) {
    const run = await f.emit({ k: round });
    const job = await f.take();
    const answers = await Promise.all([
      f.w.update(job, yieldWait(job, { event: `${f.id}.ok`, match: 'k' })), f.ok({ k: round }), f.ok({ k: round }),
    ]);
    assert.equal(answers[0].status, 200, answers[0].text);
    const [row] = await steps(run);
    const { status } = await s.getRun(run);
    if (row.status === 'completed') assert.equal(status, 'pending');
    else await f.ok({ k: round }); // it came before the wait: the next one counts
    const next = await f.take();
    assert.equal(next.run_id, run);
    assert.equal(next.execution_seq, 2);
    assert.equal(next.completed_steps.length, 1);
    await f.complete(next, null);
  }
});

test('events, deadlines and cancels that race end a wait once', async () => {
  const f = await setup();
  await s.register(f.id, `${f.id}.go`, { cancelOn: [{ event: `${f.id}.stop`, match: 'k' }] });
  const runs = [], due = Date.now() + 4000; // all at about the same time
  for (let i = 0; i < 24; i++)
    runs.push((await f.wait({ k: i }, { match: 'k', timeout: `${Math.max(1, due - Date.now() + i)}ms` })).run);
  await until('the deadlines', () => Date.now() >= due - 5);
  await Promise.all(runs.flatMap((run, k) => [
    f.ok({ k }), emit(`${f.id}.stop`, { k }), k % 2 ? s.rest('POST', `/runs/${run}/cancel`, {}) : f.ok({ k }),
  ]));
  for (const run of runs) {
    const r = await s.untilRun(run, ['cancelled', 'failed']);
    const [row] = await steps(run);
    assert.ok(['completed', 'failed', 'timed_out'].includes(row.status), row.status);
    if (r.status === 'failed') assert.deepEqual([r.error.code, row.status], ['WAIT_TIMEOUT', 'timed_out']);
    else assert.ok(['user', 'cancel-on-event'].includes(r.cancellation_cause), JSON.stringify(r));
  }
});

test('siblings that fail at the same moment reach each parent once', async () => {
  const parent = await setup({}, GO), child = await setup();
  const jobs = [];
  for (let i = 0; i < 8; i++) {
    await parent.emit({ i });
    const job = await parent.take();
    await parent.w.update(job, yieldInvoke(job, child.id));
  }
  for (let i = 0; i < 8; i++) jobs.push(await child.take());
  await Promise.all(jobs.map((job, i) => child.w.update(job, i % 2 ? { status: 'completed', output: i }
    : { status: 'failed', error: { message: 'no', retryable: false } })));
  const seen = new Set();
  for (let i = 0; i < 8; i++) {
    const job = await parent.take();
    assert.equal(job.completed_steps.length, 1);
    seen.add(job.run_id);
  }
  assert.equal(seen.size, 8);
});
