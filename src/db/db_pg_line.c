/* Lines between servers: LISTEN and NOTIFY, and advisory locks of the session. Nothing here is part
 * of a transaction of ours. */
#include <errno.h>
#include <poll.h>

#include "base/mem.h"
#include "db/db_line.h"
#include "db/db_pg_priv.h"

struct db_line {
    PGconn *h;
    const char *channel;
};

static err_t lost(struct ctx *c, const struct db_line *l)
{
    return err_set(c, ERR_UNAVAILABLE, "the line to the other servers is lost: " STR_FMT,
                   STR_ARG(pg_first_line(PQerrorMessage(l->h))));
}

/* One statement with parameters and a result of one number, as text. */
static err_t ask(struct ctx *c, struct db_line *l, const char *sql, const char *const *args, int n,
                 int64_t *out)
{
    PGresult *r = PQexecParams(l->h, sql, n, NULL, args, NULL, NULL, 0);
    err_t e = ERR_OK;

    if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) != 1)
        e = lost(c, l);
    else if (!str_to_i64(str_from(PQgetvalue(r, 0, 0)), out))
        *out = 0;
    PQclear(r);
    return e;
}

/* Nobody waits for what is said to be on disk. */
static err_t listen(struct ctx *c, struct db_line *l)
{
    str_t text = str_printf(c->arena, "SET synchronous_commit = off; LISTEN %s", l->channel);
    PGresult *r = PQexec(l->h, str_z(c->arena, text));
    err_t e = PQresultStatus(r) == PGRES_COMMAND_OK ? ERR_OK : lost(c, l);

    PQclear(r);
    return e;
}

err_t db_line_open(struct ctx *c, struct db *d, const char *channel, struct db_line **out)
{
    struct db_line *l;
    PGconn *h = NULL;
    err_t e;

    must(d->kind == DB_PG);
    TRY(pg_connect(c, d, &h));
    l = mem_zero(sizeof(*l));
    l->h = h;
    l->channel = channel;
    e = listen(c, l);
    if (e != ERR_OK) {
        db_line_close(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

void db_line_close(struct db_line *l)
{
    if (l == NULL)
        return;
    PQfinish(l->h);
    mem_free(l);
}

err_t db_line_own(struct ctx *c, struct db_line *l, int32_t kind, int32_t name, bool *mine)
{
    const char *args[] = { str_z(c->arena, str_printf(c->arena, "%d", kind)),
                           str_z(c->arena, str_printf(c->arena, "%d", name)) };
    int64_t got = 0;

    TRY(ask(c, l, "SELECT pg_try_advisory_lock($1::int, $2::int)::int", args, 2, &got));
    *mine = got != 0;
    return ERR_OK;
}

err_t db_line_owned(struct ctx *c, struct db_line *l, int32_t kind, int64_t *out)
{
    const char *args[] = { str_z(c->arena, str_printf(c->arena, "%d", kind)) };

    return ask(c, l,
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
               "AND objsubid = 2 AND classid::bigint = $1::int AND database = "
               "(SELECT oid FROM pg_database WHERE datname = current_database())",
               args, 1, out);
}

err_t db_line_clock(struct ctx *c, struct db_line *l, int64_t *out)
{
    TRY(ask(c, l, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", NULL, 0, out));
    return *out > 0 ? ERR_OK : lost(c, l);
}

err_t db_line_say(struct ctx *c, struct db_line *l, str_t text)
{
    const char *args[] = { l->channel, str_z(c->arena, text) };
    int64_t ignored = 0;

    must(text.n <= DB_LINE_TEXT_MAX);
    return ask(c, l, "SELECT 1 FROM pg_notify($1, $2)", args, 2, &ignored);
}

/* What was said and has arrived, but for what we said ourselves. */
static bool take(struct ctx *c, struct db_line *l, str_t *out)
{
    PGnotify *said;
    bool found = false;

    while (!found && (said = PQnotifies(l->h)) != NULL) {
        found = said->be_pid != PQbackendPID(l->h);
        if (found)
            *out = str_dup(c->arena, str_from(said->extra));
        PQfreemem(said);
    }
    return found;
}

err_t db_line_hear(struct ctx *c, struct db_line *l, int wake_fd, int64_t wait_ms, str_t *out)
{
    struct pollfd fds[] = { { PQsocket(l->h), POLLIN, 0 }, { wake_fd, POLLIN, 0 } };

    *out = STR_NULL;
    if (take(c, l, out))
        return ERR_OK;
    if (poll(fds, 2, (int)wait_ms) < 0 && errno != EINTR)
        return lost(c, l);
    if (fds[0].revents == 0)
        return ERR_OK;
    if (!PQconsumeInput(l->h))
        return lost(c, l);
    (void)take(c, l, out);
    return ERR_OK;
}
