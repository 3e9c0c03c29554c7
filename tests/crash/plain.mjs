// Plain runs of three steps at full speed: emits with and without a key, acks, progress, failures,
// sleeps, jobs that are forgotten and reports that come too late.
import { until } from '../e2e/lib.mjs';
import { loops, pause } from './load.mjs';

const NAMES = ['a', 'b', 'c'];

export class Plain {
  constructor(load) {
    this.load = load;
    this.name = 'plain';
    this.n = { emits: 0, completions: 0, failures: 0, sleeps: 0, reads: 0, steps: 0 };
    this.open = 0;
    this.sent = 0;
    this.events = new Map(); // n -> id of the event
    this.handlers = { plain: (job) => this.serve(job) };
  }

  setup() { return this.load.register('plain', 'plain.go'); }

  actors() { return loops(this.load, 6, () => this.emit()); }

  async emit() {
    const { load } = this;
    if (this.open > 300) { await pause(5); return; }
    const n = ++this.sent;
    const body = { name: 'plain.go', data: { n }, ...(n % 2 ? {} : { idempotency_key: `plain-${n}` }) };
    const answer = await (n % 2 ? load.call('POST', '/events', body) : load.insist('POST', '/events', body));
    if (!answer || answer.status === 503) { load.n.unanswered++; await pause(10); return; }
    if (answer.status !== 200 || answer.body.run_ids.length !== 1) {
      load.fault(`emit ${n}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return;
    }
    this.n.emits++;
    this.open++;
    load.run(answer.body.run_ids[0]).emitted = true;
    this.events.set(n, answer.body.event_id);
    if (n % 8 === 0) await this.readBack(answer.body.run_ids[0]);
  }

  /** On another connection, the moment the write was answered. */
  async readBack(id) {
    const answer = await this.load.call('GET', `/runs/${id}`, undefined, this.load.other);
    if (!answer || answer.status === 503) return;
    this.n.reads++;
    if (answer.status !== 200) this.load.fault(`run ${id} was acknowledged and reads ${answer.status}`);
  }

  async serve(job) {
    if (Math.random() < 0.001) { await this.late(job); return; }
    if (!await job.ack()) return;
    let tail = [];
    for (const name of NAMES) {
      if (job.has.has(name)) continue;
      if (Math.random() < 0.001) return; // it forgets the job between two steps
      tail.push(job.step(name, { by: job.seq, no: ++this.n.steps }));
      if (Math.random() < 0.5) continue;
      if (!await job.progress(tail)) return;
      tail = [];
    }
    await this.end(job, tail);
  }

  /** A worker that forgets its job and remembers it when others have had it. */
  async late(job) {
    await until(`run ${job.id} to be handed out again`, () => job.run.seq > job.seq || !this.load.working, 60000);
    if (job.run.seq > job.seq && await job.report({ status: 'completed', output: 'late' }))
      this.load.fault(`${job.path}: an old fence was accepted`);
  }

  async end(job, tail) {
    const roll = Math.random();
    if (roll < 0.02) {
      if (await job.report({ status: 'failed', error: { message: 'again', retryable: true } }, tail)) this.n.failures++;
    } else if (roll < 0.04 && !job.run.slept) {
      if (!await job.yields('nap', { type: 'sleep', until: new Date(Date.now() + 150).toISOString() }, tail)) return;
      this.n.sleeps++;
      job.run.slept = true;
    } else if (await job.complete({ done: job.id, no: this.n.steps }, tail)) {
      this.n.completions++;
      if (job.run.emitted && !job.run.closed) { job.run.closed = true; this.open--; }
    }
  }

  /** All events once: an acknowledged one is there, a key made no two. */
  account() {
    const seen = new Map();
    for (const e of this.load.events.values()) {
      if (e.name !== 'plain.go') continue;
      if (seen.has(e.data.n)) this.load.fault(`emit ${e.data.n} made two events`);
      seen.set(e.data.n, e.id);
    }
    for (const [n, event] of this.events) {
      if (seen.get(n) !== event) this.load.fault(`emit ${n} is lost: ${event}, found ${seen.get(n)}`);
    }
  }
}
