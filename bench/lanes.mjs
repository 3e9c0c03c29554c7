// What 100,000 runs that wait in full lanes add to the claims of others: the same claims on a server with
// them and on one without, in turns.
import { Server, print, scaled } from './lib.mjs';

const LANES = 100, TURNS = 6, POLLERS = 20, AT_A_TIME = 64;

/** A server whose leases outlive the row, with both functions and n runs in full lanes. */
async function prepare(n) {
  const s = await Server.start({ env: { IRONFLOW_LEASE_MS: '3600000', IRONFLOW_LEASE_CLAIM_MS: '3600000' } });
  await s.register('bench-lane', 'bench.lane', { concurrency: { limit: 1, key: 'k' } });
  await s.register('bench-claim', 'bench.claim');
  await s.call('POST', '/api/v1/workers/keeper/register', { function_ids: ['bench-lane'], max_concurrent_jobs: LANES });
  await s.emitAll('bench.lane', LANES, (i) => ({ k: i }));
  const { body } = await s.call('GET', `/api/v1/workers/keeper/jobs?available=${LANES}`);
  if (body.jobs.length !== LANES) throw new Error('the lanes are not full');
  await s.emitAll('bench.lane', n, (i) => ({ k: i % LANES }));
  return s;
}

/** Claims n runs with workers that serve both functions; the CPU of the claims alone. */
async function claims(s, n, turn) {
  const paths = Array.from({ length: POLLERS }, (_, i) => `/api/v1/workers/w${turn}-${i}`);
  for (const p of paths)
    await s.call('POST', `${p}/register`, { function_ids: ['bench-lane', 'bench-claim'], max_concurrent_jobs: n / POLLERS });
  await s.emitAll('bench.claim', n);
  const { server_cpu_s_per_1000 } = await s.cpuOf(n, () => Promise.all(paths.map(async (p) => {
    for (let got = 0; got < n / POLLERS;)
      got += (await s.call('GET', `${p}/jobs?available=${Math.min(AT_A_TIME, n / POLLERS - got)}`)).body.jobs.length;
  })));
  return server_cpu_s_per_1000;
}

export async function lanes() {
  const n = scaled(100000), per = Math.ceil(scaled(16000) / POLLERS) * POLLERS;
  const empty = await prepare(0), full = await prepare(n), cpu = { empty: [], full: [] };
  await claims(empty, per, 'warm');
  await claims(full, per, 'warm');
  for (let turn = 0; turn < TURNS; turn++) {
    cpu.empty.push(await claims(empty, per, turn));
    cpu.full.push(await claims(full, per, turn));
  }
  const best = (list) => Math.min(...list);
  print('lanes', { laned: n, claims: TURNS * per, server_cpu_s_per_1000: best(cpu.full), without: best(cpu.empty),
    added_percent: 100 * (best(cpu.full) / best(cpu.empty) - 1) });
  await empty.stop();
  await full.stop();
}
