// Operators: resume, patch, pause, inject (engine checklist J 197 to 211).
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { Server, served, step, until } from './lib.mjs';

let s;
before(async () => { s = await Server.start({ env: { IRONFLOW_POLL_HOLD_MS: '200' } }); });
after(() => s.stop());

let n = 0;
const setup = (extra = {}) => served(s, `op-${n++}`, { retry: { maxAttempts: 1 }, ...extra });
const ok = (answer) => { assert.equal(answer.status, 200, answer.text); return answer.body; };
const steps = async (run) => ok(await s.rest('GET', `/runs/${run}/steps`)).steps;
const resume = (run_id, from_step) => s.rest('POST', '/runs/resume', from_step === undefined ? { run_id } : { run_id, from_step });
const FAIL = { status: 'failed', error: { message: 'no stock', code: 'STOCK', retryable: false } };
const failed = (job, name) => step(job, name, undefined, { status: 'failed', error: { message: 'no stock' } });

/** A run that failed at its second step. */
async function failing(extra) {
  const f = await setup(extra);
  const run = await f.emit({ order: 7 });
  const job = await f.take();
  ok(await f.w.update(job, { ...FAIL, steps: [step(job, 'reserve', { ok: 1 }), failed(job, 'pay')] }));
  assert.equal((await s.getRun(run)).status, 'failed');
  return { ...f, run, job };
}

/** A run paused for injection behind its first step. */
async function held(extra) {
  const f = await setup(extra);
  const run = await f.emit();
  const job = await f.take();
  assert.equal(ok(await s.rpc('PauseRun', { run_id: run })).status, 'pause_requested');
  ok(await f.w.update(job, { status: 'progress', steps: [step(job, 'total', { total: 42 }), step(job, 'tax', 8)] }));
  return { ...f, run, job };
}

test('J197 a failed run resumes, runs on behind its completed steps and completes', async () => {
  const f = await failing();
  const answer = ok(await resume(f.run));
  assert.equal(answer.status, 'running');
  assert.equal(answer.functionId, f.id);
  assert.equal(answer.function_id, f.id);
  assert.equal(answer.error, undefined);
  assert.equal(answer.ended_at, undefined);
  assert.equal(answer.attempt, 1);
  const job = await f.take();
  assert.deepEqual(job.completed_steps.map((x) => x.name), ['reserve']);
  assert.equal(job.execution_seq, 2);
  assert.ok(job.step_sequence_base >= 2);
  ok(await f.w.update(job, { status: 'completed', output: 'done', steps: [step(job, 'pay', 1)] }));
  const run = await s.getRun(f.run);
  assert.equal(run.status, 'completed');
  assert.equal(run.output, 'done');
  assert.deepEqual((await steps(f.run)).map((x) => [x.name, x.status]), [['reserve', 'completed'], ['pay', 'completed']]);
  assert.equal((await resume(f.run)).status, 412);
});

test('J197 the RPC resumes too, and an empty from_step is none', async () => {
  const f = await failing();
  const answer = ok(await s.rpc('ResumeRun', { runId: f.run, from_step: '' }));
  assert.equal(answer.status, 'RUN_STATUS_RUNNING');
  assert.equal((await s.rpc('ResumeRun', { runId: f.run })).body.code, 'failed_precondition');
  await f.take();
});

test('J198 resume of a running run is 412, of an unknown one 404, without run id 400', async () => {
  const f = await setup();
  const run = await f.emit();
  assert.equal((await resume(run)).status, 412); // pending
  await f.take();
  const busy = await resume(run);
  assert.equal(busy.status, 412);
  assert.match(busy.body.error, /running/);
  assert.equal((await resume('run_0000000000000')).status, 404);
  assert.equal((await resume('nonsense')).status, 404);
  assert.equal((await s.rest('POST', '/runs/resume', {})).status, 400);
  assert.equal((await s.rest('POST', '/runs/resume', '{')).status, 400);
});

test('J199 from_step that is unknown or of another run is 404, and nothing happens', async () => {
  const f = await failing();
  const other = await failing();
  const foreign = (await steps(other.run))[0];
  for (const from of ['step_0000000000000', 'nonsense', foreign.id, foreign.step_id])
    assert.equal((await resume(f.run, from)).status, 404, from);
  assert.equal((await s.getRun(f.run)).status, 'failed');
});

