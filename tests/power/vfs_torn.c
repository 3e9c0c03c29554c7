/* See vfs_torn.h. A node is a file by its path; it outlives the handles, as a disk does. */
#include "vfs_torn.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/rng.h"
#include "base/sync.h"

enum { SECTOR = 512, PATH_BYTES_MAX = 512 };

enum op_kind { OP_WRITE, OP_TRUNCATE };

struct op {
    struct op *next;
    enum op_kind kind;
    int64_t at; /* offset, or the size of a truncate */
    int n;
    unsigned char bytes[];
};

struct image {
    unsigned char *p;
    int64_t n, cap;
};

struct node {
    struct node *next;
    char path[PATH_BYTES_MAX];
    bool live;           /* it exists now */
    bool named;          /* it is in the directory as last synced */
    struct image synced; /* what a crash cannot take */
    struct op *first, *last;
    int handles;
};

struct torn_file {
    sqlite3_file base;
    struct node *node; /* NULL: a temporary file */
    bool dir_sync;     /* SQLite's own: the first sync of a new log syncs its directory too */
    sqlite3_file *real;
};

static struct {
    struct mutex lock;
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    struct node *nodes;
    int64_t crash_after;
    bool down;
    enum vfs_torn_fault fault;
    struct vfs_torn_stats stats;
} torn;

/* ---- images ---------------------------------------------------------------------------------- */

static void image_size(struct image *m, int64_t n)
{
    if (n > m->cap) {
        m->cap = n * 2;
        m->p = mem_resize(m->p, (size_t)m->cap);
    }
    if (n > m->n)
        memset(m->p + m->n, 0, (size_t)(n - m->n));
    m->n = n;
}

static void image_write(struct image *m, int64_t at, const unsigned char *p, int64_t n)
{
    if (at + n > m->n)
        image_size(m, at + n);
    memcpy(m->p + at, p, (size_t)n);
}

static void image_apply(struct image *m, const struct op *o)
{
    if (o->kind == OP_TRUNCATE)
        image_size(m, o->at);
    else
        image_write(m, o->at, o->bytes, o->n);
}

/* Some sectors arrive and some do not; bytes outside the write are never harmed. */
static void image_tear(struct image *m, const struct op *o, struct rng *r)
{
    int64_t at = o->at;
    int64_t end = o->at + o->n;

    while (at < end) {
        int64_t next = (at / SECTOR + 1) * SECTOR;
        next = next < end ? next : end;
        if (rng_below(r, 2) == 0)
            image_write(m, at, o->bytes + (at - o->at), next - at);
        at = next;
    }
}

static void ops_free(struct node *n)
{
    while (n->first != NULL) {
        struct op *o = n->first;
        n->first = o->next;
        mem_free(o);
    }
    n->last = NULL;
}

static void op_add(struct node *n, enum op_kind kind, int64_t at, const void *p, int len)
{
    struct op *o = mem_alloc(sizeof(*o) + (size_t)len);

    *o = (struct op){ .kind = kind, .at = at, .n = len };
    if (len > 0)
        memcpy(o->bytes, p, (size_t)len);
    if (n->last != NULL)
        n->last->next = o;
    else
        n->first = o;
    n->last = o;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* What stands on the disk when we first hear of a file is taken as safe. */
static void node_load(struct node *n)
{
    unsigned char block[4096];
    int fd = open(n->path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    if (fd < 0)
        return;
    n->live = n->named = true;
    while ((got = read(fd, block, sizeof(block))) > 0)
        image_write(&n->synced, n->synced.n, block, got);
    (void)close(fd);
}

static struct node *node_find(const char *path)
{
    struct node *n = torn.nodes;

    while (n != NULL && strcmp(n->path, path) != 0)
        n = n->next;
    return n;
}

static struct node *node_get(const char *path)
{
    struct node *n = node_find(path);

    if (n != NULL)
        return n;
    must(strlen(path) < PATH_BYTES_MAX);
    n = mem_zero(sizeof(*n));
    memcpy(n->path, path, strlen(path));
    node_load(n);
    n->next = torn.nodes;
    torn.nodes = n;
    return n;
}

static void node_forget(struct node *n)
{
    ops_free(n);
    image_size(&n->synced, 0);
    n->live = n->named = false;
}

/* Creations and deletions are safe from here on. */
static void sync_names(void)
{
    for (struct node *n = torn.nodes; n != NULL; n = n->next) {
        if (n->live)
            n->named = true;
        else
            node_forget(n);
    }
}

/* Counts a change; true when the power is out, be it since now. */
static bool power_fails(void)
{
    torn.stats.ops++;
    if (torn.crash_after > 0 && --torn.crash_after == 0)
        torn.down = true;
    return torn.down;
}

/* ---- file methods ---------------------------------------------------------------------------- */

static struct torn_file *file_of(sqlite3_file *f)
{
    return (struct torn_file *)f;
}

static int torn_close(sqlite3_file *f)
{
    struct torn_file *t = file_of(f);

    mutex_lock(&torn.lock);
    if (t->node != NULL)
        t->node->handles--;
    mutex_unlock(&torn.lock);
    return t->real->pMethods->xClose(t->real);
}

static int torn_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xRead(real, p, n, at);
}

/* Decides under the lock what becomes of a change, and records it. */
static int record(struct torn_file *t, enum op_kind kind, int64_t at, const void *p, int n)
{
    int rc = SQLITE_OK;

    mutex_lock(&torn.lock);
    bool was_down = torn.down;
    if (power_fails())
        rc = SQLITE_IOERR_WRITE;
    else if (torn.fault == VFS_TORN_DISK_FULL && kind == OP_WRITE)
        rc = SQLITE_FULL;
    if (!was_down && rc != SQLITE_FULL && t->node != NULL)
        op_add(t->node, kind, at, p, n);
    mutex_unlock(&torn.lock);
    return rc;
}

static int torn_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct torn_file *t = file_of(f);
    int rc = record(t, OP_WRITE, at, p, n);

    return rc != SQLITE_OK ? rc : t->real->pMethods->xWrite(t->real, p, n, at);
}

