// One event wakes 100,000 runs: how long its answer takes, when all are awake, what others feel meanwhile,
// what it costs the server. First with nobody who serves those awake, then with a worker that ends them.
import { Server, at, print, program, scaled, until } from './lib.mjs';

async function wake(name, served) {
  const server = await Server.start(), runs = scaled(100000), before = [], during = [];
  const left = async (status) => (await server.call('GET', `/api/v1/runs?function_id=bench-wait&status=${status}&limit=1`)).body.total_count;
  const other = async () => (await server.call('POST', '/api/v1/events', { name: 'nobody.listens', data: {} })).ms;
  await server.register('bench-wait', 'bench.wait');
  const w = program('stream', [server.port, 'wait', 1, 256, 'bench-wait']);
  await server.workers(1);
  await server.emitAll('bench.wait', runs);
  await until('all to wait', async () => (await left('paused')) === runs, 120000);
  if (!served) await w.stop();
  for (let i = 0; i < 500; i++) before.push(await other());
  const cpu = server.cpuSeconds(), wait = server.schedstat(1), from = performance.now(), status = served ? 'paused,pending,running' : 'paused';
  const { ms } = await server.call('POST', '/api/v1/events', { name: 'bench.wake', data: { by: 'bench' } });
  for (let i = 1; i % 10 !== 0 || (await left(status)) > 0; i++) during.push(await other());
  const seconds = (performance.now() - from) / 1000;
  print(name, { runs, answer_ms: ms, [served ? 'all_ended_s' : 'all_awake_s']: seconds, others: during.length,
    others_p50_ms: at(during, 0.5), others_p99_ms: at(during, 0.99), others_max_ms: at(during, 1),
    others_p99_before_ms: at(before, 0.99), cpu_waited_ms: (server.schedstat(1) - wait) * 1000,
    server_cpu_s_per_1000: ((server.cpuSeconds() - cpu) / runs) * 1000 });
  if (served) await w.stop();
  await server.stop();
}

export async function wakes() {
  await wake('wakes', false);
  await wake('wakes_served', true);
}
