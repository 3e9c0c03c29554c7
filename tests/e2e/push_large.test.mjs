// A run whose results fit into no request: it fails by itself, and its endpoint has no part in it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { Server } from './lib.mjs';

test('a run whose results fit into no request fails, and the breaker learns nothing', async () => {
  const s = await Server.start();
  let calls = 0;
  const endpoint = http.createServer((request, response) => { calls++; response.end('{}'); });
  await new Promise((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
  try {
    const fn = { id: 'large', triggers: [{ event: 'large.go' }], retry: { maxAttempts: 2, initialDelayMs: 10 } };
    const output = 'x'.repeat(4_000_000);

    assert.equal((await s.rpc('RegisterFunction', fn)).status, 200);
    const w = await s.worker('w', ['large']);
    const run = (await s.rest('POST', '/events', { name: 'large.go', data: {} })).body.run_ids[0];
    const job = await w.take();
    for (let i = 0; i < 17; i++) {
      const step = { id: `${run}:s${i}:0`, name: `s${i}`, status: 'completed', output };
      assert.equal((await w.update(job, { status: 'progress', steps: [step] })).status, 200);
    }
    const url = `http://127.0.0.1:${endpoint.address().port}/`;
    assert.equal((await s.rpc('RegisterFunction', { ...fn, endpointUrl: url })).status, 200);
    assert.equal((await w.update(job, { status: 'failed', error: { message: 'again' } })).status, 200);
    const ended = await s.untilRun(run, 'failed');
    assert.equal(ended.error.code, 'PUSH_REQUEST_TOO_LARGE');
    assert.match(ended.error.message, /64 MiB/);
    assert.equal(calls, 0);
    assert.deepEqual((await s.rest('GET', '/circuit-breakers')).body.circuit_breakers, []);
  } finally {
    endpoint.close();
    await s.stop();
  }
});
