// kill -9 at random moments under full load, then the account of everything that was acknowledged.
// CRASH_KILLS (36) on SQLite, CRASH_PG_KILLS (10) on PostgreSQL when IRONFLOW_TEST_PG_URL names one.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Server, pgUrl, until } from '../e2e/lib.mjs';
import { Load, pause } from './load.mjs';
import { Plain } from './plain.mjs';
import { Push } from './push.mjs';
import { Streams } from './streams.mjs';
import { Children, Waits } from './waits.mjs';
import { Cron, Debounce } from './flow.mjs';
import { Cancel, Inject } from './operators.mjs';

const LEASE_MS = 2000, WORKERS = 6;
const env = { LOG_LEVEL: 'error', IRONFLOW_LEASE_MS: String(LEASE_MS), IRONFLOW_LEASE_CLAIM_MS: '700',
  IRONFLOW_GRACE_MS: '200', IRONFLOW_POLL_HOLD_MS: '300', IRONFLOW_PUSH_TIMEOUT_MS: '8000',
  IRONFLOW_PUSH_STALE_MS: '12000', IRONFLOW_BREAKER_MS: '200' };

const totals = (n) => Object.entries(n).map(([k, v]) => `${v} ${k}`).join(', ');

/** Kills the server and starts it again. */
async function kill(server, load, push) {
  const at = Date.now();
  void server.exited.then(() => push.killed()); // before the next server can ask
  await server.crash();
  load.downMs = Math.max(load.downMs, Date.now() - at);
}

async function crashes(t, options, kills) {
  const server = await Server.start({ env, flags: ['--node-id', 'one'], ...options });
  const load = new Load(server, LEASE_MS);
  t.after(async () => { load.close(); await server.stop(); });
  const push = new Push(load);
  for (const kind of [new Plain(load), push, new Streams(load), new Waits(load), new Children(load),
    new Debounce(load), new Cron(load), new Cancel(load), new Inject(load)]) await load.use(kind);
  const actors = load.kinds.flatMap((kind) => kind.actors());
  const workers = Array.from({ length: WORKERS }, (_, i) => load.worker(i));

  for (let i = 0; i < kills; i++) {
    await pause(Math.random() * 1300);
    if (i % 2 === 0) load.killWorker(i % WORKERS); // now and then a worker dies with it
    await kill(server, load, push);
  }
  await load.finish(actors, workers, (ended) => until('every run to end', ended, 240000));
  t.diagnostic(`${kills} kills, at most ${load.downMs} ms away, ${load.runs.size} runs, ${load.events.size} events; ${totals(load.n)}`);
  for (const kind of load.kinds) t.diagnostic(`${kind.name}: ${totals(kind.n)}`);
  assert.deepEqual(load.faults, [], 'lost or repeated');
  assert.ok(load.n.unanswered > kills / 2, 'the load was real');
  for (const kind of load.kinds) {
    assert.ok((kind.n.emits ?? kind.n.ticks * 4) > kills, `the load of ${kind.name} was real`);
  }
}

test('SQLite: nothing acknowledged is lost or repeated', (t) =>
  crashes(t, { sqlite: true }, Number(process.env.CRASH_KILLS ?? 36)));

test('PostgreSQL: nothing acknowledged is lost or repeated', { skip: !pgUrl && 'no database' }, (t) =>
  crashes(t, {}, Number(process.env.CRASH_PG_KILLS ?? 10)));
