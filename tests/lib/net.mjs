// Raw sockets for tests that must see and send single bytes, and what the kernel says of a process.
import net from 'node:net';
import { readFileSync, readdirSync } from 'node:fs';
import { until } from '../e2e/lib.mjs';

/** One connection: everything that arrived is in `text` unless it was told not to read. */
export class Socket {
  constructor(port, { host = '127.0.0.1', reading = true } = {}) {
    this.text = '';
    this.ended = false;
    this.closed = false;
    this.socket = net.connect({ port, host, allowHalfOpen: true });
    this.socket.setNoDelay(true);
    if (reading) this.read();
    this.socket.on('error', (e) => (this.error = e));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('close', () => (this.closed = true));
    this.connected = new Promise((resolve, reject) => {
      this.socket.on('connect', resolve);
      this.socket.on('error', reject);
    });
    this.connected.catch(() => {});
  }

  static async open(port, options) {
    const s = new Socket(port, options);
    await s.connected;
    return s;
  }

  read() {
    this.socket.on('data', (d) => (this.text += d.toString('latin1')));
  }

  write(data) {
    return new Promise((resolve) => this.socket.write(data, () => resolve()));
  }

  /** The statuses of all answers so far, in order. */
  statuses() {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((m) => Number(m[1]));
  }

  async answers(n, timeoutMs) {
    await until(`${n} answers; got: ${this.text.slice(0, 300)}`, () => this.statuses().length >= n, timeoutMs);
    return this.statuses();
  }

  /** Waits until the server has closed its side. */
  untilEnd(timeoutMs) {
    return until('the server to close', () => this.ended || this.closed, timeoutMs);
  }

  half() { this.socket.end(); }
  close() { this.socket.destroy(); }
  /** Closes with a reset, as a crashed peer does. */
  reset() { this.socket.resetAndDestroy(); }
}

/** An HTTP/1.1 request as text; a body brings its length. */
export function request(method, path, { body, headers = {}, version = '1.1' } = {}) {
  const all = { Host: 'test', ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }), ...headers };
  const lines = Object.entries(all).filter(([, v]) => v !== null).map(([k, v]) => `${k}: ${v}\r\n`).join('');
  return `${method} ${path} HTTP/${version}\r\n${lines}\r\n${body ?? ''}`;
}

/** Resident memory of a process in MiB. */
export function residentMiB(pid) {
  return Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1024;
}

export function openFiles(pid) {
  return readdirSync(`/proc/${pid}/fd`).length;
}
