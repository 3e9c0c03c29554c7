// Push runs: an endpoint in this process that records what it answered. The server has acknowledged
// a step when a request brings it back; from then on every request does, with the same output.
import http from 'node:http';
import { loops, pause, stepsByName } from './load.mjs';

export class Push {
  constructor(load) {
    this.load = load;
    this.name = 'push';
    this.n = { emits: 0, requests: 0, steps: 0, completions: 0, failures: 0, sleeps: 0, silent: 0, cut: 0 };
    this.open = new Set();
    this.runs = new Map();
    this.handlers = {};
  }

  async setup() {
    this.server = http.createServer((request, response) => {
      const chunks = [];
      request.on('data', (d) => chunks.push(d));
      request.on('error', () => {});
      request.on('end', () => this.serve(JSON.parse(Buffer.concat(chunks)), response));
    });
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    await this.load.register('push', 'push.go',
      { endpointUrl: `http://127.0.0.1:${this.server.address().port}/`, preferredMode: 'EXECUTION_MODE_PUSH' });
  }

  actors() {
    return loops(this.load, 2, async () => {
      if (this.open.size > 60) { await pause(5); return; }
      const run = await this.load.start('push.go', {});
      this.n.emits++;
      this.open.add(run.id);
      if (this.n.emits % 8 === 0) await this.watch(run);
    }, 4);
  }

  /** Sees the run completed; from then on nobody may be asked to execute it. */
  async watch(run) {
    const answer = await this.load.call('GET', `/runs/${run.id}`);
    if (answer?.body?.status === 'completed') run.output = JSON.stringify(answer.body.output);
  }

  run(id) {
    if (!this.runs.has(id))
      this.runs.set(id, { id, attempt: 1, answered: new Map(), stored: this.load.run(id).steps, outputs: new Set(), mayFail: 0 });
    return this.runs.get(id);
  }

  /** What is asked may not contradict what was stored, and only one at a time asks. */
  check(run, body) {
    const has = stepsByName(body.steps);
    if (run.asking) this.load.fault(`${run.id} is pushed twice at the same time`);
    if (this.load.run(run.id).output !== undefined) this.load.fault(`${run.id} is completed and is pushed`);
    if (body.attempt < run.attempt || body.attempt > 1 + run.mayFail)
      this.load.fault(`${run.id}: attempt ${body.attempt} after ${run.attempt} and ${run.mayFail} failures`);
    run.attempt = body.attempt;
    for (const [name, output] of run.stored)
      if (has.get(name) !== output) this.load.fault(`${run.id}: step ${name} was stored and is lost`);
    for (const [name, output] of has) {
      if (!run.answered.get(name)?.has(output)) this.load.fault(`${run.id}: step ${name} was never answered: ${output}`);
      run.stored.set(name, output);
    }
    return has;
  }

  step(run, name, steps) {
    const output = name === 'nap' ? null : { no: ++this.n.steps };
    if (!run.answered.has(name)) run.answered.set(name, new Set());
    run.answered.get(name).add(JSON.stringify(output));
    if (name !== 'nap') steps.push({ id: `${run.id}:${name}:0`, name, type: 'invoke', status: 'completed', output });
  }

  async serve(body, response) {
    const run = this.run(body.run_id);
    const has = this.check(run, body);
    let open = true;
    this.n.requests++;
    run.asking = response;
    response.on('close', () => {
      if (open) this.n.cut++;
      if (run.asking === response) run.asking = undefined;
    });
    await pause(Math.random() * 10);
    if (Math.random() < 0.001) { // the server gives up
      this.n.silent++;
      run.mayFail++;
      return;
    }
    const out = this.answer(run, has);
    open = false;
    if (run.asking === response) run.asking = undefined;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(out));
  }

  answer(run, has) {
    const steps = [];
    if (!has.has('a')) {
      this.step(run, 'a', steps);
      const roll = Math.random();
      if (roll < 0.1) {
        run.mayFail++;
        this.n.failures++;
        return { status: 'failed', steps, error: { message: 'again', retryable: true } };
      }
      if (roll < 0.5) {
        this.step(run, 'nap', steps);
        this.n.sleeps++;
        return { status: 'yielded', steps, yield: { step_id: `${run.id}:nap:0`, type: 'sleep',
          until: new Date(Date.now() + 30).toISOString() } };
      }
    }
    if (!has.has('b')) this.step(run, 'b', steps);
    const result = { done: run.id, no: this.n.steps };
    run.outputs.add(JSON.stringify(result));
    this.open.delete(run.id);
    return { status: 'completed', steps, result };
  }

  /** The server is dead: nobody asks any more. */
  killed() {
    for (const run of this.runs.values()) run.asking = undefined;
  }

  account() {
    for (const run of this.runs.values()) {
      const { found } = this.load.run(run.id);
      if (!found) continue;
      this.n.completions++;
      if (!run.outputs.has(JSON.stringify(found.output)))
        this.load.fault(`${run.id} has an output that nobody answered: ${JSON.stringify(found.output)}`);
    }
    for (const run of this.load.runs.values())
      if (run.found?.function_id === 'push' && !this.runs.has(run.id)) this.load.fault(`${run.id} was never pushed`);
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
