// The published Connect client over our own contract: protoc makes the descriptors, the client does the rest, so
// nothing here knows an envelope. `make connect` installs the client and names what protoc made.
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { until } from '../e2e/lib.mjs';

const set = process.env.IRONFLOW_DESCRIPTORS;
if (!set) throw new Error('IRONFLOW_DESCRIPTORS names no descriptor set; run these tests with `make connect`');
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(set)));

export const service = (name) => registry.getService(`ironflow.v1.${name}`);

/** A transport in either codec with the server's credential; `key` replaces it. */
export function transport(server, { binary = true, httpVersion = '2', key, ...more } = {}) {
  const authorization = key === undefined ? server.headers().authorization : key && `Bearer ${key}`;
  return createConnectTransport({
    baseUrl: server.url, httpVersion, useBinaryFormat: binary,
    interceptors: [(next) => (request) => {
      if (authorization) request.header.set('authorization', authorization);
      return next(request);
    }], ...more,
  });
}

/** A worker's stream: what came is in `messages`, `end` is null after a clean end or the ConnectError. */
export class Stream {
  constructor(server, { timeoutMs, input, ...options } = {}) {
    this.manager = new Http2SessionManager(server.url);
    const worker = service('WorkerService');
    const client = createClient(input ? withInput(worker, input) : worker,
      transport(server, { sessionManager: this.manager, ...options }));
    this.messages = [];
    this.queue = [];
    this.aborting = new AbortController();
    this.closed = this.run(client, timeoutMs);
  }

  async run(client, timeoutMs) {
    try {
      const answers = client.connect(this.outgoing(), { signal: this.aborting.signal, timeoutMs });
      for await (const { payload } of answers) this.messages.push(payload);
      this.end = null;
    } catch (e) {
      this.end = ConnectError.from(e);
    }
    this.wake?.();
    this.manager.abort();
    return this;
  }

  async * outgoing() {
    while (this.end === undefined) {
      while (this.queue.length > 0) yield this.queue.shift();
      if (this.half) return;
      await new Promise((resolve) => { this.wake = resolve; });
    }
  }

  /** Sends messages: { jobAck: {...} }. */
  send(...messages) {
    for (const m of messages) {
      const [name, value] = Object.entries(m)[0];
      this.queue.push({ payload: { case: name, value } });
    }
    this.wake?.();
    return this;
  }

  /** The next message of a kind; it is taken out. */
  next(kind) {
    return until(`a message ${kind}`, () => {
      const at = this.messages.findIndex((m) => m.case === kind);
      if (at < 0 && this.end !== undefined) throw new Error(`the stream ended: ${this.end}`);
      return at >= 0 && this.messages.splice(at, 1)[0].value;
    });
  }

  /** Half-closes. */
  finish() {
    this.half = true;
    this.wake?.();
    return this.closed;
  }

  abort() {
    this.aborting.abort();
    return this.closed;
  }
}

/** The service with another input for Connect: what a confused client sends. */
function withInput(worker, input) {
  const connect = { ...worker.method.connect, input };
  return { ...worker, methods: [connect], method: { connect } };
}

export const fence = (job) => ({ jobId: job.jobId, executionSeq: job.executionSeq, leaseToken: job.leaseToken });

/** A registered worker on a stream. */
export async function connect(server, id, functions, options = {}) {
  const w = new Stream(server, options);
  w.send({ register: { workerId: id, hostname: 'h', functionIds: functions, maxConcurrentJobs: 10,
    labels: { a: 'b' }, version: { sdk: '0.29.0', runtime: 'node-v20' } } });
  const registered = await w.next('registered');
  if (registered.workerId !== id) throw new Error(`registered as ${registered.workerId}`);
  return w;
}

export { Code, ConnectError, createClient };
