// The real server over real sockets: started on a free port with its own database, stopped by pid.
// IRONFLOW_BIN names the program, IRONFLOW_TEST_PG_URL (postgres://.../postgres) selects PostgreSQL.
import { after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, readFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import net from 'node:net';
import http from 'node:http';

export const bin = resolve(process.env.IRONFLOW_BIN ?? 'build/ironflow-san');
export const pgUrl = process.env.IRONFLOW_TEST_PG_URL ?? '';

/** Polls a condition until it is truthy; never a bare sleep. The limit only ends what hangs: it is far
 *  beyond what a slow and loaded machine needs. */
export async function until(what, check, timeoutMs = 60000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`timed out after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const servers = new Set();

// What a failed test left running would keep the suite waiting for ever.
after(async () => {
  for (const server of servers) await server.stop();
});

let databases = 0;

/** A fresh PostgreSQL database on the test cluster; its URL. */
async function createDatabase() {
  const name = `ironflow_${process.pid}_${Date.now().toString(36)}_${databases++}`;
  const url = new URL(pgUrl);
  await run('psql', [pgUrl, '-qc', `CREATE DATABASE ${name}`]);
  url.pathname = `/${name}`;
  return url.toString();
}

/** Runs a program to its end, two minutes at most; resolves with {code, signal, stdout, stderr}. Rejects
 *  only if it cannot start. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args,
      { stdio: ['pipe', 'pipe', 'pipe'], timeout: 120000, killSignal: 'SIGKILL', ...options });
    let stdout = '', stderr = '';
    child.stdout?.on('data', (d) => (stdout += d));
    child.stderr?.on('data', (d) => (stderr += d));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    if (options.input === undefined) child.stdin.end();
    else child.stdin.end(options.input);
  });
}

export class Server {
  constructor(options = {}) {
    this.options = options;
    this.dir = options.dir ?? mkdtempSync(join(tmpdir(), 'ironflow-e2e-'));
    this.stderr = '';
  }

  /** Starts with --port 0 (or the former port) and waits until /health answers. */
  static async start(options = {}) {
    const server = new Server(options);
    if (pgUrl && !options.sqlite) server.pg = options.pg ?? (await createDatabase());
    await server.launch();
    return server;
  }

  args() {
    const { dev = true, flags = [] } = this.options;
    const list = ['serve', '--port', String(this.port ?? 0), '--db', join(this.dir, 'ironflow.db'),
      '--bootstrap-key-file', join(this.dir, 'key.json')];
    if (this.pg) list.push('--nats-store-dir', join(this.dir, 'messages'));
    if (dev) list.push('--dev');
    return [...list, ...flags];
  }

  async launch() {
    this.stderr = '';
    const env = { PATH: process.env.PATH, HOME: this.dir, LOG_LEVEL: 'info', ...this.options.env };
    if (this.pg) env.IRONFLOW_DATABASE_URL = this.pg;
    this.child = spawn(this.options.bin ?? bin, this.args(), { stdio: ['ignore', 'pipe', 'pipe'], env, cwd: this.options.cwd });
    servers.add(this);
    this.exited = new Promise((resolve) => this.child.on('exit', (code, signal) => {
      servers.delete(this);
      this.ended = { code, signal };
      resolve(this.ended);
    }));
    this.child.stderr.on('data', (d) => (this.stderr += d));
    this.child.stdout.on('data', (d) => (this.stderr += d));
    try {
      await this.ready();
    } catch (e) { // or the suite would wait for it for ever
      this.child.kill('SIGKILL');
      throw e;
    }
    const file = join(this.dir, 'key.json');
    if (existsSync(file)) this.key = JSON.parse(readFileSync(file, 'utf8')).key;
  }

  async ready() {
    await until('the server to print its address', () => {
      if (this.ended) throw new Error(`server ended: ${JSON.stringify(this.ended)}\n${this.stderr}`);
      const match = this.stderr.match(/http:\/\/(?:localhost|127\.0\.0\.1):(\d+)/);
      if (match) this.port = Number(match[1]);
      return match;
    });
    this.url = `http://127.0.0.1:${this.port}`;
    await until('/health', async () => {
      if (this.ended) throw new Error(`server ended: ${JSON.stringify(this.ended)}\n${this.stderr}`);
      return fetch(`${this.url}/health`).then((r) => r.ok, () => false);
    });
  }

  /** kill -9, then the same database again on the same port. */
  async crash() {
    this.child.kill('SIGKILL');
    await this.exited;
    this.ended = undefined;
    await this.launch();
  }

  async stop() {
    if (!this.ended) this.child.kill('SIGTERM');
    const patience = setTimeout(() => this.child.kill('SIGABRT'), 120000);
    const end = await this.exited;
    clearTimeout(patience);
    if (end.signal === 'SIGABRT' || /(Address|Leak|Thread)Sanitizer|runtime error: /.test(this.stderr))
      throw new Error(`the server ended too late, aborted or was found at fault\n${this.stderr.slice(-6000)}`);
    if (!this.options.dir) rmSync(this.dir, { recursive: true, force: true });
    return end;
  }

  headers(extra = {}) {
    const auth = this.options.dev === false ? { authorization: `Bearer ${this.key}` } : {};
    return { 'content-type': 'application/json', ...auth, ...extra };
  }

  /** A REST call; resolves with {status, body, headers, text}. A string body is sent as it is. */
  async rest(method, path, body, headers = {}) {
    const response = await fetch(this.url + (path.startsWith('/api') || path === '/health' ||
      path === '/ready' || path === '/metrics' ? path : `/api/v1${path}`), {
      method,
      headers: this.headers(headers),
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    let json;
    try { json = text === '' ? undefined : JSON.parse(text); } catch { json = undefined; }
    return { status: response.status, body: json, text, headers: response.headers };
  }

  /** A Connect unary call in JSON. */
  rpc(method, body = {}, headers = {}) {
    const path = method.includes('/') ? method : `IronflowService/${method}`;
    return fetch(`${this.url}/ironflow.v1.${path}`, {
      method: 'POST', headers: this.headers(headers), body: JSON.stringify(body),
    }).then(async (r) => {
      const text = await r.text();
      return { status: r.status, body: text === '' ? undefined : JSON.parse(text), text, headers: r.headers };
    });
  }

  async register(id, event, extra = {}) {
    const answer = await this.rpc('RegisterFunction', {
      id, triggers: event ? [{ event }] : [], preferredMode: 'EXECUTION_MODE_PULL', ...extra,
    });
    if (answer.status !== 200) throw new Error(`register ${id}: ${answer.text}`);
    return answer.body;
  }

  async worker(id, functions, extra = {}) {
    const answer = await this.rest('POST', `/workers/${id}/register`, {
      worker_id: id, hostname: 'test', function_ids: functions, max_concurrent_jobs: 10, ...extra,
    });
    if (answer.status !== 200) throw new Error(`worker ${id}: ${answer.text}`);
    return new Worker(this, id);
  }

  /** A query on the server's database, beside the server; resolves with its first column as text. */
  async sql(text) {
    const done = this.pg ? await run('psql', [this.pg, '-Atqv', 'ON_ERROR_STOP=1', '-c', text])
      : await run('sqlite3', ['-bail', '-cmd', '.timeout 10000', join(this.dir, 'ironflow.db'), text]);
    if (done.code !== 0) throw new Error(`sql: ${done.stderr}`);
    return done.stdout.trim();
  }

  getRun(id) {
    return this.rest('GET', `/runs/${id}`).then((r) => r.body);
  }

  untilRun(id, status, timeoutMs) {
    const words = [].concat(status);
    return until(`run ${id} to be ${words}`, async () => {
      const found = await this.getRun(id);
      return words.includes(found?.status) && found;
    }, timeoutMs);
  }
}

/** A pull worker that does only what it is told, one request at a time. */
export class Worker {
  constructor(server, id) {
    this.server = server;
    this.id = id;
  }

  poll(available = 1) {
    const query = available === undefined ? '' : `?available=${available}`;
    return this.server.rest('GET', `/workers/${this.id}/jobs${query}`);
  }

  /** Polls until there are jobs. */
  async take(available = 1, timeoutMs = undefined) {
    const answer = await until(`a job for ${this.id}`, async () => {
      const reply = await this.poll(available);
      if (reply.status === 200 && reply.body.jobs.length > 0) return reply;
      if (reply.status !== 204) throw new Error(`poll: ${reply.status} ${reply.text}`);
      return null;
    }, timeoutMs);
    return available === 1 ? answer.body.jobs[0] : answer.body.jobs;
  }

  fence(job) {
    return { execution_seq: job.execution_seq, lease_token: job.lease_token };
  }

  ack(job, extra = {}) {
    return this.server.rest('PUT', `/workers/${this.id}/jobs/${job.job_id}/ack`,
      { run_id: job.run_id, ...this.fence(job), ...extra });
  }

  update(job, body) {
    return this.server.rest('PUT', `/workers/${this.id}/jobs/${job.job_id}`,
      { ...this.fence(job), ...body });
  }

  heartbeat(body) {
    return this.server.rest('POST', `/workers/${this.id}/heartbeat`, { worker_id: this.id, ...body });
  }
}

/** A finished invoke step as workers report it. */
export function step(job, name, output, extra = {}) {
  const now = Date.now();
  return {
    id: `${job.run_id}:${name}:0`, name, type: 'invoke', status: 'completed',
    started_at: new Date(now - 5).toISOString(), ended_at: new Date(now).toISOString(),
    duration_ms: 5, output, ...extra,
  };
}

/** Sends raw bytes on a fresh connection; resolves with all that came back when the peer closed or
 * `enough(text)` says so. */
export function raw(port, chunks, { enough = () => false, halfClose = false, timeoutMs = 60000 } = {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let text = '';
    const finish = () => { clearTimeout(timer); socket.destroy(); resolve(text); };
    const timer = setTimeout(() => { socket.destroy(); reject(new Error(`no end; got: ${text}`)); }, timeoutMs);
    socket.on('data', (d) => { text += d.toString('latin1'); if (enough(text)) finish(); });
    socket.on('error', () => finish());
    socket.on('close', () => finish());
    socket.on('connect', () => {
      for (const chunk of [].concat(chunks)) socket.write(chunk);
      if (halfClose) socket.end();
    });
  });
}

/** One request on its own agent, abortable: {promise, abort}. */
export function abortable(server, method, path) {
  let request;
  const promise = new Promise((resolve, reject) => {
    request = http.request(server.url + path, { method, headers: server.headers(), agent: false },
      (response) => {
        let text = '';
        response.on('data', (d) => (text += d));
        response.on('end', () => resolve({ status: response.statusCode, text }));
      });
    request.on('error', reject);
    request.end();
  });
  return { promise, abort: () => request.destroy() };
}

/** A function of its own with one worker: emit makes a run of it, take its acknowledged job. */
export async function served(server, id, extra) {
  const ok = (answer) => { assert.equal(answer.status, 200, answer.text); return answer.body; };
  await server.register(id, `${id}.go`, extra);
  const w = await server.worker(`w-${id}`, [id]);
  return {
    id, w,
    emit: async (data = {}) => ok(await server.rest('POST', '/events', { name: `${id}.go`, data })).run_ids[0],
    take: async () => { const job = await w.take(); ok(await w.ack(job)); return job; },
  };
}
