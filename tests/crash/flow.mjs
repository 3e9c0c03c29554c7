// Debounced functions and schedules. A burst starts one run with its last data; what was fired early
// had no successor for a whole period. A tick starts one run, and is passed over only for a server that
// was away.
import { until } from '../e2e/lib.mjs';
import { loops, pause } from './load.mjs';

const PERIOD_MS = 1000; // the shortest there is
const LATE_MS = 5000;

export class Debounce {
  constructor(load) {
    this.load = load;
    this.name = 'debounce';
    this.n = { emits: 0, bursts: 0, runs: 0, early: 0 };
    this.sent = new Map(); // no -> {key, event, sent, acked, last}
    this.ran = new Map(); // no -> id of the run
    this.keys = 0;
    this.handlers = { burst: (job) => this.serve(job) };
  }

  setup() { return this.load.register('burst', 'burst.go', { debounce: { period_ms: PERIOD_MS, key: 'key' } }); }

  actors() { return loops(this.load, 24, () => this.burst()); }

  /** Some quick events of one key, then the run of the last one. */
  async burst() {
    const key = `b${++this.keys}`;
    const count = 1 + Math.floor(Math.random() * 4);
    let no;
    for (let i = 0; i < count; i++) {
      no = ++this.n.emits;
      const e = { key, sent: Date.now(), last: i === count - 1 };
      this.sent.set(no, e);
      const answer = await this.load.emit('burst.go', { key, no });
      e.acked = Date.now();
      e.event = answer.event_id;
      if (answer.run_ids.length > 0) this.load.fault(`a debounced emit started ${answer.run_ids}`);
    }
    this.n.bursts++;
    await until(`the burst ${key} to be fired`, () => this.ran.has(no), 20000)
      .catch((e) => this.load.fault(e.message));
  }

  async serve(job) {
    const { no } = job.event.data;
    if ((this.ran.get(no) ?? job.id) !== job.id) this.load.fault(`${no} was fired as ${this.ran.get(no)} and ${job.id}`);
    this.ran.set(no, job.id);
    if (!await job.ack()) return;
    await job.complete(no);
  }

  async account() {
    for (const run of await this.load.runsOf('burst')) {
      const e = this.load.events.get(run.event_id), { no } = e.data;
      this.n.runs++;
      if (this.ran.get(no) !== run.id) this.load.fault(`${no} was fired as ${this.ran.get(no)} and ${run.id}`);
      this.ran.set(no, run.id);
    }
    let before;
    for (const [no, e] of [...this.sent].sort((a, b) => a[1].key.localeCompare(b[1].key) || a[0] - b[0])) {
      if (e.last && !this.ran.has(no)) this.load.fault(`burst ${e.key}: its last event was never fired`);
      if (before?.key === e.key && this.ran.has(before.no)) {
        this.n.early++;
        if (e.acked - before.sent < PERIOD_MS) this.load.fault(`burst ${e.key}: two runs within one window`);
      }
      before = { ...e, no };
    }
  }
}

export class Cron {
  constructor(load) {
    this.load = load;
    this.name = 'cron';
    this.n = { ticks: 0, missed: 0 };
    this.seen = new Map(); // tick -> id of the run
    this.handlers = { tick: (job) => this.serve(job) };
  }

  setup() { return this.load.register('tick', undefined, { triggers: [{ cron: '* * * * * *', event: 'tick.now' }] }); }

  actors() { return []; }

  async serve(job) {
    this.once(job.event.data.scheduled_at, job.id);
    if (!await job.ack()) return;
    await job.complete(null);
  }

  once(tick, id) {
    if ((this.seen.get(tick) ?? id) !== id) this.load.fault(`${tick} was fired as ${this.seen.get(tick)} and ${id}`);
    this.seen.set(tick, id);
  }

  async quiet() {
    const answer = await this.load.rpc('UpdateFunctionStatus', { id: 'tick', status: 'FUNCTION_STATUS_PAUSED' });
    if (answer.status !== 200) this.load.fault(`pausing the schedule: ${answer.status}`);
  }

  async account() {
    const fired = [];
    for (const run of await this.load.runsOf('tick')) {
      const { scheduled_at } = this.load.events.get(run.event_id).data;
      this.once(scheduled_at, run.id);
      fired.push(Date.parse(scheduled_at));
    }
    fired.sort((a, b) => a - b);
    this.n.ticks = fired.length;
    for (let i = 1; i < fired.length; i++) {
      const gap = fired[i] - fired[i - 1];
      this.n.missed += gap / 1000 - 1;
      if (gap > this.load.downMs + LATE_MS) this.load.fault(`no tick for ${gap} ms after ${new Date(fired[i - 1]).toISOString()}`);
    }
    for (const [tick, id] of this.seen)
      if (!fired.includes(Date.parse(tick))) this.load.fault(`the run ${id} of ${tick} is lost`);
  }
}
