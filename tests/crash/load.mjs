// Load at full speed against a server that is killed again and again, and the accounts of what it
// acknowledged. Whoever hears no answer repeats the message, as clients do. What is loaded, and what
// is promised of it, stands in the kinds: plain, push, streams, waits, flow, operators. A kind has
// {name, n, setup(), handlers, actors(), quiet(), account()}; handlers serve its pull functions, actors
// go on while `emitting`, quiet ends what would go on by itself.
import http from 'node:http';

const OPEN = 'pending,running,waiting,paused';

export class Load {
  constructor(server, leaseMs) {
    this.server = server;
    this.leaseMs = leaseMs;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
    this.other = new http.Agent({ keepAlive: true, maxSockets: 16 });
    this.runs = new Map(); // id -> what was acknowledged of it
    this.keyed = 0;
    this.emitting = true;
    this.working = true;
    this.faults = [];
    this.kinds = [];
    this.handlers = {};
    this.lives = [];
    this.n = { unanswered: 0, refused: 0, claims: 0, acks: 0, progress: 0, late: 0, workers_killed: 0 };
    this.downMs = 0; // the longest that the server was away
    this.awayUntil = 0; // it stood still until then
  }

  fault(text) {
    if (this.faults.length < 20) this.faults.push(text);
  }

  async use(kind) {
    this.kinds.push(kind);
    Object.assign(this.handlers, kind.handlers);
    await kind.setup();
  }

  run(id) {
    let run = this.runs.get(id);
    if (!run) {
      run = { id, steps: new Map(), seq: 0, heldUntil: 0, output: undefined };
      this.runs.set(id, run);
    }
    return run;
  }

  // ---- messages ----

