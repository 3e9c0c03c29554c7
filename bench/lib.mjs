// What the rows of `make bench` share: a server of their own, its CPU and memory, the load generator, and
// the one place that prints. Figures of the server's CPU are sums over its threads in nanoseconds.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import http from 'node:http';
import { budgets } from './budgets.mjs';

export const build = process.env.BUILD ?? 'build';
export const scale = Number(process.env.BENCH_SCALE ?? 1);
export const scaled = (n, least = 1) => Math.max(least, Math.round(n * scale));
export const rpc = '/ironflow.v1.IronflowService/';
export const SYNC = `${rpc}TriggerSync`;
export const pause = (ms) => new Promise((r) => setTimeout(r, ms));
const round = (x) => Number(x.toPrecision(x >= 1000 ? Math.ceil(Math.log10(x)) : 4));

const compare = { '<=': (a, b) => a <= b, '<': (a, b) => a < b, '>=': (a, b) => a >= b };

/** One JSON line; with a budget (budgets.mjs) it says which figure keeps it. */
export function print(workload, figures) {
  const row = { workload };
  for (const [k, v] of Object.entries(figures)) row[k] = typeof v === 'number' ? round(v) : v;
  for (const [figure, [op, limit]] of Object.entries(budgets[workload] ?? {}))
    (row.budget ??= {})[`${figure} ${op} ${limit}`] = compare[op](figures[figure], limit) ? 'met' : 'MISSED';
  row.load1 = Number(loadavg()[0].toFixed(1));
  console.log(JSON.stringify(row));
}

export async function until(what, check, ms = 30000) {
  const end = performance.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error(`timed out: ${what}`);
    await pause(1);
  }
}

/** The part-th of the numbers, 0.5 the median. */
export const at = (list, part) => list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];

// What a row that fails leaves behind would go on for ever.
const left = { children: new Set(), dirs: new Set() };
process.on('exit', () => {
  for (const child of left.children) child.kill('SIGKILL');
  for (const dir of left.dirs) rmSync(dir, { recursive: true, force: true });
});
const run = (file, args, options) => {
  const child = spawn(file, args.map(String), options);
  left.children.add(child);
  child.on('exit', () => left.children.delete(child));
  return child;
};

/** A folder that goes with us. */
export function folder() {
  const dir = mkdtempSync(join(tmpdir(), 'ironflow-bench-'));
  left.dirs.add(dir);
  return dir;
}

export class Server {
  static async start({ dir, flags = [], env = {} } = {}) {
    const s = new Server();
    s.own = dir === undefined;
    s.dir = dir ?? folder();
    s.agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
    const start = performance.now();
    s.child = run(`${build}/ironflow`, ['serve', '--dev', '--port', '0', '--db', join(s.dir, 'bench.db'), ...flags],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, LOG_LEVEL: 'warn', ...env } });
    let text = '';
    s.child.stderr.on('data', (d) => (text += d));
    s.ended = new Promise((r) => s.child.on('exit', r));
    s.port = Number(await until('the banner', () => {
      if (s.child.exitCode !== null) throw new Error(text);
      return text.match(/http:\/\/(?:localhost|127\.0\.0\.1):(\d+)/)?.[1];
    }));
    s.url = `http://127.0.0.1:${s.port}`;
    await until('/health', () => fetch(`${s.url}/health`).then((r) => r.ok, () => false));
    s.startMs = performance.now() - start;
    return s;
  }

  /** Stops it; the folder goes unless it was given. */
  async stop() {
    this.agent.destroy();
    this.child.kill('SIGTERM');
    await this.ended;
    if (this.own) rmSync(this.dir, { recursive: true, force: true });
  }

  /** Of all its threads: 0 seconds on a CPU, 1 seconds in which they waited for one. */
  schedstat(field) {
    const tasks = `/proc/${this.child.pid}/task`;
    return readdirSync(tasks).reduce((sum, t) => sum + Number(readFileSync(`${tasks}/${t}/schedstat`, 'utf8').split(' ')[field]), 0) / 1e9;
  }

  cpuSeconds() {
    return this.schedstat(0);
  }

  rssMiB() {
    return Number(readFileSync(`/proc/${this.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;
  }

  /** {ms, status, body}; rejects from 300 on. */
  call(method, path, body) {
    return new Promise((resolve, reject) => {
      const from = performance.now(), text = body === undefined ? '' : JSON.stringify(body);
      const request = http.request({ host: '127.0.0.1', port: this.port, method, path, agent: this.agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } }, (r) => {
        let answer = '';
        r.on('data', (d) => (answer += d));
        r.on('end', () => {
          if (r.statusCode >= 300) reject(new Error(`${path}: ${r.statusCode} ${answer}`));
          else resolve({ ms: performance.now() - from, status: r.statusCode, body: answer === '' ? undefined : JSON.parse(answer) });
        });
      });
      request.on('error', reject);
      request.end(text);
    });
  }

  register(id, event, extra) {
    return this.call('POST', `${rpc}RegisterFunction`, { id, triggers: [{ event }], preferredMode: 'EXECUTION_MODE_PULL', ...extra });
  }

  /** Emits n events in batches; data(i) is the i-th one's. */
  async emitAll(event, n, data = () => ({})) {
    for (let i = 0; i < n; i += 500)
      await this.call('POST', `${rpc}TriggerBatch`,
        { events: Array.from({ length: Math.min(500, n - i) }, (_, k) => ({ event, data: data(i + k) })) });
  }

  async workers(n) {
    await until('the workers', async () => (await this.call('GET', '/api/v1/workers')).body.count >= n, 120000);
  }

  /** Runs n of something; resolves with {seconds, server_cpu_s_per_1000}. */
  async cpuOf(n, work) {
    const cpu = this.cpuSeconds(), from = performance.now();
    await work();
    return { seconds: (performance.now() - from) / 1000, server_cpu_s_per_1000: ((this.cpuSeconds() - cpu) / n) * 1000 };
  }

  /** The load generator: its JSON and the server's CPU. */
  async load(path, connections, requests, body) {
    const before = this.cpuSeconds();
    const row = await program('load', [this.port, path, connections, scaled(requests, connections), body]).result;
    row.server_cpu_s_per_1000 = ((this.cpuSeconds() - before) / row.requests) * 1000;
    return row;
  }
}

/** A program of the bench: `result` is the JSON that it prints at its end, stop() asks for it. */
export function program(name, args) {
  const child = run(`${build}/bench/${name}`, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (d) => (text += d));
  const result = new Promise((resolve, reject) => child.on('close', (code) => {
    if (code === 0) resolve(text === '' ? {} : JSON.parse(text));
    else reject(new Error(`${name} ended with ${code}`));
  }));
  return { child, result, stop: () => { child.kill('SIGTERM'); return result; } };
}

/** A tool of ours that must succeed. */
export function must(name, args) {
  if (spawnSync(`${build}/bench/${name}`, args.map(String), { stdio: 'inherit' }).status !== 0) throw new Error(`${name} failed`);
}
