// A published worker on polls with its ten slots and more jobs than slots, as its source has it: it polls
// with its free slots, sleeps a second when it is full or the answer is empty, and acknowledges each job
// before it runs it. How long after a slot got free does the next job start?
import { Server, at, pause, print, scaled, until } from './lib.mjs';

const SLOTS = 10;

async function work(server, id, runs, jobMs, runtime) {
  const path = `/api/v1/workers/${id}`, starts = [];
  let active = 0, done = 0, freed = [];
  const job = async (j) => {
    const fence = { run_id: j.run_id, execution_seq: j.execution_seq, lease_token: j.lease_token };
    active++;
    const free = freed.shift();
    await server.call('PUT', `${path}/jobs/${j.job_id}/ack`, fence);
    if (free !== undefined) starts.push(performance.now() - free);
    await pause(jobMs * (0.5 + Math.random()));
    await server.call('PUT', `${path}/jobs/${j.job_id}`, { status: 'completed', output: { ok: true }, steps: [], ...fence });
    active--;
    done++;
    freed.push(performance.now());
  };
  await server.call('POST', `${path}/register`, { function_ids: ['bench-slots'], max_concurrent_jobs: SLOTS,
    version: { sdk: '0.29.0', runtime } });
  while (done + active < runs) {
    if (active >= SLOTS) {
      await pause(1000);
      continue;
    }
    const { status, body } = await server.call('GET', `${path}/jobs?available=${SLOTS - active}`);
    if (status === 204) await pause(1000);
    else for (const j of body.jobs) void job(j);
  }
  await until('the last jobs', () => done === runs, 60000);
  return starts;
}

export async function slots() {
  const server = await Server.start(), runs = scaled(400, 40);
  await server.register('bench-slots', 'bench.slots');
  for (const [name, jobMs] of [['slots', 20], ['slots_200_ms', 200], ['slots_2_s', 2000]]) {
    const n = jobMs < 1000 ? runs : 60;
    await server.emitAll('bench.slots', n);
    const from = performance.now(), starts = await work(server, name, n, jobMs, 'node-v22.3.0');
    const seconds = (performance.now() - from) / 1000;
    print(name, { job_ms: jobMs, jobs: n, per_second: n / seconds, slots_busy_percent: (n * jobMs) / (10 * seconds * SLOTS),
      start_p50_ms: at(starts, 0.5), start_p99_ms: at(starts, 0.99) });
  }
  await server.stop();
}
