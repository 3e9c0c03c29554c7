// A server whose disk fails on demand (diskfault.c): its database is SQLite, its binary the release one.
import { dirname, join, resolve } from 'node:path';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Server, bin } from '../e2e/lib.mjs';

export const releaseBin = bin.replace(/-t?san$/, '');
export const preload = resolve(dirname(bin), 'tests/diskfault.so');

/** The environment that puts the faults named in `control` under a program's database in `dir`. */
export function faultEnv(dir, control) {
  return { LD_PRELOAD: preload, DISKFAULT_CONTROL: control, DISKFAULT_DB: join(dir, 'ironflow.db') };
}

export class Disk {
  /** A running server on a disk that works until `fail`. */
  static async start(t, options = {}) {
    const dir = mkdtempSync(join(tmpdir(), 'ironflow-disk-'));
    const disk = new Disk();
    disk.control = join(dir, 'control');
    disk.works();
    disk.server = await Server.start({ ...options, sqlite: true, bin: releaseBin, dir,
      env: { ...faultEnv(dir, disk.control), ...options.env } });
    t.after(async () => {
      disk.works();
      await disk.server.stop();
      rmSync(dir, { recursive: true, force: true });
    });
    return disk;
  }

  /** Lines of the form "full .db" (see diskfault.c). */
  fail(...lines) { writeFileSync(this.control, lines.join('\n') + '\n'); }
  works() { writeFileSync(this.control, ''); }
}
