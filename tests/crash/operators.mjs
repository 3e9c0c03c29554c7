// Operators: an acknowledged cancel is final; an acknowledged pause holds the run, and its handler sees
// what was injected.
import { loops, pause } from './load.mjs';

export class Cancel {
  constructor(load) {
    this.load = load;
    this.name = 'cancel';
    this.n = { emits: 0, cancels: 0, too_late: 0, completions: 0 };
    this.handlers = { cancel: (job) => this.serve(job) };
  }

  setup() { return this.load.register('cancel', 'cancel.go'); }

  actors() {
    return loops(this.load, 4, async () => {
      const run = await this.load.start('cancel.go', {});
      this.n.emits++;
      await pause(Math.random() * 200);
      const answer = await this.load.insist('POST', `/runs/${run.id}/cancel`, { reason: 'enough' });
      if (answer.status === 200) {
        this.n.cancels++;
        run.cancelledAt = Date.now();
      } else {
        this.n.too_late++;
        if (answer.status !== 412) this.load.fault(`cancel of ${run.id}: ${answer.status}`);
      }
    }, 10);
  }

  /** Slow enough for a cancel to come in between; some sleep. */
  async serve(job) {
    if (!await job.ack()) return;
    if (!job.has.has('nap') && Math.random() < 0.3) {
      await job.yields('nap', { type: 'sleep', until: new Date(Date.now() + 20).toISOString() });
      return;
    }
    if (!job.has.has('a') && !await job.progress([job.step('a', job.seq)])) return;
    await pause(Math.random() * 30);
    if (await job.complete('done')) this.n.completions++;
  }

  account() {}
}

export class Inject {
  constructor(load) {
    this.load = load;
    this.name = 'inject';
    this.n = { emits: 0, pauses: 0, held: 0, injections: 0, resumes: 0, completions: 0 };
    this.handlers = { held: (job) => this.serve(job) };
  }

  setup() { return this.load.register('held', 'held.go'); }

  actors() { return loops(this.load, 6, () => this.operate(), 10); }

  async operate() {
    const { load } = this;
    const run = await load.start('held.go', {});
    this.n.emits++;
    const answer = await load.rpc('PauseRun', { run_id: run.id });
    if (answer.status !== 200) { // it was quicker
      if (answer.body?.code !== 'failed_precondition') load.fault(`pause of ${run.id}: ${answer.status}`);
      return;
    }
    run.pausedAt = Date.now();
    this.n.pauses++;
    if (!await this.held(run)) return;
    this.n.held++;
    const { body } = await load.insist('GET', `/runs/${run.id}/steps`);
    const total = body.steps.find((s) => s.name === 'total');
    for (let i = 0; i < 2; i++) await this.inject(run, total);
    delete run.pausedAt;
    run.heldUntil = 0; // the pause ended its segment, also where the worker died before it heard so
    const resumed = await load.insist('POST', '/runs/resume', { run_id: run.id });
    if (resumed.status !== 200 && (resumed.tries === 1 || resumed.status !== 412))
      load.fault(`resume of ${run.id}: ${resumed.status}`);
    this.n.resumes++;
  }

  /** Waits until the run is paused; false when it ended before, which a completion may. */
  async held(run) {
    for (;;) {
      const { body } = await this.load.insist('GET', `/runs/${run.id}`);
      if (body.status === 'paused' && body.pause_reason === 'injection') return true;
      if (body.status === 'completed') return false;
      await pause(10);
    }
  }

  async inject(run, step) {
    const output = { injected: ++this.n.injections };
    run.steps.delete('total'); // either is right until the answer comes
    const answer = await this.load.rpc('InjectStepOutput',
      { run_id: run.id, step_id: step.id, new_output: JSON.stringify(output), reason: 'test' });
    if (answer.status !== 200) { this.load.fault(`inject ${run.id}: ${answer.status} ${JSON.stringify(answer.body)}`); return; }
    run.steps.set('total', JSON.stringify(output));
    run.injected = JSON.stringify(output);
  }

  /** A report after the pause was acknowledged is the boundary: what follows is refused. */
  async serve(job) {
    const { run } = job;
    if (!await job.ack()) return;
    const flagged = run.pausedAt !== undefined;
    let total = job.has.get('total');
    if (total === undefined) {
      const made = job.step('total', { made: job.seq });
      if (!await job.progress([made])) return;
      total = JSON.stringify(made.output);
    }
    await pause(Math.random() * 20);
    if (!await job.complete(JSON.parse(total))) return;
    this.n.completions++;
    if (flagged && run.pausedAt !== undefined) this.load.fault(`${run.id}: its pause was acknowledged and is lost`);
  }

  account() {
    for (const run of this.load.runs.values())
      if (run.injected && JSON.stringify(run.found?.output) !== run.injected)
        this.load.fault(`${run.id}: its injection is lost: ${JSON.stringify(run.found?.output)}`);
  }
}
