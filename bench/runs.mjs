// The figures that must not change as data grows: emits, runs over polls, streams and push, recording.
import net from 'node:net';
import { SYNC, print, program, scaled } from './lib.mjs';

/** The C client library's worker. */
async function working(server, mode) {
  const w = program('worker', [server.url, mode, 64]);
  await server.workers(1);
  return w;
}

const body = (name) => `{"event":"bench.${name}","data":{"n":%n}}`;

async function emit(server, suffix) {
  const path = '/api/v1/events', plain = '{"name":"bench.emit","data":{"n":%n}';

  await server.register('bench-emit', 'bench.emit');
  await server.load(path, 64, 5000, `${plain}}`);
  print(`emit${suffix}`, await server.load(path, 64, 100000, `${plain}}`));
  print(`emit_key${suffix}`, await server.load(path, 64, 100000, `${plain},"idempotency_key":"%r"}`));
}

async function runs(server, suffix) {
  for (const mode of ['final', 'progress']) {
    const w = await working(server, mode);
    await server.load(SYNC, 64, 3000, body(mode));
    print(`runs_3_steps_${mode}${suffix}`, await server.load(SYNC, 64, mode === 'final' ? 60000 : 20000, body(mode)));
    if (mode === 'final') print(`run_latency${suffix}`, await server.load(SYNC, 1, 3000, body(mode)));
    await w.stop();
  }
}

/** A run of the function has the steps that it should have. */
async function check(server, id) {
  const run = (await server.call('GET', `/api/v1/runs?function_id=${id}&limit=1`)).body.runs[0];
  const { steps } = (await server.call('GET', `/api/v1/runs/${run.id}/steps`)).body;
  if (run.status !== 'completed' || steps.length !== 3 || steps.some((s) => s.status !== 'completed'))
    throw new Error(`${id}: ${run.status} with ${steps.length} steps`);
}

/** Workers on a stream: the C client library's, and one that costs next to nothing, acknowledges each job
 *  and sends each step as a message of its own, so that the server is all that is measured. */
async function stream(server, suffix) {
  await server.register('bench-raw', 'bench.raw');
  for (const [mode, begin] of [['stream', () => working(server, 'stream')],
    ['raw', () => program('stream', [server.port, 'steps', 1, 128, 'bench-raw'])]]) {
    const w = await begin();
    await server.workers(1);
    await server.load(SYNC, 64, 3000, body(mode));
    print(`runs_3_steps_${mode}${suffix}`, await server.load(SYNC, 64, 60000, body(mode)));
    print(`${mode}_latency${suffix}`, await server.load(SYNC, 1, 3000, body(mode)));
    await w.stop();
    await check(server, `bench-${mode}`);
  }
}

/** A push endpoint that answers at once; raw, so that it costs less than what it measures. */
async function endpoint() {
  const text = '{"status":"completed","steps":[],"result":{"ok":true}}';
  const reply = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
  const server = net.createServer((socket) => {
    let text = '';
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (d) => {
      text += d.toString('latin1');
      for (;;) {
        const head = text.indexOf('\r\n\r\n');
        if (head < 0) return;
        const end = head + 4 + Number(/content-length: (\d+)/i.exec(text.slice(0, head))[1]);
        if (text.length < end) return;
        text = text.slice(end);
        socket.write(reply);
      }
    });
  });
  await new Promise((r) => server.listen(0, '127.0.0.1', r));
  return server;
}

async function push(server, suffix) {
  const at = await endpoint();
  await server.register('bench-push', 'bench.push', { preferredMode: 'EXECUTION_MODE_PUSH',
    endpointUrl: `http://127.0.0.1:${at.address().port}/` });
  await server.load(SYNC, 64, 3000, body('push'));
  print(`push${suffix}`, await server.load(SYNC, 64, 40000, body('push')));
  print(`push_latency${suffix}`, await server.load(SYNC, 1, 3000, body('push')));
  at.close();
}

/** The same runs with and without, in turns, so that both meet the same machine. */
async function recording(server, suffix) {
  const cpu = { off: 0, on: 0 }, turns = 4, w = await working(server, 'final');
  for (let i = 0; i < 2 * turns; i++) {
    const mode = i % 2 ? 'on' : 'off';
    await server.register('bench-final', 'bench.final', { recording: mode === 'on', recordingRetention: '7d' });
    await server.load(SYNC, 64, 2000, body('final'));
    cpu[mode] += (await server.load(SYNC, 64, 15000, body('final'))).server_cpu_s_per_1000 / turns;
  }
  print(`recording${suffix}`, { runs: 2 * turns * scaled(15000), server_cpu_s_per_1000: cpu.on, without: cpu.off,
    added_percent: 100 * (cpu.on / cpu.off - 1) });
  await w.stop();
}

export const figures = { emit, runs, stream, push, recording };