  /** One request; undefined when no answer came. A path below /api/v1, or an RPC by its name. */
  call(method, path, body, agent = this.agent) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve) => {
      const request = http.request({
        host: '127.0.0.1', port: this.server.port, method, agent,
        path: path.startsWith('/') ? `/api/v1${path}` : `/ironflow.v1.IronflowService/${path}`,
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

  /** Repeats until there is an answer that is not 503; undefined when the sender has died. `tries` of
   *  the answer says how often it was sent. */
  async insist(method, path, body, life = {}) {
    for (let tries = 1; ; tries++) {
      if (life.dead) return undefined;
      if (this.closed) return new Promise(() => {}); // the test is over
      const answer = await this.call(method, path, body);
      if (answer && answer.status !== 503) return { ...answer, tries };
      this.n.unanswered++;
      await pause(5 + Math.random() * 20);
    }
  }

  rpc(method, body) {
    return this.insist('POST', method, body);
  }

  /** An event that is stored once however often it has to be sent: {event_id, run_ids}. */
  async emit(name, data) {
    const key = `key-${++this.keyed}`;
    const answer = await this.insist('POST', '/events', { name, data, idempotency_key: key });
    if (answer.status !== 200) this.fault(`emit ${name}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.status === 200 ? answer.body : { run_ids: [] };
  }

  /** The same of a function that starts one run; its account. */
  async start(name, data) {
    const answer = await this.emit(name, data);
    if (answer.run_ids.length !== 1) this.fault(`emit ${name}: ${JSON.stringify(answer)}`);
    const run = this.run(answer.run_ids[0]);
    run.emitted = true;
    return run;
  }

  async register(id, event, extra = {}) {
    await this.server.register(id, event,
      { retry: { maxAttempts: 1000, initialDelayMs: 50, backoffFactor: 1, maxDelayMs: 50 }, ...extra });
  }

  // ---- pull workers ----

  async registerWorker(worker) {
    await this.insist('POST', `/workers/${worker}/register`, { worker_id: worker, hostname: 'crash',
      function_ids: Object.keys(this.handlers), max_concurrent_jobs: 8,
      version: { sdk: '0.29.0', runtime: 'node-v22.3.0' } });
  }

  /** One worker slot: when its worker dies, with all its jobs, another one takes its place. */
  async worker(slot, prefix = '') {
    for (let life = 0; this.working; life++) {
      this.lives[slot] = { dead: false };
      await this.work(`${prefix}w${slot}-${life}`, this.lives[slot]);
    }
  }

  /** The worker dies in the middle of whatever it does. */
  killWorker(slot) {
    this.lives[slot].dead = true;
    this.n.workers_killed++;
  }

  async work(id, life) {
    const active = new Set();
    await this.registerWorker(id);
    while (this.working && !life.dead) {
      if (active.size >= 8) { await Promise.race(active); continue; }
      const polledAt = Date.now();
      const answer = await this.call('GET', `/workers/${id}/jobs?available=${8 - active.size}`);
      if (!answer || answer.status === 503) { await pause(10); continue; }
      if (answer.status === 404) { await this.registerWorker(id); continue; }
      if (answer.status === 204) await pause(5); // the server may still count jobs that we forgot
      for (const assignment of answer.body?.jobs ?? []) {
        if (polledAt < this.awayUntil && await this.isLate(id, assignment)) continue;
        const job = new Job(this, id, assignment, life, polledAt);
        const done = this.handlers[assignment.function_id](job).finally(() => active.delete(done));
        active.add(done);
      }
    }
    if (!life.dead) await Promise.all(active);
  }

  /** The server stood still and handed out what another node has handed out again: not to be begun. */
  async isLate(worker, { job_id, run_id, execution_seq, lease_token }) {
    if (execution_seq > this.run(run_id).seq) return false;
    const ack = await this.insist('PUT', `/workers/${worker}/jobs/${job_id}/ack`, { run_id, execution_seq, lease_token });
    if (ack.status !== 409) this.fault(`${run_id}: a late assignment was acknowledged: ${ack.status}`);
    this.n.late++;
    return true;
  }

  /** What is handed out may not contradict what was acknowledged. */
  handed(runId, seq, steps, askedAt) {
    const run = this.run(runId);
    const has = stepsByName(steps);
    this.n.claims++;
    if (seq <= run.seq) this.fault(`${run.id}: fence ${seq} after ${run.seq}`);
    if (run.output !== undefined) this.fault(`${run.id} is completed and is handed out`);
    if (run.cancelledAt < askedAt) this.fault(`${run.id} is cancelled and is handed out`);
    if (Date.now() < run.heldUntil) this.fault(`${run.id}: handed out as ${seq}, ${run.heldUntil - Date.now()} ms too early after ${run.heldBy}`);
    for (const [name, output] of run.steps) {
      if (has.get(name) !== output) this.fault(`${run.id}: step ${name} was acknowledged and is lost: ${has.get(name)}`);
    }
    run.seq = seq;
    return { run, has };
  }

  /** The lease that was acknowledged holds from when it was asked for. */
  holds(run, by, at) {
    run.heldUntil = at + this.leaseMs;
    run.heldBy = by;
  }

  // ---- the end ----

  /** Waits until every run has ended, then makes up the accounts of all kinds. */
  async finish(actors, workers, untilAll) {
    this.emitting = false;
    await Promise.all(actors);
    for (const kind of this.kinds) await kind.quiet?.();
    let open;
    await untilAll(async () => {
      open = await this.call('GET', `/runs?status=${OPEN}&limit=10`);
      return open?.status === 200 && open.body.runs.length === 0;
    }).catch((e) => {
      this.fault(e.message);
      for (const r of open.body.runs) this.fault(`${r.function_id} ${r.id} is still ${r.status} ${r.pause_reason ?? ''}`);
    });
    this.working = false;
    await Promise.all(workers);
    await this.loadEvents();
    const all = [...this.runs.values()];
    await Promise.all(Array.from({ length: 32 }, async () => {
      for (let run = all.pop(); run; run = all.pop()) await this.accountRun(run);
    }));
    for (const kind of this.kinds) await kind.account();
  }

  /** Every acknowledged emit, step and end is there. */
  async accountRun(run) {
    const found = await this.call('GET', `/runs/${run.id}`);
    if (found?.status !== 200) { this.fault(`run ${run.id} is lost: ${found?.status}`); return; }
    run.found = found.body;
    const end = run.cancelledAt ? 'cancelled' : 'completed';
    if (found.body.status !== end) this.fault(`run ${run.id} of ${found.body.function_id} is ${found.body.status}, not ${end}`);
    if (run.output !== undefined && JSON.stringify(found.body.output) !== run.output) {
      this.fault(`run ${run.id}: its completion is lost`);
    }
    if (run.steps.size === 0) return;
    const steps = await this.call('GET', `/runs/${run.id}/steps`);
    const kept = stepsByName(steps.body.steps.filter((s) => s.status === 'completed'));
    if (kept.size !== steps.body.steps.length) this.fault(`run ${run.id} has a step twice, or one that did not end`);
    for (const [name, output] of run.steps)
      if (kept.get(name) !== output) this.fault(`run ${run.id}: step ${name} is lost`);
  }

  /** All events that are stored, by id. */
  async loadEvents() {
    this.events = new Map();
    for (let cursor = ''; ;) {
      const page = await this.call('GET', `/events?limit=100${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
      if (page?.status !== 200) { this.fault(`events: ${page?.status} ${JSON.stringify(page?.body)}`); return; }
      for (const e of page.body.events) this.events.set(e.id, e);
      cursor = page.body.next_cursor ?? page.body.page?.next_cursor ?? '';
      if (!cursor) break;
    }
  }

  /** All runs of a function. */
  async runsOf(fn) {
    const all = [];
    for (;;) {
      const page = await this.call('GET', `/runs?function_id=${fn}&limit=1000&offset=${all.length}`);
      all.push(...page.body.runs);
      if (page.body.runs.length < 1000) return all;
    }
  }

  close() {
    this.emitting = this.working = false;
    this.closed = true;
    for (const kind of this.kinds) kind.close?.();
    this.agent.destroy();
    this.other.destroy();
  }
}

/** A job in the hands of a pull worker. What is refused must be 409; then the job is over. */
export class Job {
  constructor(load, worker, job, life, polledAt) {
    Object.assign(this, { load, life, worker, seq: job.execution_seq, id: job.run_id, event: job.event });
    this.path = `/workers/${worker}/jobs/${job.job_id}`;
    this.fence = { execution_seq: job.execution_seq, lease_token: job.lease_token };
    this.offset = job.step_sequence_base;
    const { run, has } = load.handed(job.run_id, job.execution_seq, job.completed_steps, polledAt);
    this.run = run;
    this.has = has; // name -> JSON of the output
  }

  /** `holds` says what gives a lease, if it is accepted. */
  async send(path, body, holds) {
    const sent = Date.now();
    if (!holds) this.run.heldUntil = 0; // from here on somebody else may get it
    const answer = await this.load.insist('PUT', path, { ...this.fence, ...body }, this.life);
    if (!answer) return false;
    if (answer.status !== 200) {
      this.load.n.refused++;
      if (answer.status !== 409) this.load.fault(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return false;
    }
    if (this.run.cancelledAt < sent) this.load.fault(`${this.id} is cancelled and a report is accepted`);
    if (holds && this.run.seq === this.seq) this.load.holds(this.run, `${holds} ${this.seq}`, sent);
    return true;
  }

  async ack() {
    if (!await this.send(`${this.path}/ack`, { run_id: this.id }, 'ack')) return false;
    this.load.n.acks++;
    return true;
  }

  /** A report with steps, which are kept from now on. */
  async report(body, steps = []) {
    if (!await this.send(this.path, { ...body, steps, step_offset: this.offset }, body.status === 'progress' && 'progress')) return false;
    for (const s of steps) this.run.steps.set(s.name, JSON.stringify(s.output));
    this.offset += steps.length;
    return true;
  }

  async progress(steps) {
    if (!await this.report({ status: 'progress' }, steps)) return false;
    this.load.n.progress++;
    return true;
  }

  async complete(output, steps = []) {
    if (!await this.report({ status: 'completed', output }, steps)) return false;
    this.run.output = JSON.stringify(output);
    return true;
  }

  yields(name, what, steps = []) {
    return this.report({ status: 'yielded', yield: { step_id: `${this.id}:${name}:0`, ...what } }, steps);
  }

  /** Executes a step; one whose result was acknowledged may not come here. Who has lost the run to another
   *  one and was not told yet, because the server that would stands still, cannot know better. */
  step(name, output) {
    const now = Date.now();
    if (this.run.seq === this.seq && this.run.steps.has(name)) this.load.fault(`${this.id}: step ${name} is executed again`);
    return { id: `${this.id}:${name}:0`, name, type: 'invoke', status: 'completed',
      started_at: new Date(now - 1).toISOString(), ended_at: new Date(now).toISOString(), duration_ms: 1, output };
  }
}

export function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}

/** Name (the middle of the id) -> JSON of the output, of completed steps in any of the three protocols. */
export function stepsByName(steps = []) {
  return new Map(steps.map((s) => [(s.step_id ?? s.stepId ?? s.id).split(':')[1], JSON.stringify(s.output ?? null)]));
}

/** `n` loops of an actor, with a pause between the rounds. */
export function loops(load, n, round, everyMs = 0) {
  return Array.from({ length: n }, async () => {
    while (load.emitting) {
      await round();
      if (everyMs > 0) await pause(Math.random() * 2 * everyMs);
    }
  });
}
