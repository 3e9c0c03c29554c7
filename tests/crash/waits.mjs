// Waits for events and children. An event wakes who waited before it, once; of several events the
// first one counts, and none that came before the wait. Each invoke has one child, whose output comes
// back.
import { loops, pause } from './load.mjs';

export class Waits {
  constructor(load) {
    this.load = load;
    this.name = 'waits';
    this.n = { emits: 0, early: 0, waits: 0, wakes: 0, second: 0, woken: 0 };
    this.early = new Map(); // k -> event that was acknowledged before the run began
    this.handlers = { wait: (job) => this.serve(job) };
  }

  setup() { return this.load.register('wait', 'wait.go'); }

  actors() { return loops(this.load, 24, () => this.wait(), 8); }

  /** A run that waits, perhaps for an event that came too early, and what wakes it. */
  async wait() {
    const k = `k${++this.n.emits}`;
    if (this.n.emits % 4 === 0) {
      this.early.set(k, (await this.load.emit('wait.ok', { k })).event_id);
      this.n.early++;
    }
    const run = await this.load.start('wait.go', { k });
    while (!run.waits) {
      const { body } = await this.load.insist('GET', `/runs/${run.id}`);
      run.waits ||= body.pause_reason === 'wait_event';
      await pause(10);
    }
    run.woken = (await this.load.emit('wait.ok', { k })).event_id;
    this.n.wakes++;
    if (Math.random() < 0.3) {
      await this.load.emit('wait.ok', { k });
      this.n.second++;
    }
  }

  async serve(job) {
    const { run } = job, { k } = job.event.data;
    if (!await job.ack()) return;
    if (!job.has.has('ok')) {
      if (run.waits) this.load.fault(`${run.id}: its wait is forgotten`);
      if (!await job.yields('ok', { type: 'wait_for_event', event_filter: { event: 'wait.ok', match: 'data.k', timeout: '1h' } })) return;
      this.n.waits++;
      run.waits = true;
      return;
    }
    const { id } = JSON.parse(job.has.get('ok'));
    if (id === this.early.get(k)) this.load.fault(`${run.id} was woken by an event before its wait`);
    if (run.by !== undefined && run.by !== id) this.load.fault(`${run.id} was woken by ${run.by} and by ${id}`);
    run.by = id;
    if (await job.complete({ by: id })) this.n.woken++;
  }

  account() {
    for (const run of this.load.runs.values())
      if (run.woken && run.by !== run.woken) this.load.fault(`${run.id} should have been woken by ${run.woken}, not ${run.by}`);
  }
}

export class Children {
  constructor(load) {
    this.load = load;
    this.name = 'children';
    this.n = { emits: 0, invokes: 0, detached: 0, children: 0, completions: 0 };
    this.open = new Set();
    this.of = new Map(); // parent and place -> id of the child
    this.handlers = { parent: (job) => this.parent(job), child: (job) => this.child(job) };
  }

  async setup() {
    await this.load.register('parent', 'parent.go');
    await this.load.register('child');
  }

  actors() {
    return loops(this.load, 2, async () => {
      if (this.open.size > 40) { await pause(5); return; }
      const run = await this.load.start('parent.go', {});
      this.n.emits++;
      this.open.add(run.id);
    }, 8);
  }

  /** Waits for one child, starts another one and does not wait for it. */
  async parent(job) {
    if (!await job.ack()) return;
    const invoke = (name, type) => job.yields(name, { type, function_id: 'child', input: { of: `${job.id} ${name}` } });
    if (!job.has.has('waits')) {
      if (await invoke('waits', 'invoke_function')) { job.run.invoked = true; this.n.invokes++; }
      return;
    }
    this.check(job, 'waits', JSON.parse(job.has.get('waits')).child);
    if (!job.has.has('starts')) {
      if (await invoke('starts', 'invoke_function_async')) { job.run.detached = true; this.n.detached++; }
      return;
    }
    this.check(job, 'starts', JSON.parse(job.has.get('starts')).run_id);
    if (await job.complete('parent')) { this.n.completions++; this.open.delete(job.id); }
  }

  check(job, name, child) {
    const known = this.of.get(`${job.id} ${name}`);
    if (known !== undefined && known !== child) this.load.fault(`${job.id} has the children ${known} and ${child}`);
    this.of.set(`${job.id} ${name}`, child);
    job.run.steps.set(name, job.has.get(name));
  }

  async child(job) {
    const { of } = job.event.data, known = this.of.get(of);
    if (known !== undefined && known !== job.id) this.load.fault(`${of} has the children ${known} and ${job.id}`);
    this.of.set(of, job.id);
    if (!await job.ack()) return;
    if (await job.complete({ child: job.id })) this.n.children++;
  }

  async account() {
    const seen = new Set(), children = await this.load.runsOf('child');
    for (const run of children) {
      const { of } = this.load.events.get(run.event_id).data;
      if (seen.has(of)) this.load.fault(`${of} has two children`);
      seen.add(of);
      if (this.of.get(of) !== run.id) this.load.fault(`${of}: the child ${run.id} was never executed`);
    }
    for (const run of this.load.runs.values()) {
      if (run.invoked && !seen.has(`${run.id} waits`)) this.load.fault(`${run.id}: its child is lost`);
      if (run.detached && !seen.has(`${run.id} starts`)) this.load.fault(`${run.id}: the child it started is lost`);
    }
  }
}
