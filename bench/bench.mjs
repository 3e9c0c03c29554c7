// make bench: the real server over loopback with full durability. One JSON line a row: figures, the server's
// CPU in seconds per 1,000 operations (the figure that a busy machine changes least), the budget where there
// is one, the load of the machine. BENCH=row,row picks rows, BENCH_SCALE=0.1 shortens.
import { join } from 'node:path';
import { Server, folder, must, pause, print, scale } from './lib.mjs';
import { figures } from './runs.mjs';
import { idlePolls, idleStreams } from './idle.mjs';
import { lanes } from './lanes.mjs';
import { match } from './match.mjs';
import { sleepers } from './sleepers.mjs';
import { slots } from './slots.mjs';
import { wakes } from './wakes.mjs';

const rows = { start, ...onOneServer(), lanes, match, slots, sleepers, wakes, idle_polls: idlePolls, idle_streams: idleStreams, growth };
const wanted = process.env.BENCH ? process.env.BENCH.split(',') : Object.keys(rows);
let shared;

function onOneServer() {
  const run = (figure) => async () => figure((shared ??= await Server.start()), '');
  return Object.fromEntries(Object.entries(figures).map(([name, figure]) => [name, run(figure)]));
}

async function start() {
  const times = [];
  let rss = 0;
  for (let i = 0; i < 5; i++) {
    const s = await Server.start();
    times.push(s.startMs);
    await pause(500);
    rss = Math.max(rss, s.rssMiB());
    await s.stop();
  }
  times.sort((a, b) => a - b);
  print('start', { to_health_ms_median: times[2], idle_rss_mib: rss });
}

/** The figures again beside a million finished runs and 100,000 that nobody serves. */
async function growth() {
  const dir = folder();
  let server = await Server.start({ dir });
  await server.register('bench-old', 'bench.old');
  await server.register('bench-idle', 'bench.idle');
  await server.stop();
  must('seed', [join(dir, 'bench.db'), Math.round(1e6 * scale), Math.round(1e5 * scale)]);
  server = await Server.start({ dir });
  print('start_grown', { to_health_ms: server.startMs });
  for (const [name, figure] of Object.entries(figures))
    if (!process.env.BENCH || wanted.includes(name)) await figure(server, '_grown');
  await server.stop();
}

for (const name of wanted) {
  if (!rows[name]) throw new Error(`no row ${name}; there are ${Object.keys(rows).join(', ')}`);
  await rows[name]();
}
if (shared) {
  print('after_load', { rss_mib: shared.rssMiB() });
  await shared.stop();
}
