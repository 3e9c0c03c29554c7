// A PostgreSQL of one test's own, which may be stopped and crashed without disturbing other suites.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../e2e/lib.mjs';

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
