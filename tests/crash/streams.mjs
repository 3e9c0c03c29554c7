// Workers on streams: jobs, steps and their acks, completions that are known to be stored when the
// answer to a heartbeat says that the run has ended. A worker that lost its stream connects again and
// says again what it is not sure of.
import http2 from 'node:http2';
import { loops, pause } from './load.mjs';

const NAMES = ['a', 'b', 'c'];
const BEAT_MS = 200;

export class Streams {
  constructor(load) {
    this.load = load;
    this.name = 'streams';
    this.n = { emits: 0, connects: 0, jobs: 0, steps: 0, step_acks: 0, refused: 0, completions: 0, resent: 0 };
    this.open = new Set();
    this.handlers = {};
  }

  setup() { return this.load.register('stream', 'stream.go'); }

  actors() {
    for (let i = 0; i < 3; i++) new Worker(this, `s${i}`).live();
    return loops(this.load, 2, async () => {
      if (this.open.size > 60) { await pause(5); return; }
      const run = await this.load.start('stream.go', {});
      this.n.emits++;
      this.open.add(run.id);
    }, 4);
  }

  account() {
    for (const run of this.load.runs.values()) {
      if (run.found?.function_id !== 'stream') continue;
      if (!run.said?.has(JSON.stringify(run.found.output)))
        this.load.fault(`${run.id} has an output that nobody reported: ${JSON.stringify(run.found.output)}`);
    }
  }
}

class Worker {
  constructor(kind, id) {
    Object.assign(this, { kind, load: kind.load, id, jobs: new Map() });
  }

  async live() {
    while (this.load.working) {
      await this.connect();
      await pause(10);
    }
  }

  /** One stream, from its begin to its end. */
  connect() {
    return new Promise((resolve) => {
      const session = http2.connect(`http://127.0.0.1:${this.load.server.port}`);
      session.on('error', () => {});
      const stream = session.request({ ':method': 'POST', ':path': '/ironflow.v1.WorkerService/Connect',
        'content-type': 'application/connect+json' });
      const beats = setInterval(() => this.beat(), BEAT_MS);
      let bytes = Buffer.alloc(0);
      this.stream = stream;
      this.registered = false;
      this.asked = []; // heartbeats without an answer, which come in their order
      stream.on('data', (d) => {
        bytes = Buffer.concat([bytes, d]);
        while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
          const payload = bytes.subarray(5, 5 + bytes.readUInt32BE(1));
          if (!(bytes[0] & 2)) this.on(JSON.parse(payload));
          bytes = bytes.subarray(5 + payload.length);
        }
      });
      stream.on('error', () => {});
      stream.on('close', () => { clearInterval(beats); session.destroy(); resolve(); });
      session.on('close', resolve);
      this.send({ register: { workerId: this.id, hostname: 'crash', functionIds: ['stream'], maxConcurrentJobs: 16,
        version: { sdk: '0.29.0', runtime: 'node-v20' } } });
    });
  }

  send(message) {
    if (this.stream.destroyed || this.stream.closed) return;
    const body = Buffer.from(JSON.stringify(message));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(body.length, 1);
    this.stream.write(Buffer.concat([head, body]));
  }

  on(message) {
    if (message.registered) this.again();
    else if (message.job) this.take(message.job);
    else if (message.stepAck) this.acked(message.stepAck);
    else if (message.leaseRefresh) this.refreshed(message.leaseRefresh.segments);
  }

  /** Says everything again that may be lost. */
  again() {
    this.kind.n.connects++;
    this.registered = true;
    for (const job of this.jobs.values()) {
      for (const message of job.said) this.send(message);
      this.kind.n.resent += job.said.length;
    }
  }

  take(assignment) {
    const seq = Number(assignment.executionSeq);
    const { run, has } = this.load.handed(assignment.runId, seq, assignment.completedSteps);
    const job = { run, has, seq, said: [], at: 0, wait: undefined, output: undefined,
      fence: { jobId: assignment.jobId, executionSeq: assignment.executionSeq, leaseToken: assignment.leaseToken } };
    this.kind.n.jobs++;
    this.jobs.set(run.id, job);
    this.say(job, { jobAck: job.fence });
    if (Math.random() < 0.002) { this.jobs.delete(run.id); return; } // it forgets the job
    this.work(job);
  }

  say(job, message) {
    job.said.push(message);
    this.send(message);
  }

  /** On to the next step that waits for its ack, or to the end. */
  work(job) {
    const { run } = job;
    while (job.at < NAMES.length) {
      const name = NAMES[job.at++];
      if (job.has.has(name)) continue;
      if (run.steps.has(name)) this.load.fault(`${run.id}: step ${name} is executed again`);
      const output = { by: job.seq, no: ++this.kind.n.steps };
      const stepId = `${run.id}:${name}:0`;
      job.outputs = { ...job.outputs, [stepId]: JSON.stringify(output) };
      this.say(job, { stepCompleted: { ...job.fence, stepId, output, durationMs: 1 } });
      if (Math.random() < 0.5) { job.wait = stepId; return; }
    }
    job.output = { done: run.id, no: this.kind.n.steps };
    run.said ??= new Set();
    run.said.add(JSON.stringify(job.output));
    run.heldUntil = 0;
    this.say(job, { jobCompleted: { ...job.fence, output: job.output } });
  }

  acked(ack) {
    const [id, name] = ack.stepId.split(':');
    const job = this.jobs.get(id);
    if (!job) return;
    if (!ack.accepted) { // somebody else has the run, or it has ended: what was said again came too late
      this.kind.n.refused++;
      if (!job.output) this.jobs.delete(id);
      return;
    }
    this.kind.n.step_acks++;
    if (job.run.seq === job.seq) job.run.steps.set(name, job.outputs[ack.stepId]);
    if (job.wait !== ack.stepId) return;
    job.wait = undefined;
    this.work(job);
  }

  beat() {
    const jobs = [...this.jobs.values()];
    if (!this.registered || jobs.length === 0) return;
    this.asked.push({ at: Date.now(), jobs: new Set(jobs) });
    this.send({ heartbeat: { workerId: this.id, activeJobs: jobs.length,
      jobs: jobs.map((j) => ({ ...j.fence, runId: j.run.id })) } });
  }

  refreshed(segments) {
    const { at, jobs } = this.asked.shift();
    for (const s of segments) {
      const job = this.jobs.get(s.runId);
      if (jobs.has(job)) this.lease(s, job, at);
    }
  }

  lease({ runId, state }, job, at) {
    if (state === 'LEASE_STATE_STALE') {
      this.jobs.delete(runId);
    } else if (state === 'LEASE_STATE_UNKNOWN') {
      this.jobs.delete(runId);
      this.kind.open.delete(runId);
      if (!job.output) { this.load.fault(`${runId} has ended and nobody said so`); return; }
      this.kind.n.completions++;
      job.run.output ??= JSON.stringify(job.run.seq === job.seq ? job.output : undefined);
    } else if (!job.output && job.run.seq === job.seq) {
      this.load.holds(job.run, `heartbeat ${job.seq}`, at);
    }
  }
}
