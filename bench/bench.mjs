// make bench: the real server over loopback with full durability. One JSON line per workload; CPU is the
// server's own, seconds per 1,000 operations. BENCH=name,name picks workloads, BENCH_SCALE=0.1 shortens.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import net from 'node:net';

const build = process.env.BUILD ?? 'build';
const scale = Number(process.env.BENCH_SCALE ?? 1);
const wanted = process.env.BENCH ? process.env.BENCH.split(',') : null;
const TICK = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout);

const cpuSeconds = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICK;
};
const rssMiB = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;
const print = (row) => console.log(JSON.stringify(row));

async function until(what, check, ms = 30000) {
  const end = performance.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error(`timed out: ${what}`);
    await new Promise((r) => setTimeout(r, 1));
  }
}

async function serve(dir, flags = []) {
  const start = performance.now();
  const child = spawn(`${build}/ironflow`, ['serve', '--dev', '--port', '0', '--db', join(dir, 'bench.db'), ...flags],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, LOG_LEVEL: 'warn' } });
  let text = '';
  child.stderr.on('data', (d) => (text += d));
  const ended = new Promise((r) => child.on('exit', r));
  const port = await until('the banner', () => {
    if (child.exitCode !== null) throw new Error(text);
    return text.match(/http:\/\/(?:localhost|127\.0\.0\.1):(\d+)/)?.[1];
  });
  const url = `http://127.0.0.1:${port}`;
  await until('/health', () => fetch(`${url}/health`).then((r) => r.ok, () => false));
  return {
    child, url, port, startMs: performance.now() - start,
    stop: async () => { child.kill('SIGTERM'); await ended; },
    register: (id, event, extra) => fetch(`${url}/ironflow.v1.IronflowService/RegisterFunction`, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id, triggers: [{ event }], preferredMode: 'EXECUTION_MODE_PULL', ...extra }),
    }).then((r) => { if (!r.ok) throw new Error(`register ${r.status}`); }),
  };
}

/** Runs the load generator without blocking; resolves with its JSON and the server's CPU. */
async function load(server, path, connections, requests, body) {
  const n = Math.max(connections, Math.round(requests * scale));
  const before = cpuSeconds(server.child.pid);
  const child = spawn(`${build}/bench/load`, [server.port, path, connections, n, body].map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (d) => (text += d));
  const code = await new Promise((r) => child.on('exit', r));
  if (code !== 0) throw new Error(`load ended with ${code}`);
  const row = JSON.parse(text);
  row.server_cpu_s_per_1000 = Number((((cpuSeconds(server.child.pid) - before) / row.requests) * 1000).toFixed(4));
  return row;
}

