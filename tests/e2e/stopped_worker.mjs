// A worker in a process of its own, for stopped.test.mjs to stop: node stopped_worker.mjs <url> poll|stream
// <function>. It acknowledges one job, says {begun}, sends heartbeats, and completes the job at the
// message "go". Then it says what became of its reports: {status}, of a stream 409 for a refused step.
import { Worker } from './lib.mjs';
import { connect, fence } from '../lib/stream.mjs';

const BEAT_MS = 200;
const [url, kind, fn] = process.argv.slice(2);
const server = { url, headers: (extra = {}) => ({ 'content-type': 'application/json', ...extra }), rest };
const id = `stopped-${kind}-${process.pid}`;
const go = new Promise((resolve) => { process.once('message', resolve); });

async function rest(method, path, body) {
  const response = await fetch(`${url}/api/v1${path}`, { method, headers: server.headers(), body: body && JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text), text };
}

async function poll() {
  await rest('POST', `/workers/${id}/register`, { worker_id: id, hostname: 'test', function_ids: [fn], max_concurrent_jobs: 1 });
  const w = new Worker(server, id);
  const job = await w.take();
  await w.ack(job);
  const beats = setInterval(() => w.heartbeat({ active_jobs: 1, jobs: [{ job_id: job.job_id }] }).catch(() => {}), BEAT_MS);
  process.send({ begun: { run: job.run_id, seq: job.execution_seq } });
  await go;
  clearInterval(beats);
  process.send({ status: (await w.update(job, { status: 'completed', output: id })).status });
}

async function stream() {
  const w = await connect(server, id, [fn]);
  const job = await w.next('job');
  const beat = () => w.send({ heartbeat: { workerId: id, activeJobs: 1, jobs: [{ ...fence(job), runId: job.runId }] } });
  w.send({ jobAck: fence(job) });
  beat();
  await w.next('leaseRefresh'); // the server has read the ack: from now on we may be stopped
  const beats = setInterval(beat, BEAT_MS);
  process.send({ begun: { run: job.runId, seq: Number(job.executionSeq) } });
  await go;
  clearInterval(beats);
  w.messages.length = 0;
  w.send({ jobCompleted: { ...fence(job), output: { by: id } } });
  w.send({ stepCompleted: { ...fence(job), stepId: `${job.runId}:late:0`, output: {}, durationMs: 1 } });
  process.send({ status: (await w.next('stepAck')).accepted ? 200 : 409 });
  await w.close();
}

await (kind === 'poll' ? poll() : stream());
process.disconnect();
