// A PostgreSQL of one test's own, which may be stopped and crashed without disturbing other suites; and
// servers that share a database, with workers that look for two executions of one run at a time.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server, Worker, run, until } from '../e2e/lib.mjs';

const script = join(dirname(fileURLToPath(import.meta.url)), 'pg.sh');

function newestBin() {
  const found = spawnSync('sh', ['-c', 'ls -d /usr/lib/postgresql/*/bin /usr/local/pgsql/bin 2>/dev/null | tail -1'], { encoding: 'utf8' });
  return found.stdout.trim();
}

export class Cluster {
  static async start(t) {
    const c = new Cluster();
    c.dir = mkdtempSync(join(tmpdir(), 'ironflow-cluster-'));
    t.after(async () => {
      await run('sh', [script, 'stop', c.dir]);
      rmSync(c.dir, { recursive: true, force: true });
    });
    const started = await run('sh', [script, 'start', c.dir]);
    if (started.code !== 0) throw new Error(`pg.sh: ${started.stderr}`);
    c.url = started.stdout.trim();
    c.data = join(readFileSync(join(c.dir, 'pg.data'), 'utf8').trim(), 'db');
    return c;
  }

  async control(...args) {
    const ctl = [join(newestBin(), 'pg_ctl'), '-D', this.data, '-l', join(dirname(this.data), 'log'), '-w', '-t', '60', '-s', ...args];
    const as = process.getuid() === 0 ? ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--clear-groups', 'env', 'HOME=/tmp'] : [];
    const all = [...as, ...ctl];
    const done = await run(all[0], all.slice(1), { cwd: '/', stdio: ['pipe', 'ignore', 'ignore'] });
    if (done.code !== 0) throw new Error(`pg_ctl ${args.join(' ')}: ${done.code}`);
  }

  /** Ends it as a crash would. */
  down() { return this.control('-m', 'immediate', 'stop'); }
  /** Starts it again with the options it had. */
  up() { return this.control('-m', 'immediate', 'restart'); }
  restart() { return this.control('-m', 'immediate', 'restart'); }

  async sql(text) {
    const done = await run('psql', [this.url, '-qAtc', text]);
    if (done.code !== 0) throw new Error(done.stderr);
    return done.stdout.trim();
  }

  /** Cuts every connection but ours. */
  cut() {
    return this.sql('SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()');
  }
}

/** Servers on one new database (or on `pg`), each with a name of its own. */
export async function startNodes(n, env, options = {}) {
  const nodes = [];
  for (let i = 0; i < n; i++)
    nodes.push(await Server.start({ env, flags: ['--node-id', `node-${i}`], pg: nodes[0]?.pg, ...options }));
  return nodes;
}

export async function stopNodes(nodes) {
  for (const node of nodes) {
    node.child.kill('SIGCONT'); // a test that failed may have left it stopped
    await node.stop();
  }
}

/** Stops a server in the middle of whatever it does. The first of its threads that runs again tells the
 *  others, so it stands still only when all of them do. */
export async function halt({ child }) {
  const tasks = `/proc/${child.pid}/task`;
  const state = (task) => readFileSync(`${tasks}/${task}/stat`, 'utf8').match(/.*\) (.)/s)[1];
  child.kill('SIGSTOP');
  await until('every thread to stand still', () => readdirSync(tasks).every((task) => state(task) === 'T'));
}

/** One statement on the database of a server; the first column as text. */
export async function sql(server, text) {
  const done = await run('psql', [server.pg, '-qAtc', text]);
  if (done.code !== 0) throw new Error(done.stderr);
  return done.stdout.trim();
}

/** Who executes what. An execution begins when its holder has the job, and ends before its outcome is
 *  sent, or when its holder is known to be dead. */
export class Recorder {
  constructor() {
    this.open = new Map(); // run -> fence
    this.seqs = new Map(); // run -> every fence that began, in order
    this.faults = [];
  }

  begin(run, fence) {
    const held = this.open.get(run), seqs = this.seqs.get(run) ?? [];
    if (held !== undefined) this.faults.push(`${run}: ${fence} began beside ${held}`);
    if (seqs.includes(fence)) this.faults.push(`${run}: ${fence} was handed out twice`);
    if (typeof fence === 'number' && seqs.some((x) => x >= fence)) this.faults.push(`${run}: ${fence} after ${seqs}`);
    this.open.set(run, fence);
    this.seqs.set(run, [...seqs, fence]);
  }

  end(run, fence) {
    if (this.open.get(run) === fence) this.open.delete(run);
  }

  count(run) { return this.seqs.get(run)?.length ?? 0; }

  check() { assert.deepEqual(this.faults, []); }
}

/** Polling workers, one on each of the nodes, until stop(). `handle(job)` returns the report. */
export class Fleet {
  static async start(nodes, name, fns, handle, { recorder = new Recorder(), slots = 5 } = {}) {
    const f = new Fleet();
    Object.assign(f, { recorder, handle, going: true, odd: [] });
    f.loops = await Promise.all(nodes.map(async (node, i) => {
      await node.worker(`${name}-${i}`, fns, { max_concurrent_jobs: slots });
      return f.serve(new Worker(node, `${name}-${i}`), slots);
    }));
    f.loops = f.loops.map((x) => x.ended);
    return f;
  }

  /** In an object, so that nobody waits for its end. */
  serve(worker, slots) {
    const lost = (e) => ({ status: 0, text: String(e) });
    const loop = async () => {
      while (this.going) {
        const polled = await worker.poll(slots).catch(lost);
        if (![200, 204, 503, 0].includes(polled.status)) this.odd.push(`poll ${polled.status} ${polled.text}`);
        await Promise.all((polled.body?.jobs ?? []).map((job) => this.work(worker, job)));
      }
    };
    return { ended: loop() };
  }

  async work(worker, job) {
    this.recorder.begin(job.run_id, job.execution_seq);
    const report = await this.handle(job, worker);
    this.recorder.end(job.run_id, job.execution_seq);
    for (;;) { // an outcome is sent until somebody answers
      const answer = await worker.update(job, report).catch((e) => ({ status: 0, text: String(e) }));
      if ([200, 409].includes(answer.status)) return;
      if (answer.status !== 503 && answer.status !== 0) {
        this.odd.push(`report ${answer.status} ${answer.text}`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop() {
    this.going = false;
    await Promise.all(this.loops);
    assert.deepEqual(this.odd, []);
    this.recorder.check();
  }
}
