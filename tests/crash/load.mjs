// Load at full speed against a server that is killed again and again, and the accounts of what it
// acknowledged. Whoever hears no answer repeats the message, as clients do.
import http from 'node:http';
import { until } from '../e2e/lib.mjs';

const NAMES = ['a', 'b', 'c'];

export class Load {
  constructor(server, leaseMs) {
    this.server = server;
    this.leaseMs = leaseMs;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
    this.other = new http.Agent({ keepAlive: true, maxSockets: 16 });
    this.runs = new Map(); // id -> what was acknowledged of it
    this.events = new Map(); // n -> {id, key}
    this.open = 0;
    this.sent = 0;
    this.emitting = true;
    this.working = true;
    this.faults = [];
    this.n = { emits: 0, acks: 0, progress: 0, completions: 0, failures: 0, sleeps: 0, reads: 0,
      unanswered: 0, refused: 0, steps: 0, workers_killed: 0 };
    this.lives = [];
  }

  fault(text) {
    if (this.faults.length < 20) this.faults.push(text);
    this.lost = true;
  }

  run(id) {
    let run = this.runs.get(id);
    if (!run) {
      run = { id, steps: new Map(), seq: 0, heldUntil: 0, output: undefined, closed: false };
      this.runs.set(id, run);
    }
    return run;
  }

