/* A SQLite VFS that plays a machine losing its power. It writes through to the real files, so that
 * every connection sees them, and keeps beside each what a disk would surely hold: the content at
 * its last xSync, and the writes since. After a crash the files become that content plus a seeded
 * choice of the writes, each kept, dropped, or torn at sectors of 512 bytes. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VFS_TORN "torn" /* for db_opts.vfs */

/* Registers the VFS, with nothing known of any file. */
void vfs_torn_set_up(void);
/* Unregisters it; every file must be closed. */
void vfs_torn_tear_down(void);

/* The power goes in the k-th write, truncate, sync or delete from now on; 0: not at all. */
void vfs_torn_crash_after(int64_t k);
/* It goes now. Until vfs_torn_restore everything that would change a file fails and changes
 * nothing. */
void vfs_torn_crash(void);
bool vfs_torn_is_down(void);
/* With every file closed: makes the files what the disk would show after the crash, power is back.
 */
void vfs_torn_restore(uint64_t seed);

enum vfs_torn_fault { VFS_TORN_NONE, VFS_TORN_SYNC_FAILS, VFS_TORN_DISK_FULL };
/* Until changed: every sync fails, or every write says that the disk is full. */
void vfs_torn_fail(enum vfs_torn_fault what);

struct vfs_torn_stats {
    int64_t ops, syncs;          /* since set_up */
    int64_t kept, dropped, torn; /* unsynced writes at crashes */
};
struct vfs_torn_stats vfs_torn_stats(void);
