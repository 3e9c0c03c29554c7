// 10,000 workers that have nothing to do, each on its connection: what the server holds for them in memory
// and spends on them.
import net from 'node:net';
import { Server, pause, print, program, scaled, until } from './lib.mjs';

const WATCH_S = 20;

/** A worker of the published kind, as bytes: registers, then polls; an empty answer is polled again after
 *  the second that clients sleep. */
function poller(port, i, onRegistered) {
  const path = `/api/v1/workers/idle-${i}`;
  const body = JSON.stringify({ worker_id: `idle-${i}`, hostname: 'bench', function_ids: ['bench-idle'], max_concurrent_jobs: 10,
    labels: {}, version: { sdk: '0.29.0', runtime: 'node-v22.3.0' } });
  const head = 'host: 127.0.0.1\r\ncontent-type: application/json\r\naccept: */*\r\nuser-agent: node\r\nX-Ironflow-Environment: default\r\n';
  const socket = net.connect(port, '127.0.0.1');
  let text = '', registered = false;
  const poll = () => { if (!socket.destroyed) socket.write(`GET ${path}/jobs?available=10 HTTP/1.1\r\n${head}\r\n`); };
  socket.on('error', (e) => { throw e; });
  socket.on('data', (d) => {
    text += d;
    const end = text.indexOf('\r\n\r\n'), status = Number(text.slice(9, 12));
    if (end < 0 || text.length < end + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)) return;
    if (status !== 200 && status !== 204) throw new Error(text);
    text = '';
    if (!registered) {
      registered = true;
      onRegistered();
      poll();
    } else {
      setTimeout(poll, 1000);
    }
  });
  socket.write(`POST ${path}/register HTTP/1.1\r\n${head}content-length: ${body.length}\r\n\r\n${body}`);
  return socket;
}

async function watch(name, server, n, before) {
  await pause(2000);
  const { server_cpu_s_per_1000 } = await server.cpuOf(1000, () => pause(WATCH_S * 1000));
  const rss = server.rssMiB();
  print(name, { connections: n, rss_mib: rss, bytes_per_connection: ((rss - before) * 1048576) / n, cpu_percent: (100 * server_cpu_s_per_1000) / WATCH_S });
}

export async function idlePolls() {
  const server = await Server.start(), n = scaled(10000), sockets = [], before = server.rssMiB();
  let registered = 0;
  await server.register('bench-idle', 'bench.idle');
  for (let i = 0; i < n; i++) {
    sockets.push(poller(server.port, i, () => registered++));
    await until('registrations', () => registered > i - 256);
  }
  await until('the last registrations', () => registered === n);
  await watch('idle_polls', server, n, before);
  for (const s of sockets) s.destroy();
  await server.stop();
}

export async function idleStreams() {
  const server = await Server.start(), n = scaled(10000), before = server.rssMiB();
  await server.register('bench-idle', 'bench.idle');
  const w = program('stream', [server.port, 'idle', n, 10, 'bench-idle']);
  await server.workers(n);
  await watch('idle_streams', server, n, before);
  await w.stop();
  await server.stop();
}