static int torn_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct torn_file *t = file_of(f);
    int rc = record(t, OP_TRUNCATE, size, NULL, 0);

    return rc != SQLITE_OK ? SQLITE_IOERR_TRUNCATE : t->real->pMethods->xTruncate(t->real, size);
}

/* The real fsync is left out: our disk is the image, and the tests are quicker. */
static int torn_sync(sqlite3_file *f, int flags)
{
    struct torn_file *t = file_of(f);
    struct node *n = t->node;
    int rc = SQLITE_OK;

    (void)flags;
    mutex_lock(&torn.lock);
    torn.stats.syncs++;
    if (power_fails() || torn.fault == VFS_TORN_SYNC_FAILS) {
        rc = SQLITE_IOERR_FSYNC;
    } else if (n != NULL) {
        for (const struct op *o = n->first; o != NULL; o = o->next)
            image_apply(&n->synced, o);
        ops_free(n);
        if (t->dir_sync)
            sync_names();
        t->dir_sync = false;
    }
    mutex_unlock(&torn.lock);
    return rc;
}

static int torn_file_size(sqlite3_file *f, sqlite3_int64 *out)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xFileSize(real, out);
}

static int torn_lock(sqlite3_file *f, int level)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xLock(real, level);
}

static int torn_unlock(sqlite3_file *f, int level)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xUnlock(real, level);
}

static int torn_check_lock(sqlite3_file *f, int *out)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xCheckReservedLock(real, out);
}

static int torn_control(sqlite3_file *f, int op, void *arg)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xFileControl(real, op, arg);
}

static int torn_sector_size(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}

static int torn_device(sqlite3_file *f)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xDeviceCharacteristics(real);
}

static int torn_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xShmMap(real, page, size, extend, out);
}

static int torn_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xShmLock(real, offset, n, flags);
}

static void torn_shm_barrier(sqlite3_file *f)
{
    sqlite3_file *real = file_of(f)->real;

    real->pMethods->xShmBarrier(real);
}

static int torn_shm_unmap(sqlite3_file *f, int remove)
{
    sqlite3_file *real = file_of(f)->real;

    return real->pMethods->xShmUnmap(real, remove);
}

static const sqlite3_io_methods torn_methods = {
    .iVersion = 2, /* no memory-mapped reads */
    .xClose = torn_close,
    .xRead = torn_read,
    .xWrite = torn_write,
    .xTruncate = torn_truncate,
    .xSync = torn_sync,
    .xFileSize = torn_file_size,
    .xLock = torn_lock,
    .xUnlock = torn_unlock,
    .xCheckReservedLock = torn_check_lock,
    .xFileControl = torn_control,
    .xSectorSize = torn_sector_size,
    .xDeviceCharacteristics = torn_device,
    .xShmMap = torn_shm_map,
    .xShmLock = torn_shm_lock,
    .xShmBarrier = torn_shm_barrier,
    .xShmUnmap = torn_shm_unmap,
};

/* ---- the VFS --------------------------------------------------------------------------------- */

/* A file made anew where one was deleted is another file: the old one cannot come back. */
static void node_open(struct torn_file *t, const char *path, int flags)
{
    struct node *n = node_get(path);
    int log = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;

    if (!n->live)
        node_forget(n);
    n->live = true;
    n->handles++;
    t->node = n;
    t->dir_sync = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & log) != 0;
}

static int torn_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
    struct torn_file *t = file_of(f);
    int rc = SQLITE_CANTOPEN;

    (void)v;
    memset(t, 0, sizeof(*t));
    t->real = (sqlite3_file *)(t + 1);
    mutex_lock(&torn.lock);
    if (!torn.down) {
        if (path != NULL)
            (void)node_get(path); /* before it is made, to know whether it was there */
        rc = torn.real->xOpen(torn.real, path, t->real, flags, out_flags);
        if (rc == SQLITE_OK) {
            f->pMethods = &torn_methods;
            if (path != NULL)
                node_open(t, path, flags);
        }
    }
    mutex_unlock(&torn.lock);
    return rc;
}

