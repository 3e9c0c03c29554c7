/* The bootstrap key file: written beside its place, synced, then moved there. */
#include "main/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "codec/json.h"

static str_t content(struct ctx *c, str_t key, str_t key_id)
{
    struct buf b, at;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, 4096);
    buf_init_arena(&at, c->arena, 64);
    time_rfc3339(&at, clock_now(clock_system()));
    json_open(&w, '{');
    json_key(&w, S("key"));
    json_put_str(&w, key);
    json_key(&w, S("id"));
    json_put_str(&w, key_id);
    json_key(&w, S("name"));
    json_put_str(&w, S("bootstrap-admin"));
    json_key(&w, S("org_id"));
    json_put_str(&w, S("org_default"));
    json_key(&w, S("environment_id"));
    json_put_str(&w, S("env_default"));
    json_key(&w, S("roles"));
    json_put_raw(&w, S("[\"admin\"]"));
    json_key(&w, S("created_at"));
    json_put_str(&w, buf_str(&at));
    json_close(&w, '}');
    buf_char(&b, '\n');
    return buf_str(&b);
}

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

static bool write_file(const char *temp, const char *path, str_t text)
{
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    bool ok;

    if (fd < 0)
        return false;
    ok = write_all(fd, text) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (ok && rename(temp, path) == 0)
        return true;
    unlink(temp);
    return false;
}

/* The key of another database is not lost: an older file stays as <path>.old. */
static void keep_old(struct ctx *c, str_t path)
{
    const char *old = str_z(c->arena, str_printf(c->arena, STR_FMT ".old", STR_ARG(path)));

    if (rename(str_z(c->arena, path), old) == 0)
        log_warn("another database's key file was there; it is kept",
                 "path=\"" STR_FMT "\" kept=\"%s\"", STR_ARG(path), old);
}

static void sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

err_t keyfile_write(struct ctx *c, str_t path, str_t key, str_t key_id)
{
    str_t dir = S("."), temp = str_printf(c->arena, STR_FMT ".%ld", STR_ARG(path), (long)getpid());

    for (size_t i = path.n; i > 1; i--)
        if (path.p[i - 1] == '/') {
            dir = str_slice(path, 0, i - 1);
            break;
        }
    if (mkdir(str_z(c->arena, dir), 0700) != 0 && errno != EEXIST)
        return err_set(c, ERR_UNAVAILABLE, "cannot create " STR_FMT ": %s", STR_ARG(dir),
                       strerror(errno));
    keep_old(c, path);
    if (!write_file(str_z(c->arena, temp), str_z(c->arena, path), content(c, key, key_id)))
        return err_set(c, ERR_UNAVAILABLE, "cannot write " STR_FMT ": %s", STR_ARG(path),
                       strerror(errno));
    sync_dir(str_z(c->arena, dir));
    return ERR_OK;
}