test('J200 from_step runs that step and later ones again, earlier ones not', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  const names = ['a', 'b', 'c'];
  ok(await f.w.update(job, { ...FAIL, steps: [...names.map((x) => step(job, x, x)), failed(job, 'd')] }));
  const before = await steps(run);
  ok(await resume(run, before[1].id));
  const open = await steps(run);
  assert.deepEqual(open.map((x) => x.status), ['completed', 'pending', 'pending', 'pending']);
  assert.equal(open[1].output, 'b', 'a discarded result stays readable');
  const again = await f.take();
  assert.deepEqual(again.completed_steps.map((x) => x.name), ['a']);
  ok(await f.w.update(again, { status: 'completed', output: 1, steps: ['b', 'c', 'd'].map((x) => step(again, x, `${x}2`)) }));
  const after = await steps(run);
  assert.deepEqual(after.map((x) => x.output), ['a', 'b2', 'c2', 'd2']);
  assert.deepEqual(after.map((x) => x.id), before.map((x) => x.id));
  assert.deepEqual(after.map((x) => x.sequence), before.map((x) => x.sequence));
});

test('J200 by the SDK id too; a patch of a discarded step counts', async () => {
  const f = await failing();
  const [first] = await steps(f.run);
  ok(await resume(f.run, first.step_id));
  const job = await f.take();
  assert.deepEqual(job.completed_steps, []);
  ok(await f.w.update(job, { ...FAIL, steps: [failed(job, 'reserve')] }));
  ok(await s.rest('POST', '/steps/patch', { step_id: first.id, output: 'by hand' }));
  ok(await resume(f.run));
  assert.deepEqual((await f.take()).completed_steps.map((x) => x.output), ['by hand']);
});

test('J201 J202 J203 a failed step is patched by record id and by SDK id; the handler gets the value', async () => {
  for (const by of ['id', 'step_id']) {
    const f = await failing();
    const pay = (await steps(f.run))[1];
    const out = ok(await s.rest('POST', '/steps/patch', { step_id: pay[by], output: { result: 'manual' }, reason: 'bank was down' }));
    assert.equal(out.id, pay.id);
    assert.equal(out.status, 'completed');
    assert.deepEqual(out.output, { result: 'manual' });
    assert.equal(out.error, undefined);
    assert.ok(Date.parse(out.patched_at) > 0);
    assert.equal(out.patched_by, 'system');
    ok(await resume(f.run));
    const job = await f.take();
    assert.deepEqual(job.completed_steps.map((x) => x.output), [{ ok: 1 }, { result: 'manual' }]);
    ok(await f.w.update(job, { status: 'completed', output: 1, steps: [step(job, 'pay', 'the worker says otherwise')] }));
    assert.deepEqual((await steps(f.run))[1].output, { result: 'manual' }, 'a report never overwrites a patch');
  }
});

test('J203 the first original stays; SDK ids that do not begin with a run are found', async () => {
  const f = await setup();
  await f.emit();
  const job = await f.take();
  ok(await f.w.update(job, { ...FAIL, steps: [step(job, 'x', [1], { id: `odd-${f.id}` })] }));
  for (const output of [2, null])
    ok(await s.rpc('PatchStep', { stepId: `odd-${f.id}`, outputValue: output ?? 'x' }));
  const [x] = await steps(job.run_id);
  assert.deepEqual(x.original_output, [1]);
  assert.equal(x.output, 'x');
});

test('J201 patches are refused: unknown step 404, no output 400, wrong states 412', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  assert.equal((await s.rest('POST', '/steps/patch', { step_id: 'step_0000000000000', output: 1 })).status, 404);
  assert.equal((await s.rest('POST', '/steps/patch', { output: 1 })).status, 400);
  ok(await f.w.update(job, { status: 'progress', steps: [step(job, 'a', 1), failed(job, 'b')] }));
  const [a, b] = await steps(run);
  assert.equal((await s.rest('POST', '/steps/patch', { step_id: a.id })).status, 400);
  assert.equal((await s.rest('POST', '/steps/patch', { step_id: b.id, output: 1 })).status, 412, 'of a running run only completed ones');
  ok(await s.rest('POST', '/steps/patch', { step_id: a.id, output: 11 }));
  ok(await f.w.update(job, { status: 'completed', output: 1 }));
  assert.equal((await s.rest('POST', '/steps/patch', { step_id: a.id, output: 12 })).status, 412);
});