static int torn_delete(sqlite3_vfs *v, const char *path, int sync_dir)
{
    int rc = SQLITE_IOERR_DELETE;

    (void)v;
    mutex_lock(&torn.lock);
    struct node *n = node_get(path);
    if (!power_fails()) {
        rc = torn.real->xDelete(torn.real, path, 0);
        if (rc == SQLITE_OK)
            n->live = false;
        if (rc == SQLITE_OK && sync_dir != 0)
            sync_names();
    }
    mutex_unlock(&torn.lock);
    return rc;
}

void vfs_torn_set_up(void)
{
    memset(&torn, 0, sizeof(torn));
    mutex_init(&torn.lock);
    torn.real = sqlite3_vfs_find(NULL);
    must(torn.real != NULL);
    torn.vfs = *torn.real;
    torn.vfs.zName = VFS_TORN;
    torn.vfs.pNext = NULL;
    torn.vfs.szOsFile = (int)sizeof(struct torn_file) + torn.real->szOsFile;
    torn.vfs.xOpen = torn_open;
    torn.vfs.xDelete = torn_delete;
    must(sqlite3_vfs_register(&torn.vfs, 0) == SQLITE_OK);
}

void vfs_torn_tear_down(void)
{
    must(sqlite3_vfs_unregister(&torn.vfs) == SQLITE_OK);
    while (torn.nodes != NULL) {
        struct node *n = torn.nodes;
        must(n->handles == 0);
        torn.nodes = n->next;
        ops_free(n);
        mem_free(n->synced.p);
        mem_free(n);
    }
    mutex_done(&torn.lock);
}

void vfs_torn_crash_after(int64_t k)
{
    mutex_lock(&torn.lock);
    torn.crash_after = k;
    mutex_unlock(&torn.lock);
}

void vfs_torn_crash(void)
{
    mutex_lock(&torn.lock);
    torn.down = true;
    mutex_unlock(&torn.lock);
}

bool vfs_torn_is_down(void)
{
    mutex_lock(&torn.lock);
    bool down = torn.down;
    mutex_unlock(&torn.lock);
    return down;
}

void vfs_torn_fail(enum vfs_torn_fault what)
{
    mutex_lock(&torn.lock);
    torn.fault = what;
    mutex_unlock(&torn.lock);
}

struct vfs_torn_stats vfs_torn_stats(void)
{
    mutex_lock(&torn.lock);
    struct vfs_torn_stats s = torn.stats;
    mutex_unlock(&torn.lock);
    return s;
}

/* ---- after the crash ------------------------------------------------------------------------- */

static void node_put(const struct node *n)
{
    int64_t at = 0;

    if (!n->live) {
        (void)unlink(n->path);
        return;
    }
    int fd = open(n->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    must(fd >= 0);
    while (at < n->synced.n) {
        ssize_t done = write(fd, n->synced.p + at, (size_t)(n->synced.n - at));
        must(done > 0);
        at += done;
    }
    must(close(fd) == 0);
}

/* Mercy is in 16ths: how many of the writes of this file are kept, by a different chance each time,
 * since a file that lost everything and one that lost a single write go wrong in different ways. */
static void node_crash(struct node *n, struct rng *r)
{
    uint64_t mercy = rng_below(r, 17);

    if (n->live != n->named)
        n->live = rng_below(r, 2) == 0; /* created or deleted, and the directory not synced */
    n->named = n->live;
    for (const struct op *o = n->first; o != NULL; o = o->next) {
        uint64_t draw = rng_below(r, 16);
        if (draw < mercy) {
            image_apply(&n->synced, o);
            torn.stats.kept++;
        } else if (o->kind == OP_WRITE && draw % 2 == 0) {
            image_tear(&n->synced, o, r);
            torn.stats.torn++;
        } else {
            torn.stats.dropped++;
        }
    }
    ops_free(n);
    if (!n->live)
        node_forget(n);
}

/* The shared memory of the log is no disk: nothing of it survives. */
static void node_drop_shm(const struct node *n)
{
    char path[PATH_BYTES_MAX + 8];
    size_t len = strlen(n->path);

    memcpy(path, n->path, len);
    memcpy(path + len, "-shm", 5);
    (void)unlink(path);
}

void vfs_torn_restore(uint64_t seed)
{
    struct rng r;

    rng_seed(&r, seed);
    mutex_lock(&torn.lock);
    must(torn.down);
    for (struct node *n = torn.nodes; n != NULL; n = n->next) {
        must(n->handles == 0);
        node_crash(n, &r);
        node_put(n);
        node_drop_shm(n);
    }
    torn.down = false;
    torn.crash_after = 0;
    mutex_unlock(&torn.lock);
}
