// 100,000 sleeping runs: what they cost asleep, how late they wake when their times are spread at 5,000 a
// second. Late is what the worker sees: its clock when it has the job, less the time asked for.
import { Server, pause, print, program, scaled, until } from './lib.mjs';

const PER_S = 5000, ASLEEP_S = 10;

export async function sleepers() {
  const server = await Server.start(), runs = scaled(100000, PER_S);
  const status = async (s) => (await server.call('GET', `/api/v1/runs?function_id=bench-sleep&status=${s}&limit=1`)).body.total_count;
  await server.register('bench-sleep', 'bench.sleep');
  const begin = () => program('stream', [server.port, 'sleep', 1, 512, 'bench-sleep']);
  let w = begin();

  // Caches fill with the first of them, which wake at once.
  const warm = Math.round(runs / 2);
  await server.emitAll('bench.sleep', warm, () => ({ at: Date.now() }));
  await until('the warm-up', async () => (await status('completed')) === warm, 120000);
  await w.stop();
  w = begin();
  await pause(2000);
  const before = server.rssMiB();

  // Time to put all to sleep, to watch them and to spare.
  const first = Date.now() + runs * 0.25 + ASLEEP_S * 1000 + 5000;
  await server.emitAll('bench.sleep', runs, (i) => ({ at: first + Math.floor((i * 1000) / PER_S) }));
  await until('all to sleep', async () => (await status('paused')) === runs, 120000);
  await pause(1000);
  const asleep = server.rssMiB(), cpu = server.cpuSeconds();
  await pause(ASLEEP_S * 1000);
  const asleepCpu = server.cpuSeconds() - cpu;
  if (Date.now() > first) throw new Error('they woke before they were all asleep');

  await pause(first - Date.now());
  const woken = await server.cpuOf(runs, () => until('all to end', async () => {
    await pause(200);
    return (await status('completed')) === warm + runs;
  }, 120000));
  const { late_p50_ms, late_p99_ms, late_max_ms, woken: n } = await w.stop();
  print('sleepers', { runs, woken: n, asleep_cpu_percent: (100 * asleepCpu) / ASLEEP_S, rss_before_mib: before,
    rss_asleep_mib: asleep, asleep_bytes_per_run: Math.max(0, ((asleep - before) * 1048576) / runs),
    late_p50_ms, late_p99_ms, late_max_ms, wake_s: woken.seconds, server_cpu_s_per_1000: woken.server_cpu_s_per_1000 });
  await server.stop();
}