test('J204 J211 PauseRun on a running run pauses at the next boundary; later reports are 409', async () => {
  const f = await held();
  const run = await s.getRun(f.run);
  assert.equal(run.status, 'paused');
  assert.equal(run.pause_reason, 'injection');
  assert.equal(run.pause_requested, undefined);
  for (const body of [{ status: 'progress', steps: [] }, { status: 'completed', output: 1 }, FAIL,
    { status: 'yielded', yield: { step_id: 'z', type: 'sleep', until: new Date(Date.now() + 1e6).toISOString() } }]) {
    const late = await f.w.update(f.job, body);
    assert.equal(late.status, 409, body.status);
    assert.equal(late.body.code, 'RUN_NOT_RUNNING');
  }
  assert.equal((await f.w.ack(f.job)).status, 409);
  assert.equal((await s.getRun(f.run)).status, 'paused');
  assert.equal(ok(await s.rpc('PauseRun', { runId: f.run })).status, 'paused');
  assert.equal((await f.w.poll()).status, 204);
});

test('J204 a yield consumes the flag; its sleep is noted, not followed', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  ok(await s.rpc('PauseRun', { run_id: run }));
  assert.equal((await s.getRun(run)).pause_requested, true);
  const until_ = new Date(Date.now() + 150).toISOString();
  ok(await f.w.update(job, { status: 'yielded', yield: { step_id: `${run}:nap:0`, type: 'sleep', until: until_ } }));
  assert.equal((await s.getRun(run)).pause_reason, 'injection');
  assert.equal(ok(await s.rpc('GetPausedState', { run_id: run })).next_step_hint, 'nap');
  await until('the sleep to be over', async () => (await steps(run))[0].status === 'completed');
  assert.equal((await s.getRun(run)).status, 'paused');
  ok(await resume(run));
  assert.deepEqual((await f.take()).completed_steps.map((x) => x.name), ['nap']);
});

test('J204 a retryable failure while flagged pauses instead of retrying', async () => {
  const f = await setup({ retry: { maxAttempts: 3, initialDelayMs: 1 } });
  const run = await f.emit();
  const job = await f.take();
  ok(await s.rpc('PauseRun', { run_id: run }));
  ok(await f.w.update(job, { ...FAIL, error: { ...FAIL.error, retryable: true } }));
  const found = await s.getRun(run);
  assert.equal(found.status, 'paused');
  assert.equal(found.pause_reason, 'injection');
  ok(await resume(run));
  assert.equal((await f.take()).attempt, 1);
});

test('J204 a completion and a terminal failure win over the flag', async () => {
  for (const body of [{ status: 'completed', output: 1 }, FAIL]) {
    const f = await setup();
    const run = await f.emit();
    const job = await f.take();
    assert.equal(ok(await s.rpc('PauseRun', { run_id: run })).status, 'pause_requested');
    ok(await f.w.update(job, body));
    const found = await s.getRun(run);
    assert.equal(found.status, body.status);
    assert.equal(found.pause_requested, undefined);
    const refused = await s.rpc('PauseRun', { run_id: run });
    assert.equal(refused.body.code, 'failed_precondition');
  }
  assert.equal((await s.rpc('PauseRun', { run_id: 'run_0000000000000' })).body.code, 'not_found');
});

test('J204 a queued run is flagged and pauses at its first report', async () => {
  const f = await setup();
  const run = await f.emit();
  assert.equal(ok(await s.rpc('PauseRun', { run_id: run })).status, 'pause_requested');
  assert.equal(ok(await s.rpc('PauseRun', { run_id: run })).status, 'pause_requested');
  const job = await f.take();
  ok(await f.w.update(job, { status: 'progress', steps: [step(job, 'a', 1)] }));
  assert.equal((await s.getRun(run)).status, 'paused');
});

