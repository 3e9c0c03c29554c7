// GET /metrics after some work: every promised family, sums that fit, labels that are bounded.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Server, step } from './lib.mjs';

/** Samples as a map from `name{labels}` to a number; fails on what is no Prometheus text or double. */
function samples(text) {
  const found = new Map(), families = new Set();
  let family = '';
  for (const line of text.trimEnd().split('\n')) {
    const type = line.match(/^# TYPE (\S+) (counter|gauge|histogram)$/);
    if (type) {
      assert.ok(!families.has(type[1]), `family ${type[1]} twice`);
      families.add(family = type[1]);
      continue;
    }
    if (line.startsWith('# HELP ')) continue;
    const m = line.match(/^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (\d+(?:\.\d+)?)$/);
    assert.ok(m, `not a sample: ${line}`);
    assert.ok(m[1] === family || [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(m[1]), `${line} in ${family}`);
    assert.ok(!found.has(m[1] + (m[2] ?? '')), `twice: ${line}`);
    found.set(m[1] + (m[2] ?? ''), Number(m[3]));
  }
  return { found, families };
}

test('runs, steps and workers are counted when what they did is stored', async (t) => {
  const s = await Server.start({ env: { IRONFLOW_METRICS_ENABLED: 'true' } });
  t.after(() => s.stop());
  await s.register('order', 'order.go', { retry: { maxAttempts: 1 } });
  const w = await s.worker('w', ['order']);
  const odd = 'na"me\\x';
  for (let i = 0; i < 3; i++) {
    await s.rest('POST', '/events', { name: 'order.go' });
    const job = await w.take();
    const steps = [step(job, 'charge', 1, { duration_ms: 30 }), step(job, odd, 1, { duration_ms: 700 })];
    if (i < 2) await w.update(job, { status: 'completed', output: 1, steps });
    else await w.update(job, { status: 'failed', error: { message: 'x', retryable: false }, steps: [{ ...steps[0], status: 'failed', output: undefined, error: { message: 'x' } }] });
  }
  const { found, families } = samples((await s.rest('GET', '/metrics')).text);
  for (const name of ['ironflow_run_duration_seconds', 'ironflow_steps_total', 'ironflow_step_duration_seconds', 'ironflow_worker_disconnects_total', 'ironflow_runs_total', 'ironflow_active_runs'])
    assert.ok(families.has(name), name);
  const run = 'function_id="order",environment="env_default"', charge = 'function_id="order",step_name="charge"';
  const other = 'function_id="order",step_name="na\\"me\\\\x"';
  assert.equal(found.get(`ironflow_run_duration_seconds_count{${run}}`), 3);
  assert.equal(found.get(`ironflow_run_duration_seconds_bucket{${run},le="+Inf"}`), 3);
  assert.ok(found.get(`ironflow_run_duration_seconds_sum{${run}}`) >= 0);
  assert.equal(found.get(`ironflow_steps_total{${charge},status="completed"}`), 2);
  assert.equal(found.get(`ironflow_steps_total{${charge},status="failed"}`), 1);
  assert.equal(found.get(`ironflow_steps_total{${other},status="completed"}`), 2);
  assert.equal(found.get(`ironflow_step_duration_seconds_bucket{${charge},le="0.025"}`), 0);
  assert.equal(found.get(`ironflow_step_duration_seconds_bucket{${charge},le="0.05"}`), 3);
  assert.equal(found.get(`ironflow_step_duration_seconds_sum{${other}}`), 1.4);
  assert.equal(found.get(`ironflow_step_duration_seconds_bucket{${other},le="1"}`), 2);
  assert.equal(found.get('ironflow_worker_disconnects_total{reason="heartbeat_timeout"}'), 0);
});
