// A worker on a stream: WorkerService/Connect over HTTP/2 with envelopes made by hand.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { until } from '../e2e/lib.mjs';

export const PATH = '/ironflow.v1.WorkerService/Connect';

/** One envelope. */
export function envelope(payload, flags = 0) {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** A stream: what comes is in `messages`, what ended it in `end` (the JSON of the last envelope). */
export class Stream {
  constructor(server, { path = PATH, type = 'application/connect+json', headers = {}, session } = {}) {
    this.session = session ?? http2.connect(server.url);
    this.own = !session;
    this.session.on('error', () => {});
    this.binary = type.endsWith('proto');
    this.messages = [];
    this.stream = this.session.request({
      ':method': 'POST', ':path': path, ...server.headers(), 'content-type': type, ...headers,
    });
    let bytes = Buffer.alloc(0);
    this.closed = new Promise((resolve) => {
      this.stream.on('response', (h) => { this.status = h[':status']; this.headers = h; });
      this.stream.on('data', (d) => {
        bytes = Buffer.concat([bytes, d]);
        this.raw = bytes;
        while (this.status === 200 && bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
          const payload = bytes.subarray(5, 5 + bytes.readUInt32BE(1));
          if (bytes[0] & 2) this.end = JSON.parse(payload);
          else this.messages.push(this.binary ? Buffer.from(payload) : JSON.parse(payload));
          bytes = bytes.subarray(5 + payload.length);
        }
      });
      this.stream.on('error', (e) => { this.error = e; });
      this.stream.on('close', () => {
        if (this.own) this.session.close();
        resolve(this);
      });
    });
  }

  send(...messages) {
    this.stream.write(Buffer.concat(messages.map((m) => envelope(Buffer.isBuffer(m) ? m : JSON.stringify(m)))));
    return this;
  }

  /** The next message of a kind; it is taken out. */
  next(kind, timeoutMs) {
    return until(`a message ${kind} (have ${JSON.stringify(this.messages)})`, () => {
      const at = this.messages.findIndex((m) => m[kind]);
      if (at < 0 && this.end) throw new Error(`the stream ended: ${JSON.stringify(this.end)}`);
      return at >= 0 && this.messages.splice(at, 1)[0][kind];
    }, timeoutMs);
  }

  async close() {
    this.stream.close(http2.constants.NGHTTP2_CANCEL);
    await this.closed;
  }
}

export const fence = (job) => ({ jobId: job.jobId, executionSeq: job.executionSeq, leaseToken: job.leaseToken });

/** A registered worker on a stream. */
export async function connect(server, id, functions, extra = {}, options = {}) {
  const w = new Stream(server, options);
  w.send({ register: { workerId: id, hostname: 'h', functionIds: functions, maxConcurrentJobs: 10,
    labels: { a: 'b' }, version: { sdk: '0.29.0', runtime: 'node-v20' }, ...extra } });
  const first = await until('the first message', () => w.messages[0] || (w.end && assert.fail(JSON.stringify(w.end))));
  assert.ok(first.registered, `the first message is ${JSON.stringify(first)}`);
  w.messages.shift();
  assert.equal(first.registered.workerId, id);
  assert.equal(first.registered.heartbeatIntervalMs, 30000);
  return w;
}