test('J205 PauseRun on a sleeping run answers paused; a resume keeps the deadline of the sleep', async () => {
  const f = await setup();
  const run = await f.emit();
  const job = await f.take();
  const nap = { step_id: `${run}:nap:0`, type: 'sleep', until: new Date(Date.now() + 3600e3).toISOString() };
  ok(await f.w.update(job, { status: 'yielded', yield: nap }));
  assert.equal((await s.getRun(run)).pause_reason, 'sleep');
  assert.equal(ok(await s.rpc('PauseRun', { run_id: run })).status, 'paused');
  assert.equal((await s.getRun(run)).pause_reason, 'injection');
  ok(await resume(run));
  const again = await f.take();
  ok(await f.w.update(again, { status: 'yielded', yield: { ...nap, until: new Date(Date.now() + 7200e3).toISOString() } }));
  assert.equal((await s.getRun(run)).pause_reason, 'sleep');
  assert.equal(Date.parse((await steps(run))[0].sleep_until), Date.parse(nap.until));
});

test('J206 the paused state of a run that is not paused for injection is an error', async () => {
  const f = await setup();
  const run = await f.emit();
  assert.equal((await s.rpc('GetPausedState', { run_id: run })).body.code, 'failed_precondition');
  assert.equal((await s.rpc('GetPausedState', { run_id: 'run_0000000000000' })).body.code, 'not_found');
  assert.equal((await s.rpc('GetPausedState', {})).body.code, 'invalid_argument');
});

test('J207 J210 inject answers the previous output, keeps the first original, and the handler sees it', async () => {
  const f = await held();
  const [total] = await steps(f.run);
  const inject = (value) => s.rpc('InjectStepOutput', { run_id: f.run, step_id: total.id, new_output: JSON.stringify(value), reason: 'typo' });
  const first = ok(await inject({ total: 50 }));
  assert.equal(first.step_id, total.id);
  assert.equal(first.previous_output, '{"total":42}');
  assert.equal(ok(await inject({ total: 51 })).previous_output, '{"total":50}');
  const [now] = await steps(f.run);
  assert.deepEqual(now.original_output, { total: 42 });
  assert.ok(now.patched_at && now.patched_by);
  const state = ok(await s.rpc('GetPausedState', { run_id: f.run }));
  assert.deepEqual(state.steps.map((x) => [x.name, x.injected, x.output]),
    [['total', true, '{"total":51}'], ['tax', false, '8']]);
  ok(await resume(f.run));
  assert.deepEqual((await f.take()).completed_steps.map((x) => x.output), [{ total: 51 }, 8]);
});

test('J208 inject takes JSON text and base64 of it; other text is refused', async () => {
  const f = await held();
  const [total] = await steps(f.run);
  const inject = (new_output, extra = {}) => s.rpc('InjectStepOutput', { run_id: f.run, step_id: total.id, new_output, ...extra });
  ok(await inject(' {"a": 1e400} '));
  assert.match((await s.rest('GET', `/runs/${f.run}/steps`)).text, /\{"a": 1e400\}/);
  assert.equal(ok(await inject(Buffer.from('[1, 2]').toString('base64'))).previous_output, '{"a": 1e400}');
  assert.deepEqual((await steps(f.run))[0].output, [1, 2]);
  for (const bad of ['{', '', '&&&', Buffer.from('{').toString('base64')])
    assert.equal((await inject(bad)).body.code, 'invalid_argument', bad);
  assert.equal((await inject('1', { step_id: 'step_0000000000000' })).body.code, 'not_found');
  assert.equal((await inject('1', { run_id: 'run_0000000000000' })).body.code, 'not_found');
  ok(await resume(f.run));
  assert.equal((await inject('1')).body.code, 'failed_precondition');
});

test('J209 the paused state has both spellings; generated clients get one, with base64', async () => {
  const f = await held();
  const both = ok(await s.rpc('GetPausedState', { run_id: f.run }));
  assert.equal(both.pause_reason, 'injection');
  assert.equal(both.pauseReason, 'injection');
  assert.equal(both.steps[0].completed_at, both.steps[0].completedAt);
  assert.ok(Date.parse(both.steps[0].completedAt) > 0);
  assert.equal(both.steps[0].step_type, 'invoke');
  assert.equal(both.steps[0].status, 'completed');
  const strict = ok(await s.rpc('GetPausedState', { runId: f.run }, { 'connect-protocol-version': '1' }));
  assert.equal(strict.pause_reason, undefined);
  assert.equal(strict.pauseReason, 'injection');
  assert.equal(strict.steps[0].completed_at, undefined);
  assert.equal(Buffer.from(strict.steps[0].output, 'base64').toString(), '{"total":42}');
  const answer = ok(await s.rpc('InjectStepOutput',
    { runId: f.run, stepId: strict.steps[0].id, newOutput: Buffer.from('7').toString('base64') }, { 'connect-protocol-version': '1' }));
  assert.equal(Buffer.from(answer.previousOutput, 'base64').toString(), '{"total":42}');
});

