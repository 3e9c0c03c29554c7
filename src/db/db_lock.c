/* One process, one SQLite file: open-file-description locks on <path>.lock and on the file itself,
 * which die with the process, however it ends. The first file holds the pid for the message of
 * whoever comes second; the second one cannot be deleted or reached by another name. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db/db_priv.h"

/* Far behind the bytes that SQLite locks. */
#define LOCK_BYTE ((off_t)1 << 62)

/* Reads a short file; the text without its final newline lives in the arena. */
static str_t read_word(struct ctx *c, int fd)
{
    char text[64];
    ssize_t n = pread(fd, text, sizeof(text), 0);

    return n > 0 ? str_trim(str_dup(c->arena, (str_t){ text, (size_t)n })) : STR_NULL;
}

static err_t refuse_held(struct ctx *c, str_t path, int fd)
{
    str_t pid = read_word(c, fd);
    int64_t number = 0;
    str_t name = STR_NULL;

    if (!str_to_i64(pid, &number))
        return err_set(c, ERR_UNAVAILABLE, "database " STR_FMT " is in use by another process",
                       STR_ARG(path));
    str_t comm = str_printf(c->arena, "/proc/%lld/comm", (long long)number);
    int proc = open(str_z(c->arena, comm), O_RDONLY | O_CLOEXEC);
    if (proc >= 0) {
        name = read_word(c, proc);
        (void)close(proc);
    }
    if (name.n == 0)
        return err_set(c, ERR_UNAVAILABLE, "database " STR_FMT " is in use by process %lld",
                       STR_ARG(path), (long long)number);
    return err_set(c, ERR_UNAVAILABLE,
                   "database " STR_FMT " is in use by process %lld (" STR_FMT ")", STR_ARG(path),
                   (long long)number, STR_ARG(name));
}

err_t db_lock_take(struct ctx *c, str_t path, int *fd)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    const char *name = str_z(c->arena, path);
    char real[PATH_MAX]; /* not used when the database is new */
    str_t file = str_printf(c->arena, "%s.lock", realpath(name, real) != NULL ? real : name);
    int f = open(str_z(c->arena, file), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    char pid[32];

    if (f < 0)
        return err_set(c, ERR_PRECONDITION, "cannot create the lock file " STR_FMT ": %s",
                       STR_ARG(file), strerror(errno));
    if (fcntl(f, F_OFD_SETLK, &whole) != 0) {
        int why = errno;
        err_t e = why == EACCES || why == EAGAIN
                      ? refuse_held(c, path, f)
                      : err_set(c, ERR_PRECONDITION, "cannot lock " STR_FMT ": %s", STR_ARG(file),
                                strerror(why));
        (void)close(f);
        return e;
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    /* The pid only serves a message: a full disk must not keep us from opening. */
    bool noted = ftruncate(f, 0) == 0 && pwrite(f, pid, (size_t)n, 0) == n;
    (void)noted;
    *fd = f;
    return ERR_OK;
}

err_t db_lock_file(struct ctx *c, str_t path, int *fd)
{
    struct flock byte = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = 1
    };
    int f = open(str_z(c->arena, path), O_RDWR | O_CLOEXEC);

    if (f >= 0 && fcntl(f, F_OFD_SETLK, &byte) != 0 && (errno == EACCES || errno == EAGAIN)) {
        (void)close(f);
        return err_set(c, ERR_UNAVAILABLE, "database " STR_FMT " is in use by another process",
                       STR_ARG(path));
    }
    *fd = f;
    return ERR_OK;
}

void db_lock_drop(int fd)
{
    if (fd < 0)
        return;
    bool emptied = ftruncate(fd, 0) == 0;
    (void)emptied; /* a stale pid misleads nobody: the lock itself is gone with the descriptor */
    (void)close(fd);
}
