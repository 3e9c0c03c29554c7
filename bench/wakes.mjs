// make bench-wakes: one event wakes 100,000 runs (BENCH_SCALE shortens). How long its answer takes, when
// all are awake, what others feel meanwhile, what it costs the server.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import http from 'node:http';

const build = process.env.BUILD ?? 'build';
const runs = Math.round(100000 * Number(process.env.BENCH_SCALE ?? 1));
const WORKERS = 4, TICK_MS = 10;
const dir = mkdtempSync(join(tmpdir(), 'ironflow-bench-'));
const agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
const child = spawn(`${build}/ironflow`, ['serve', '--dev', '--port', '0', '--db', join(dir, 'bench.db')],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, LOG_LEVEL: 'warn' } });
const ended = new Promise((r) => child.on('exit', r));
const port = await new Promise((resolve) => {
  let text = '';
  child.stderr.on('data', (d) => {
    text += d;
    const match = text.match(/http:\/\/(?:localhost|127\.0\.0\.1):(\d+)/);
    if (match) resolve(Number(match[1]));
  });
});

const cpuMs = () => {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
};
const call = (method, path, body) => new Promise((resolve, reject) => {
  const from = performance.now(), text = body === undefined ? '' : JSON.stringify(body);
  const request = http.request({ host: '127.0.0.1', port, method, path, agent,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } }, (r) => {
    let answer = '';
    r.on('data', (d) => (answer += d));
    r.on('end', () => {
      if (r.statusCode >= 300) reject(new Error(`${path}: ${r.statusCode} ${answer}`));
      else resolve({ ms: performance.now() - from, body: answer === '' ? undefined : JSON.parse(answer) });
    });
  });
  request.on('error', reject);
  request.end(text);
});
const at = (list, part) => Number(list.sort((a, b) => a - b)[Math.floor(list.length * part)].toFixed(2));

/** Each run yields on the same event. */
async function park() {
  const rpc = '/ironflow.v1.IronflowService/';
  let parked = 0;
  await call('POST', `${rpc}RegisterFunction`, { id: 'f', triggers: [{ event: 'go' }], preferredMode: 'EXECUTION_MODE_PULL' });
  for (let i = 0; i < runs; i += 500)
    await call('POST', `${rpc}TriggerBatch`, { events: Array.from({ length: Math.min(500, runs - i) }, () => ({ event: 'go', data: {} })) });
  await Promise.all(Array.from({ length: WORKERS }, async (_, w) => {
    const path = `/api/v1/workers/w${w}`;
    await call('POST', `${path}/register`, { function_ids: ['f'], max_concurrent_jobs: 1000 });
    while (parked < runs) {
      const { body } = await call('GET', `${path}/jobs?available=256`);
      await Promise.all((body?.jobs ?? []).map(async (j) => {
        await call('PUT', `${path}/jobs/${j.job_id}`, { status: 'yielded', execution_seq: j.execution_seq,
          lease_token: j.lease_token, yield: { step_id: `${j.run_id}:ok:0`, type: 'wait_for_event', event_filter: { event: 'ok' } } });
        parked++;
      }));
    }
  }));
}

try {
  await park();
  const before = [], during = [], cpu = cpuMs(), from = performance.now();
  const other = () => call('POST', '/api/v1/events', { name: 'nobody.listens', data: {} });
  for (let i = 0; i < 300; i++) before.push((await other()).ms);
  const { ms } = await call('POST', '/api/v1/events', { name: 'ok', data: { by: 'bench' } });
  for (;;) {
    during.push((await other()).ms);
    const left = (await call('GET', '/api/v1/runs?function_id=f&status=paused&limit=1')).body.total_count;
    if (left === 0) break;
  }
  console.log(JSON.stringify({ workload: 'wakes', runs, answer_ms: Number(ms.toFixed(2)),
    all_awake_s: Number(((performance.now() - from) / 1000).toFixed(2)), others_p50_ms: at(during, 0.5),
    others_p99_ms: at(during, 0.99), others_p99_before_ms: at(before, 0.99), cpu_ms: cpuMs() - cpu }));
} finally {
  agent.destroy();
  child.kill('SIGTERM');
  await ended;
  rmSync(dir, { recursive: true, force: true });
}