test('J211 what a resumed run had before is stale or refused, whoever holds it now', async () => {
  const f = await held();
  ok(await resume(f.run));
  assert.equal((await f.w.update(f.job, { status: 'completed', output: 'late' })).body.code, 'RUN_NOT_RUNNING');
  const job = await f.take();
  assert.equal((await f.w.update(f.job, { status: 'completed', output: 'late' })).body.code, 'STALE_EXECUTION');
  ok(await f.w.update(job, { status: 'completed', output: 'mine' }));
  assert.equal((await s.getRun(f.run)).output, 'mine');
});

test('races: two resumes at once, one wins; a cancel and a report, one legal end', async () => {
  for (let i = 0; i < 5; i++) {
    const f = await failing();
    const codes = (await Promise.all([resume(f.run), resume(f.run), resume(f.run)])).map((r) => r.status).sort();
    assert.equal(codes[0], 200);
    assert.ok(codes.slice(1).every((c) => c === 412 || c === 409), `${codes}`);
    const job = await f.take();
    assert.equal((await f.w.poll()).status, 204, 'it is handed out once');
    const [report, cancel] = await Promise.all([
      f.w.update(job, { status: 'completed', output: 1 }), s.rest('POST', `/runs/${f.run}/cancel`, {})]);
    const end = (await s.getRun(f.run)).status;
    assert.deepEqual([report.status, cancel.status], end === 'completed' ? [200, 412] : [409, 200]);
  }
});

test('races: a pause and a completion at once end completed or paused, never both', async () => {
  for (let i = 0; i < 5; i++) {
    const f = await setup();
    const run = await f.emit();
    const job = await f.take();
    const [pause, report] = await Promise.all([
      s.rpc('PauseRun', { run_id: run }), f.w.update(job, { status: 'completed', output: 1 })]);
    assert.equal(report.status, 200);
    assert.equal((await s.getRun(run)).status, 'completed');
    assert.ok(pause.status === 200 || pause.body.code === 'failed_precondition', pause.text);
  }
});

test('flags, pauses and resumed runs survive a crash', async () => {
  const f = await held();
  const g = await setup();
  const run = await g.emit();
  await g.take();
  ok(await s.rpc('PauseRun', { run_id: run }));
  const r = await failing();
  ok(await resume(r.run));
  await s.crash();
  assert.equal((await s.getRun(f.run)).pause_reason, 'injection');
  assert.equal((await s.getRun(run)).pause_requested, true);
  assert.equal((await s.getRun(r.run)).status, 'running');
  await s.worker(r.w.id, [r.id]);
  assert.deepEqual((await r.take()).completed_steps.map((x) => x.name), ['reserve']);
});

test('lanes: a resumed run of a full lane says running and waits its turn', async () => {
  const f = await failing({ concurrency: { limit: 1 } });
  const blocker = await f.emit();
  const held_ = await f.take();
  assert.equal(held_.run_id, blocker);
  assert.equal(ok(await resume(f.run)).status, 'running');
  assert.equal((await f.w.poll()).status, 204);
  ok(await f.w.update(held_, { status: 'completed', output: 1 }));
  const job = await f.take();
  assert.equal(job.run_id, f.run);
  ok(await f.w.update(job, { status: 'completed', output: 1 }));
});

test('C170 D73 streams of a run: a list, empty until it touches one; 404 for an unknown run', async () => {
  const f = await setup();
  const run = await f.emit();
  assert.deepEqual(ok(await s.rest('GET', `/runs/${run}/streams`)), { entity_ids: [] });
  assert.equal((await s.rest('GET', '/runs/run_0000000000000/streams')).status, 404);
});