  /** One request; undefined when no answer came. */
  call(method, path, body, agent = this.agent) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve) => {
      const request = http.request({
        host: '127.0.0.1', port: this.server.port, method, path: `/api/v1${path}`, agent,
        headers: text === undefined ? {} : {
          'content-type': 'application/json', 'content-length': Buffer.byteLength(text),
        },
      }, (response) => {
        const chunks = [];
        response.on('data', (d) => chunks.push(d));
        response.on('error', () => resolve(undefined));
        response.on('aborted', () => resolve(undefined));
        response.on('end', () => {
          if (!response.complete) { resolve(undefined); return; }
          const all = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode, body: all === '' ? undefined : JSON.parse(all) });
        });
      });
      request.on('error', () => resolve(undefined));
      request.end(text);
    });
  }

  /** Repeats until there is an answer that is not 503; undefined when the sender has died. */
  async insist(method, path, body, life = {}) {
    for (;;) {
      if (life.dead) return undefined;
      const answer = await this.call(method, path, body);
      if (answer && answer.status !== 503) return answer;
      this.n.unanswered++;
      await pause(5 + Math.random() * 20);
    }
  }

  // ---- emitters ----

  async emitter() {
    while (this.emitting) {
      if (this.open > 400) { await pause(5); continue; }
      const n = ++this.sent;
      const key = n % 2 === 0 ? `key-${n}` : undefined;
      const body = { name: 'load.go', data: { n }, ...(key ? { idempotency_key: key } : {}) };
      const answer = key ? await this.insist('POST', '/events', body) : await this.call('POST', '/events', body);
      if (!answer) { this.n.unanswered++; await pause(10); continue; }
      if (answer.status === 503) { await pause(10); continue; }
      if (answer.status !== 200 || answer.body.run_ids.length !== 1) {
        this.fault(`emit ${n}: ${answer.status} ${JSON.stringify(answer.body)}`);
        continue;
      }
      this.n.emits++;
      this.open++;
      const id = answer.body.run_ids[0];
      this.run(id).emitted = true;
      this.events.set(n, { id: answer.body.event_id, key });
      if (n % 8 === 0) await this.readBack(id);
    }
  }

  /** On another connection, the moment the write was answered. */
  async readBack(id) {
    const answer = await this.call('GET', `/runs/${id}`, undefined, this.other);
    if (!answer || answer.status === 503) return;
    this.n.reads++;
    if (answer.status !== 200) this.fault(`run ${id} was acknowledged and reads ${answer.status}`);
  }

  // ---- workers ----

  async register(worker) {
    await this.insist('POST', `/workers/${worker}/register`, {
      worker_id: worker, hostname: 'crash', function_ids: ['load'], max_concurrent_jobs: 8,
    });
  }

  /** One worker slot: when its worker dies, with all its jobs, another one takes its place. */
  async worker(slot) {
    for (let life = 0; this.working; life++) {
      this.lives[slot] = { dead: false };
      await this.work(`w${slot}-${life}`, this.lives[slot]);
    }
  }

  /** The worker dies in the middle of whatever it does. */
  kill(slot) {
    this.lives[slot].dead = true;
    this.n.workers_killed++;
  }

  async work(id, life) {
    const active = new Set();
    await this.register(id);
    while (this.working && !life.dead) {
      if (active.size >= 8) { await Promise.race(active); continue; }
      const answer = await this.call('GET', `/workers/${id}/jobs?available=${8 - active.size}`);
      if (!answer || answer.status === 503) { await pause(10); continue; }
      if (answer.status === 404) { await this.register(id); continue; }
      if (answer.status === 204) await pause(5); // the server may still count jobs that we forgot
      for (const job of answer.body?.jobs ?? []) {
        const done = this.job(id, job, life).finally(() => active.delete(done));
        active.add(done);
      }
    }
    if (!life.dead) await Promise.all(active);
  }

  /** What is handed out may not contradict what was acknowledged. */
  handed(job) {
    const run = this.run(job.run_id);
    const has = new Map(job.completed_steps.map((s) => [s.name, JSON.stringify(s.output)]));
    if (job.execution_seq <= run.seq) this.fault(`${run.id}: fence ${job.execution_seq} after ${run.seq}`);
    if (run.output !== undefined) this.fault(`${run.id} is completed and is handed out`);
    if (Date.now() < run.heldUntil) this.fault(`${run.id}: its acknowledged lease was lost`);
    for (const [name, output] of run.steps) {
      if (has.get(name) !== output) this.fault(`${run.id}: step ${name} was acknowledged and is lost`);
    }
    run.seq = job.execution_seq;
    return { run, has };
  }

  /** Executes a step; one whose result was acknowledged may not come here. */
  step(run, job, name) {
    const now = Date.now();
    if (run.steps.has(name)) this.fault(`${run.id}: step ${name} is executed again`);
    this.n.steps++;
    return { id: `${run.id}:${name}:0`, name, type: 'invoke', status: 'completed',
      started_at: new Date(now - 1).toISOString(), ended_at: new Date(now).toISOString(),
      duration_ms: 1, output: { by: job.execution_seq, no: this.n.steps } };
  }

  async job(worker, job, life) {
    const { run, has } = this.handed(job);
    const path = `/workers/${worker}/jobs/${job.job_id}`;
    const fence = { execution_seq: job.execution_seq, lease_token: job.lease_token };
    if (Math.random() < 0.001) { await this.late(run, job, path, fence); return; }
    if (life.dead) return;
    const began = Date.now();
    const ack = await this.insist('PUT', `${path}/ack`, { run_id: run.id, ...fence }, life);
    if (!ack) return;
    if (ack.status !== 200) { this.refused(ack, path); return; }
    this.n.acks++;
    if (run.seq === job.execution_seq) run.heldUntil = began + this.leaseMs;
    let tail = [], offset = job.step_sequence_base;
    for (const name of NAMES) {
      if (has.has(name)) continue;
      if (Math.random() < 0.001) return; // it forgets the job between two steps
      tail.push(this.step(run, job, name));
      if (Math.random() < 0.5) continue;
      const sent = Date.now();
      const answer = await this.insist('PUT', path,
        { status: 'progress', steps: tail, step_offset: offset, ...fence }, life);
      if (!answer) return;
      if (answer.status !== 200) { this.refused(answer, path); return; }
      this.n.progress++;
      if (run.seq === job.execution_seq) run.heldUntil = sent + this.leaseMs;
      this.keep(run, tail);
      offset += tail.length;
      tail = [];
    }
    await this.final(run, path, { steps: tail, step_offset: offset, ...fence }, life);
  }

  /** A worker that forgets its job and remembers it when others have had it. */
  async late(run, job, path, fence) {
    await until(`run ${run.id} to be handed out again`, () => run.seq > job.execution_seq || !this.working);
    if (run.seq === job.execution_seq) return;
    const answer = await this.insist('PUT', path, { status: 'completed', output: 'late', ...fence });
    if (answer.status === 200) this.fault(`${path}: an old fence was accepted`);
    this.refused(answer, path);
  }

  keep(run, steps) {
    for (const s of steps) run.steps.set(s.name, JSON.stringify(s.output));
  }

  async final(run, path, rest, life) {
    const roll = Math.random();
    let body = { status: 'completed', output: { done: run.id, no: this.n.steps }, ...rest };
    if (roll < 0.02) body = { status: 'failed', error: { message: 'again', retryable: true }, ...rest };
    else if (roll < 0.04 && !run.slept) {
      body = { status: 'yielded', yield: { step_id: `${run.id}:nap:0`, type: 'sleep',
        until: new Date(Date.now() + 150).toISOString() }, ...rest };
    }
    run.heldUntil = 0; // from here on somebody else may get it
    const answer = await this.insist('PUT', path, body, life);
    if (!answer) return;
    if (answer.status !== 200) { this.refused(answer, path); return; }
    this.keep(run, rest.steps);
    if (body.status === 'failed') { this.n.failures++; return; }
    if (body.status === 'yielded') { this.n.sleeps++; run.slept = true; return; }
    this.n.completions++;
    run.output = JSON.stringify(body.output);
    if (run.emitted && !run.closed) { run.closed = true; this.open--; }
  }

  refused(answer, path) {
    this.n.refused++;
    if (answer.status !== 409) this.fault(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }

  // ---- the account ----

  /** Every acknowledged emit, step and completion is there. */
  async account() {
    const ids = [...this.runs.keys()];
    await Promise.all(Array.from({ length: 32 }, async () => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) await this.accountRun(this.runs.get(id));
    }));
    await this.accountEvents();
  }

  async accountRun(run) {
    const found = await this.call('GET', `/runs/${run.id}`);
    if (found?.status !== 200) { this.fault(`run ${run.id} is lost: ${found?.status}`); return; }
    if (found.body.status !== 'completed') this.fault(`run ${run.id} is ${found.body.status}`);
    if (run.output !== undefined && JSON.stringify(found.body.output) !== run.output) {
      this.fault(`run ${run.id}: its completion is lost`);
    }
    const steps = await this.call('GET', `/runs/${run.id}/steps`);
    const kept = new Map(steps.body.steps.map((s) => [s.name, s]));
    for (const [name, output] of run.steps) {
      const s = kept.get(name);
      if (s?.status !== 'completed' || JSON.stringify(s.output) !== output) {
        this.fault(`run ${run.id}: step ${name} is lost`);
      }
    }
  }

  /** All events once: an acknowledged one is there, a key made no two. */
  async accountEvents() {
    const seen = new Map();
    for (let cursor = ''; ;) {
      const page = await this.call('GET', `/events?limit=100${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
      if (page?.status !== 200) { this.fault(`events: ${page?.status} ${JSON.stringify(page?.body)}`); return; }
      for (const e of page.body.events) {
        if (e.data?.n === undefined) continue;
        if (seen.has(e.data.n)) this.fault(`emit ${e.data.n} made two events`);
        seen.set(e.data.n, e.id);
      }
      cursor = page.body.next_cursor ?? page.body.page?.next_cursor ?? '';
      if (!cursor) break;
    }
    for (const [n, event] of this.events) {
      if (seen.get(n) !== event.id) this.fault(`emit ${n} is lost: ${event.id}, found ${seen.get(n)}`);
    }
    this.stored = seen.size;
  }

  close() {
    this.agent.destroy();
    this.other.destroy();
  }
}

export function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
