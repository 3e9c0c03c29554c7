/* Files written with care: what a crash leaves behind is the old one or the new one. Read whole. */
#include "main/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

static bool write_all(int fd, str_t s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = str_slice(s, (size_t)n, s.n);
    }
    return true;
}

static void sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

str_t file_dir(str_t path)
{
    for (size_t i = path.n; i > 0; i--)
        if (path.p[i - 1] == '/')
            return str_slice(path, 0, i > 1 ? i - 1 : 1);
    return S(".");
}

bool file_write(struct ctx *c, str_t path, str_t text, mode_t mode)
{
    const char *to = str_z(c->arena, path);
    const char *temp =
        str_z(c->arena, str_printf(c->arena, STR_FMT ".%ld", STR_ARG(path), (long)getpid()));
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok;
    int why;

    if (fd < 0)
        return false;
    ok = write_all(fd, text) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (ok && rename(temp, to) == 0) {
        sync_dir(str_z(c->arena, file_dir(path)));
        return true;
    }
    why = errno;
    unlink(temp);
    errno = why;
    return false;
}

static err_t make_dir(struct ctx *c, str_t dir)
{
    if (mkdir(str_z(c->arena, dir), 0700) == 0) {
        sync_dir(str_z(c->arena, file_dir(dir)));
        return ERR_OK;
    }
    if (errno == EEXIST)
        return ERR_OK;
    return err_set(c, ERR_UNAVAILABLE, "cannot create " STR_FMT ": %s", STR_ARG(dir),
                   strerror(errno));
}

err_t file_make_dirs(struct ctx *c, str_t dir)
{
    struct stat st;

    if (stat(str_z(c->arena, dir), &st) == 0)
        return ERR_OK; /* what is wrong with it tells whoever uses it */
    for (size_t i = 1; i < dir.n; i++)
        if (dir.p[i] == '/' && dir.p[i - 1] != '/' &&
            stat(str_z(c->arena, str_slice(dir, 0, i)), &st) != 0)
            TRY(make_dir(c, str_slice(dir, 0, i)));
    return make_dir(c, dir);
}

static err_t read_all(struct ctx *c, int fd, str_t path, size_t max, str_t *out)
{
    struct buf b;

    buf_init_arena(&b, c->arena, max);
    for (;;) {
        char chunk[4096];
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(c, ERR_INVALID, "cannot read " STR_FMT ": %s", STR_ARG(path),
                           strerror(errno));
        if (n == 0)
            break;
        buf_append(&b, (str_t){ chunk, (size_t)n });
        if (b.full)
            return err_set(c, ERR_INVALID, STR_FMT " is larger than %zu bytes", STR_ARG(path), max);
    }
    *out = buf_str(&b);
    return ERR_OK;
}

err_t file_read(struct ctx *c, str_t path, size_t max, str_t *out)
{
    int fd = open(str_z(c->arena, path), O_RDONLY | O_CLOEXEC);
    err_t e;

    if (fd < 0)
        return err_set(c, ERR_INVALID, "cannot read " STR_FMT ": %s", STR_ARG(path),
                       strerror(errno));
    e = read_all(c, fd, path, max, out);
    (void)close(fd);
    return e;
}
