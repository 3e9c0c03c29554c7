// kill -9 at random moments under full load, then the account of everything that was acknowledged.
// CRASH_KILLS (50) on SQLite, CRASH_PG_KILLS (10) on PostgreSQL when IRONFLOW_TEST_PG_URL names one.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Server, pgUrl, until } from '../e2e/lib.mjs';
import { Load, pause } from './load.mjs';

const LEASE_MS = 2000;
const env = { LOG_LEVEL: 'error', IRONFLOW_LEASE_MS: String(LEASE_MS), IRONFLOW_LEASE_CLAIM_MS: '700',
  IRONFLOW_GRACE_MS: '200', IRONFLOW_POLL_HOLD_MS: '300' };
const OPEN = 'pending,running,waiting,paused';

async function crashes(t, options, kills) {
  const server = await Server.start({ env, ...options });
  const load = new Load(server, LEASE_MS);
  t.after(async () => { load.close(); await server.stop(); });
  await server.register('load', 'load.go',
    { retry: { maxAttempts: 1000, initialDelayMs: 50, backoffFactor: 1, maxDelayMs: 50 } });
  const emitters = Array.from({ length: 8 }, () => load.emitter());
  const workers = Array.from({ length: 6 }, (_, i) => load.worker(i));

  for (let kill = 0; kill < kills; kill++) {
    await pause(Math.random() * 1300);
    if (kill % 2 === 0) load.kill(kill % 6); // now and then a worker dies with it
    await server.crash();
  }
  load.emitting = false;
  await Promise.all(emitters);
  await until('every run to end', async () => {
    const open = await load.call('GET', `/runs?status=${OPEN}&limit=1`);
    return open?.status === 200 && open.body.runs.length === 0;
  }, 60000);
  load.working = false;
  await Promise.all(workers);
  await load.account();
  t.diagnostic(`${kills} kills, ${load.runs.size} runs, ${load.stored} events stored; acknowledged: ` +
    Object.entries(load.n).map(([k, v]) => `${v} ${k}`).join(', '));
  assert.deepEqual(load.faults, [], 'lost or repeated');
  assert.ok(load.n.completions > kills * 10 && load.n.unanswered > kills / 2, 'the load was real');
}

test('SQLite: nothing acknowledged is lost or repeated', (t) =>
  crashes(t, { sqlite: true }, Number(process.env.CRASH_KILLS ?? 50)));

test('PostgreSQL: nothing acknowledged is lost or repeated', { skip: !pgUrl && 'no database' }, (t) =>
  crashes(t, {}, Number(process.env.CRASH_PG_KILLS ?? 10)));