function worker(server, mode) {
  const child = spawn(`${build}/bench/worker`, [server.url, mode, '64'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = new Promise((r) => child.on('exit', r));
  return { child, stop: async () => { child.kill('SIGTERM'); await ended; } };
}

/** A push endpoint that answers at once; raw, so that it costs less than what it measures. */
async function endpoint() {
  const body = '{"status":"completed","steps":[],"result":{"ok":true}}';
  const reply = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  const server = net.createServer((socket) => {
    let text = '';
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (d) => {
      text += d.toString('latin1');
      for (;;) {
        const head = text.indexOf('\r\n\r\n');
        if (head < 0) return;
        const end = head + 4 + Number(/content-length: (\d+)/i.exec(text.slice(0, head))[1]);
        if (text.length < end) return;
        text = text.slice(end);
        socket.write(reply);
      }
    });
  });
  await new Promise((r) => server.listen(0, '127.0.0.1', r));
  return server;
}

const SYNC = '/ironflow.v1.IronflowService/TriggerSync';

/** What recording adds: the same runs with and without, in turns, so that both meet the same machine. */
async function recording(server, suffix) {
  const w = worker(server, 'final');
  const cpu = { off: 0, on: 0 }, turns = 3;
  await until('the worker', () => fetch(`${server.url}/api/v1/workers`).then((r) => r.json()).then((j) => j.count > 0));
  for (let i = 0; i < 2 * turns; i++) {
    const mode = i % 2 ? 'on' : 'off';
    await server.register('bench-final', 'bench.final', { recording: mode === 'on', recordingRetention: '7d' });
    await load(server, SYNC, 64, 2000, '{"event":"bench.final","data":{"n":%n}}');
    cpu[mode] += (await load(server, SYNC, 64, 20000, '{"event":"bench.final","data":{"n":%n}}')).server_cpu_s_per_1000;
  }
  print({ workload: `recording${suffix}`, server_cpu_s_per_1000: Number((cpu.on / turns).toFixed(4)),
    without: Number((cpu.off / turns).toFixed(4)), added_percent: Number((100 * (cpu.on / cpu.off - 1)).toFixed(1)) });
  await w.stop();
}

/** Emit, runs and latency on one server; names get the suffix. */
async function figures(server, suffix) {
  const want = (name) => !wanted || wanted.includes(name);
  if (want('emit')) {
    await server.register('bench-emit', 'bench.emit');
    await load(server, '/api/v1/events', 64, 5000, '{"name":"bench.emit","data":{"n":%n}}');
    print({ workload: `emit${suffix}`, ...(await load(server, '/api/v1/events', 64, 100000, '{"name":"bench.emit","data":{"n":%n}}')) });
    print({ workload: `emit_key${suffix}`, ...(await load(server, '/api/v1/events', 64, 100000, '{"name":"bench.emit","data":{"n":%n},"idempotency_key":"%r"}')) });
  }
  for (const mode of ['final', 'progress']) {
    if (!want('runs')) continue;
    const w = worker(server, mode);
    await until('the worker', () => fetch(`${server.url}/api/v1/workers`).then((r) => r.json()).then((j) => j.count > 0));
    const body = `{"event":"bench.${mode}","data":{"n":%n}}`;
    await load(server, SYNC, 64, 3000, body);
    print({ workload: `runs_3_steps_${mode}${suffix}`, ...(await load(server, SYNC, 64, mode === 'final' ? 60000 : 20000, body)) });
    if (mode === 'final')
      print({ workload: `run_latency${suffix}`, ...(await load(server, SYNC, 1, 3000, body)) });
    await w.stop();
  }
  if (want('recording')) await recording(server, suffix);
  if (want('push')) {
    const server2 = await endpoint();
    await server.register('bench-push', 'bench.push', { preferredMode: 'EXECUTION_MODE_PUSH',
      endpointUrl: `http://127.0.0.1:${server2.address().port}/` });
    const body = '{"event":"bench.push","data":{"n":%n}}';
    await load(server, SYNC, 64, 3000, body);
    print({ workload: `push${suffix}`, ...(await load(server, SYNC, 64, 40000, body)) });
    print({ workload: `push_latency${suffix}`, ...(await load(server, SYNC, 1, 3000, body)) });
    server2.close();
  }
}

async function main() {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-bench-'));
  try {
    const want = (name) => !wanted || wanted.includes(name);
    if (want('start')) {
      const times = [];
      let rss = 0;
      for (let i = 0; i < 5; i++) {
        const each = mkdtempSync(join(dir, 'start-'));
        const s = await serve(each);
        times.push(s.startMs);
        await new Promise((r) => setTimeout(r, 500));
        rss = Math.max(rss, rssMiB(s.child.pid));
        await s.stop();
      }
      times.sort((a, b) => a - b);
      print({ workload: 'start', to_health_ms_median: Number(times[2].toFixed(1)), idle_rss_mib: Number(rss.toFixed(1)) });
    }
    let server = await serve(dir);
    await figures(server, '');
    print({ workload: 'after_load', rss_mib: Number(rssMiB(server.child.pid).toFixed(1)) });
    await server.stop();
    if (want('growth')) {
      const big = mkdtempSync(join(dir, 'big-'));
      server = await serve(big);
      await server.register('bench-old', 'bench.old');
      await server.register('bench-idle', 'bench.idle');
      await server.stop();
      const seed = spawnSync(`${build}/bench/seed`, [join(big, 'bench.db'), String(Math.round(1e6 * scale)), String(Math.round(1e5 * scale))], { stdio: 'inherit' });
      if (seed.status !== 0) throw new Error('seed failed');
      server = await serve(big);
      print({ workload: 'start_grown', to_health_ms: Number(server.startMs.toFixed(1)) });
      await figures(server, '_grown');
      await server.stop();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();
