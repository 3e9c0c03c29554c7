// What 10,000 registered functions add to an emit that starts none of them but meets their patterns: emits on
// a server with 10 and on one with 10,000, in turns; and the match alone.
import { Server, print, program, scaled } from './lib.mjs';

const TURNS = 4;

/** Exact names, patterns with a star and patterns with a tail, as bench/match.c has them. */
const trigger = (i) => [`team${i % 100}.thing${i}.done`, `team${i % 100}.*.done${i}`, `team${i % 100}.thing${i}.>`][i % 10 < 8 ? 0 : i % 10 - 7];

async function prepare(n) {
  const s = await Server.start();
  for (let i = 0; i < n; i += 32)
    await Promise.all(Array.from({ length: Math.min(32, n - i) }, (_, k) => s.register(`f${i + k}`, trigger(i + k))));
  return s;
}

export async function match() {
  const n = scaled(10000, 10), few = await prepare(10), many = await prepare(n), cpu = { few: [], many: [] };
  const emit = async (s) => (await s.load('/api/v1/events', 64, 40000, '{"name":"team42.nothing.happened","data":{"n":%n}}')).server_cpu_s_per_1000;
  await emit(few);
  await emit(many);
  for (let i = 0; i < TURNS; i++) {
    cpu.few.push(await emit(few));
    cpu.many.push(await emit(many));
  }
  const best = (list) => Math.min(...list), unit = await program('match', [n]).result;
  print('match', { functions: n, server_cpu_s_per_1000: best(cpu.many), with_10: best(cpu.few),
    added_us: 1000 * (best(cpu.many) - best(cpu.few)), match_us: unit.hit_us, match_none_us: unit.none_us });
  await few.stop();
  await many.stop();
}
