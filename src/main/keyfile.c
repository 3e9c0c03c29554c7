/* The bootstrap key file. */
#include "main/keyfile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/time.h"
#include "codec/json.h"
#include "main/file.h"

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

/* The key of another database is not lost: an older file stays as <path>.old. */
static void keep_old(struct ctx *c, str_t path)
{
    const char *old = str_z(c->arena, str_printf(c->arena, STR_FMT ".old", STR_ARG(path)));

    if (rename(str_z(c->arena, path), old) == 0)
        log_warn("another database's key file was there; it is kept",
                 "path=\"" STR_FMT "\" kept=\"%s\"", STR_ARG(path), old);
}

err_t keyfile_write(struct ctx *c, str_t path, str_t key, str_t key_id)
{
    TRY(file_make_dirs(c, file_dir(path)));
    keep_old(c, path);
    if (!file_write(c, path, content(c, key, key_id), 0400))
        return err_set(c, ERR_UNAVAILABLE, "cannot write " STR_FMT ": %s", STR_ARG(path),
                       strerror(errno));
    return ERR_OK;
}
