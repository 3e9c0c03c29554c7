/* PostgreSQL behind db.h: one libpq connection a thread, statements prepared by address, parameters
 * and results in binary. A connection that was lost is opened again by the next db_begin.
 *
 * Parameter types: what the first use binds is declared; for a NULL the server decides. When a
 * later use binds another kind, the statement is prepared anew, so that eight bytes never meet an
 * int4. */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "db/db_pg_priv.h"

/* Type numbers of PostgreSQL's catalogue; they never change. */
enum pg_type {
    PG_UNKNOWN = 0,
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_OID = 26,
    PG_FLOAT4 = 700,
    PG_FLOAT8 = 701,
    PG_NUMERIC = 1700,
};

enum { PG_VERSION_MIN = 120000, STMT_NAME_MAX = 24, TELL_EVERY_S = 10 };

struct pg_db {
    struct db base;
    char *url; /* heap */
};

struct pg_stmt {
    char name[STMT_NAME_MAX];
    struct db_text info;
    Oid types[DB_ARGS_MAX + 1];
    PGresult *result; /* of the open query */
    uint64_t use;
};

struct pg_conn {
    struct db_conn base;
    PGconn *h;
    uint64_t names;
    bool away;      /* the last attempt to connect again failed */
    int64_t told_s; /* when the log was told last of an error that clients are not told */
};

/* Values in the form that libpq wants; the fixed-size ones live here. */
struct pg_params {
    const char *values[DB_ARGS_MAX + 1];
    int lengths[DB_ARGS_MAX + 1];
    int formats[DB_ARGS_MAX + 1];
    uint64_t words[DB_ARGS_MAX + 1];
    int n;
};

static struct pg_conn *conn_of(const struct ctx *c)
{
    return (struct pg_conn *)db_conn_of(c);
}

/* ---- errors ---------------------------------------------------------------------------------- */

struct state_row {
    const char *prefix; /* of the SQLSTATE */
    err_t err;
    const char *text;
};

/* All that clients are told of a server in trouble: where it is and what it is called is the
 * operator's business and stands in the log. */
static const char unavailable[] = "the database is unavailable";

static const struct state_row states[] = {
    { "40001", ERR_RETRY, "the transaction lost a race" },
    { "40P01", ERR_RETRY, "the transaction lost a race" },
    { "55P03", ERR_RETRY, "a lock was not available" },
    { "23505", ERR_EXISTS, "a row with this key exists already" },
    { "22021", ERR_INVALID, "text contains a byte that the database cannot store" },
    { "53100", ERR_UNAVAILABLE, "the disk of the database is full" },
    { "53", ERR_UNAVAILABLE, unavailable },
    { "54000", ERR_TOO_LARGE, "a value is too large for the database" },
    { "25P03", ERR_RETRY, unavailable }, /* see set_up */
    { "57014", ERR_DEADLINE, "the statement was cancelled" },
    { "57P", ERR_RETRY, unavailable },
    { "08", ERR_RETRY, unavailable },
    { "25006", ERR_UNAVAILABLE, "the database is read-only" },
    { "58", ERR_UNAVAILABLE, unavailable },
    { "XX", ERR_UNAVAILABLE, unavailable },
};

str_t pg_first_line(const char *text)
{
    str_t rest = str_from(text);
    str_t line = STR_NULL;

    (void)str_cut(&rest, '\n', &line);
    return line;
}

/* Into the log, not for every statement of a bad time. */
static void tell(struct pg_conn *k, const char *state, str_t why)
{
    int64_t now_s = clock_mono_ns() / 1000000000;

    if (k->told_s != 0 && now_s - k->told_s < TELL_EVERY_S)
        return;
    k->told_s = now_s;
    log_warn("the database has a problem", "state=%s error=\"" STR_FMT "\"", state, STR_ARG(why));
}

/* Our mistake, or that of who changed the tables: clients learn its number, the log the rest. */
static err_t refused(struct ctx *c, const char *state, str_t why)
{
    log_error("the database refused a statement", "state=%s error=\"" STR_FMT "\"", state,
              STR_ARG(why));
    return err_set(c, ERR_INTERNAL, "the database refused a statement (%s)", state);
}

/* A statement that failed has ended the transaction, always. Nothing of it happened, so a lost
 * connection is a race like any other. */
static err_t pg_error(struct ctx *c, struct pg_conn *k, const PGresult *r)
{
    const char *state = r != NULL ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *said = r != NULL ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    k->base.tx.dead = true;
    if (state == NULL) {
        str_t why = pg_first_line(PQerrorMessage(k->h));
        if (PQstatus(k->h) == CONNECTION_BAD) {
            tell(k, "none", why);
            return err_set(c, ERR_RETRY, "%s", unavailable);
        }
        return refused(c, "none", why);
    }
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        if (!str_starts(str_from(state), str_from(states[i].prefix)))
            continue;
        if (states[i].text == unavailable)
            tell(k, state, str_from(said != NULL ? said : "error"));
        return err_set(c, states[i].err, "%s", states[i].text);
    }
    return refused(c, state, str_from(said != NULL ? said : "error"));
}

/* ---- statements ------------------------------------------------------------------------------ */

static Oid type_of(const struct db_val *v)
{
    switch (v->kind) {
    case DB_VAL_NULL:
        return PG_UNKNOWN;
    case DB_VAL_INT:
        return PG_INT8;
    case DB_VAL_REAL:
        return PG_FLOAT8;
    case DB_VAL_TEXT:
        return PG_TEXT;
    case DB_VAL_BLOB:
        return PG_BYTEA;
    }
    return PG_UNKNOWN;
}

/* Asks the server which types it gave to parameters that were NULL at first use. */
static err_t learn_types(struct ctx *c, struct pg_conn *k, struct pg_stmt *s, int n)
{
    bool unknown = false;

    for (int i = 0; i < n; i++)
        unknown = unknown || s->types[i] == PG_UNKNOWN;
    if (!unknown)
        return ERR_OK;
    PGresult *r = PQdescribePrepared(k->h, s->name);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        err_t e = pg_error(c, k, r);
        PQclear(r);
        return e;
    }
    for (int i = 0; i < n && i < PQnparams(r); i++)
        s->types[i] = PQparamtype(r, i);
    PQclear(r);
    return ERR_OK;
}

/* Best effort: what remains on the server ends with the connection. */
static void forget(struct pg_conn *k, const struct pg_stmt *s)
{
    char text[STMT_NAME_MAX + 16];

    (void)snprintf(text, sizeof(text), "DEALLOCATE %s", s->name);
    PQclear(PQexec(k->h, text));
}

static err_t stmt_prepare(struct ctx *c, struct pg_conn *k, const struct sql *q, struct pg_stmt *s)
{
    struct buf text;

    buf_init_arena(&text, c->arena, DB_TEXT_BYTES_MAX);
    TRY(db_text_expand(c, DB_PG, str_from(q->text), &text, &s->info));
    if (s->name[0] != '\0')
        forget(k, s);
    int n = s->info.env_param > 0 ? s->info.env_param : s->info.args;
    if (s->info.env_param > 0)
        s->types[n - 1] = PG_INT8;
    (void)snprintf(s->name, sizeof(s->name), "s%llu", (unsigned long long)++k->names);
    PGresult *r = PQprepare(k->h, s->name, str_z(c->arena, buf_str(&text)), n, s->types);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        err_t e = pg_error(c, k, r);
        PQclear(r);
        s->name[0] = '\0';
        return e;
    }
    PQclear(r);
    return learn_types(c, k, s, n);
}

static void stmt_end(struct pg_stmt *s)
{
    PQclear(s->result);
    s->result = NULL;
}

static void stmts_clear(struct pg_conn *k)
{
    struct pg_stmt *s = NULL;

    for (size_t i = 0; (s = map_next(&k->base.stmts, &i)) != NULL;) {
        stmt_end(s);
        mem_free(s);
    }
    map_done(&k->base.stmts);
    k->base.stmts = (struct map){ 0 };
}

/* True when the statement as prepared cannot take these arguments. */
static bool merge_types(struct pg_stmt *s, struct db_args args)
{
    bool differs = false;

    for (size_t i = 0; i < args.n; i++) {
        Oid want = type_of(&args.v[i]);
        if (want == PG_UNKNOWN || want == s->types[i])
            continue;
        s->types[i] = want;
        differs = true;
    }
    return differs;
}

static err_t stmt_ready(struct ctx *c, struct pg_conn *k, const struct sql *q, struct db_args args,
                        struct pg_stmt **out)
{
    struct pg_stmt *s = map_get(&k->base.stmts, (uint64_t)(uintptr_t)q);

    must(args.n <= DB_ARGS_MAX);
    if (s == NULL) {
        s = mem_zero(sizeof(*s));
        (void)map_put(&k->base.stmts, (uint64_t)(uintptr_t)q, s);
    }
    stmt_end(s);
    if (merge_types(s, args) || s->name[0] == '\0')
        TRY(stmt_prepare(c, k, q, s));
    must(args.n == (size_t)s->info.args);
    *out = s;
    return ERR_OK;
}

static void put_word(struct pg_params *p, uint64_t v)
{
    p->words[p->n] = htobe64(v);
    p->values[p->n] = (const char *)&p->words[p->n];
    p->lengths[p->n] = 8;
}

static err_t put_value(struct ctx *c, struct pg_params *p, const struct db_val *v)
{
    uint64_t word = 0;

    p->formats[p->n] = 1;
    switch (v->kind) {
    case DB_VAL_NULL:
        p->values[p->n] = NULL;
        p->lengths[p->n] = 0;
        break;
    case DB_VAL_INT:
        put_word(p, (uint64_t)v->i);
        break;
    case DB_VAL_REAL:
        memcpy(&word, &v->r, sizeof(word));
        put_word(p, word);
        break;
    case DB_VAL_TEXT:
    case DB_VAL_BLOB:
        if (v->s.n > INT32_MAX)
            return err_set(c, ERR_TOO_LARGE, "a value is too large for the database");
        p->values[p->n] = v->s.n > 0 ? v->s.p : "";
        p->lengths[p->n] = (int)v->s.n;
        break;
    }
    p->n++;
    return ERR_OK;
}

static bool is_ok(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static int64_t changed_rows(PGresult *r)
{
    int64_t n = 0;

    return str_to_i64(str_from(PQcmdTuples(r)), &n) ? n : 0;
}

/* SELECT counts its rows in the same place; only these words change something. */
static bool is_write(PGresult *r)
{
    str_t tag = str_from(PQcmdStatus(r));

    return !str_starts(tag, S("SELECT")) && changed_rows(r) > 0;
}

static err_t run(struct ctx *c, struct pg_conn *k, struct pg_stmt *s, struct db_args args,
                 PGresult **out)
{
    struct pg_params p;

    p.n = 0;
    for (size_t i = 0; i < args.n; i++)
        TRY(put_value(c, &p, &args.v[i]));
    if (s->info.env_param > 0)
        TRY(put_value(c, &p, &DB_INT(c->env)));
    PGresult *r = PQexecPrepared(k->h, s->name, p.n, p.values, p.lengths, p.formats, 1);
    if (!is_ok(r)) {
        err_t e = pg_error(c, k, r);
        PQclear(r);
        return e;
    }
    k->base.tx.writes += is_write(r);
    *out = r;
    return ERR_OK;
}

static err_t pg_exec(struct ctx *c, const struct sql *q, struct db_args args, int64_t *changed)
{
    struct pg_conn *k = conn_of(c);
    struct pg_stmt *s = NULL;
    PGresult *r = NULL;

    TRY(stmt_ready(c, k, q, args, &s));
    TRY(run(c, k, s, args, &r));
    if (changed != NULL)
        *changed = is_write(r) ? changed_rows(r) : 0;
    PQclear(r);
    return ERR_OK;
}

static err_t pg_query(struct ctx *c, const struct sql *q, struct db_args args, struct db_rows *out)
{
    struct pg_conn *k = conn_of(c);
    struct pg_stmt *s = NULL;

    TRY(stmt_ready(c, k, q, args, &s));
    TRY(run(c, k, s, args, &s->result));
    s->use++;
    *out = (struct db_rows){ .c = c, .impl = s, .at = -1, .open = s->use };
    return ERR_OK;
}

static bool pg_row(struct db_rows *r)
{
    const struct pg_stmt *s = r->impl;

    if (s->result == NULL || s->use != r->open) {
        r->err = err_set(r->c, ERR_INTERNAL, "a result was read after its end");
        return false;
    }
    if (r->at < PQntuples(s->result))
        r->at++;
    return r->at < PQntuples(s->result);
}

static err_t pg_end(struct db_rows *r)
{
    struct pg_stmt *s = r->impl;

    if (s != NULL && s->use == r->open)
        stmt_end(s);
    return r->err;
}

static err_t pg_script(struct ctx *c, str_t text)
{
    struct pg_conn *k = conn_of(c);
    struct buf b;
    struct db_text info = { 0 };

    buf_init_arena(&b, c->arena, DB_TEXT_BYTES_MAX);
    TRY(db_text_expand(c, DB_PG, text, &b, &info));
    must(info.args == 0 && info.env_param == 0);
    PGresult *r = PQexec(k->h, str_z(c->arena, buf_str(&b)));
    err_t e = is_ok(r) ? ERR_OK : pg_error(c, k, r);
    PQclear(r);
    k->base.tx.writes += e == ERR_OK;
    return e;
}

/* ---- values ---------------------------------------------------------------------------------- */

static const struct pg_stmt *cell_of(const struct db_rows *r, int col)
{
    const struct pg_stmt *s = r->impl;

    must(s->result != NULL && s->use == r->open && r->at >= 0 && r->at < PQntuples(s->result));
    must(col >= 0 && col < PQnfields(s->result));
    return s;
}

static uint64_t read_be(const char *p, int n)
{
    uint64_t v = 0;

    for (int i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

/* The sum of BIGINTs is a numeric: groups of four decimal digits, weight of the first, sign. Digits
 * after the point are cut off, as a cast to an integer column would never be asked of us. */
static int64_t read_numeric(const char *p, int len)
{
    int groups = (int)(int16_t)read_be(p, 2);
    int weight = (int)(int16_t)read_be(p + 2, 2);
    bool negative = read_be(p + 4, 2) == 0x4000;
    int64_t v = 0;

    must(len == 8 + 2 * groups);
    for (int i = 0; i <= weight; i++) {
        int64_t digits = i < groups ? (int64_t)read_be(p + 8 + 2 * (size_t)i, 2) : 0;
        if (__builtin_mul_overflow(v, (int64_t)10000, &v) || __builtin_sub_overflow(v, digits, &v))
            return negative ? INT64_MIN : INT64_MAX;
    }
    if (negative)
        return v;
    return v == INT64_MIN ? INT64_MAX : -v;
}

static double read_float(const char *p, int n)
{
    uint64_t word = read_be(p, n);
    uint32_t half = (uint32_t)word;
    double d = 0;
    float f = 0;

    if (n == 4) {
        memcpy(&f, &half, sizeof(f));
        return (double)f;
    }
    memcpy(&d, &word, sizeof(d));
    return d;
}

static int64_t pg_get_int(const struct db_rows *r, int col)
{
    const PGresult *res = cell_of(r, col)->result;
    const char *p = PQgetvalue(res, (int)r->at, col);
    int n = PQgetlength(res, (int)r->at, col);

    if (PQgetisnull(res, (int)r->at, col))
        return 0;
    switch ((enum pg_type)PQftype(res, col)) {
    case PG_INT8:
        return (int64_t)read_be(p, 8);
    case PG_INT4:
        return (int32_t)read_be(p, 4);
    case PG_INT2:
        return (int16_t)read_be(p, 2);
    case PG_BOOL:
    case PG_OID:
        return (int64_t)read_be(p, n);
    case PG_NUMERIC:
        return read_numeric(p, n);
    case PG_FLOAT4:
    case PG_FLOAT8:
        return (int64_t)read_float(p, n);
    case PG_UNKNOWN:
    case PG_BYTEA:
    case PG_TEXT:
        break;
    }
    must_fail(__FILE__, __LINE__, "db_int of a column that is no number");
}

static double pg_get_real(const struct db_rows *r, int col)
{
    const PGresult *res = cell_of(r, col)->result;
    Oid type = PQftype(res, col);

    if (PQgetisnull(res, (int)r->at, col))
        return 0;
    if (type != PG_FLOAT4 && type != PG_FLOAT8)
        return (double)pg_get_int(r, col);
    return read_float(PQgetvalue(res, (int)r->at, col), PQgetlength(res, (int)r->at, col));
}

static str_t pg_get_str(const struct db_rows *r, int col)
{
    const PGresult *res = cell_of(r, col)->result;
    size_t n = (size_t)PQgetlength(res, (int)r->at, col);

    if (PQgetisnull(res, (int)r->at, col))
        return STR_NULL;
    return str_dup(r->c->arena, (str_t){ PQgetvalue(res, (int)r->at, col), n });
}

static bool pg_is_null(const struct db_rows *r, int col)
{
    return PQgetisnull(cell_of(r, col)->result, (int)r->at, col) == 1;
}

/* ---- connections and transactions ------------------------------------------------------------ */

static void on_notice(void *arg, const PGresult *r)
{
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    (void)arg;
    log_debug("database notice", "text=\"%s\"", text != NULL ? text : "");
}

static err_t check_server(struct ctx *c, PGconn *h)
{
    const char *encoding = PQparameterStatus(h, "server_encoding");

    if (PQserverVersion(h) < PG_VERSION_MIN)
        return err_set(c, ERR_PRECONDITION, "PostgreSQL %d is too old: 12 or newer is needed",
                       PQserverVersion(h) / 10000);
    if (encoding == NULL || strcmp(encoding, "UTF8") != 0)
        return err_set(c, ERR_PRECONDITION, "the database has encoding %s: UTF8 is needed",
                       encoding != NULL ? encoding : "unknown");
    return ERR_OK;
}

/* A server that was stopped inside a transaction must not hold its rows against the others. */
static err_t set_up(struct ctx *c, PGconn *h)
{
    PGresult *r = PQexec(h, "SET idle_in_transaction_session_timeout = '10s'");
    bool done = is_ok(r);

    PQclear(r);
    return done ? ERR_OK
                : err_set(c, ERR_UNAVAILABLE, "cannot set the database up: " STR_FMT,
                          STR_ARG(pg_first_line(PQerrorMessage(h))));
}

/* What stands before the URL (dbname) is overruled by it, what stands after it is not. */
err_t pg_connect(struct ctx *c, const struct db *base, PGconn **out)
{
    static const char *const names[] = { "connect_timeout",
                                         "keepalives_idle",
                                         "tcp_user_timeout",
                                         "application_name",
                                         "dbname",
                                         "client_encoding",
                                         NULL };
    const char *values[] = { "5",    "30", "30000", "ironflow", ((const struct pg_db *)base)->url,
                             "UTF8", NULL };
    PGconn *h = PQconnectdbParams(names, values, 1);
    err_t e = ERR_OK;

    if (PQstatus(h) != CONNECTION_OK) {
        str_t why = pg_first_line(PQerrorMessage(h));
        e = err_set(c, ERR_UNAVAILABLE, "cannot reach the database: " STR_FMT, STR_ARG(why));
    } else {
        e = check_server(c, h);
    }
    if (e == ERR_OK)
        e = set_up(c, h);
    if (e != ERR_OK) {
        PQfinish(h);
        return e;
    }
    (void)PQsetNoticeReceiver(h, on_notice, NULL);
    *out = h;
    return ERR_OK;
}

static err_t pg_conn_open(struct ctx *c, struct db *base, bool write, struct db_conn **out)
{
    PGconn *h = NULL;

    (void)write;
    TRY(pg_connect(c, base, &h));
    struct pg_conn *k = mem_zero(sizeof(*k));
    k->h = h;
    *out = &k->base;
    return ERR_OK;
}

static void pg_conn_close(struct db_conn *base)
{
    struct pg_conn *k = (struct pg_conn *)base;

    stmts_clear(k);
    PQfinish(k->h);
    mem_free(k);
}

static err_t reconnect(struct ctx *c, struct pg_conn *k)
{
    PGconn *h = NULL;
    err_t e = pg_connect(c, k->base.db, &h);

    if (e != ERR_OK) {
        if (!k->away)
            log_warn("the database cannot be reached", "error=\"" STR_FMT "\"",
                     STR_ARG(err_text(c, e)));
        k->away = true;
        return err_set(c, ERR_UNAVAILABLE, "%s", unavailable);
    }
    k->away = false;
    stmts_clear(k);
    PQfinish(k->h);
    k->h = h;
    log_info("database connection restored", "pid=%d", PQbackendPID(h));
    return ERR_OK;
}

static const char *begin_text(bool write)
{
    return write ? "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
                 : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
}

/* A connection that idled may have been lost unnoticed; then BEGIN tells, and is said again on a
 * new one. */
static err_t pg_begin(struct ctx *c, struct db_conn *base, bool write)
{
    struct pg_conn *k = (struct pg_conn *)base;

    if (PQstatus(k->h) == CONNECTION_BAD)
        TRY(reconnect(c, k));
    PGresult *r = PQexec(k->h, begin_text(write));
    if (!is_ok(r) && PQstatus(k->h) == CONNECTION_BAD) {
        PQclear(r);
        TRY(reconnect(c, k));
        r = PQexec(k->h, begin_text(write));
    }
    err_t e = is_ok(r) ? ERR_OK : pg_error(c, k, r);
    PQclear(r);
    /* Two losses in a row are no race: the server is going down. */
    if (e == ERR_RETRY)
        return err_set(c, ERR_UNAVAILABLE, "%s", unavailable);
    return e;
}

static void end_results(struct pg_conn *k)
{
    struct pg_stmt *s = NULL;

    for (size_t i = 0; (s = map_next(&k->base.stmts, &i)) != NULL;)
        stmt_end(s);
}

static void pg_rollback(struct db_conn *base)
{
    struct pg_conn *k = (struct pg_conn *)base;

    end_results(k);
    if (PQstatus(k->h) == CONNECTION_OK && PQtransactionStatus(k->h) != PQTRANS_IDLE)
        PQclear(PQexec(k->h, "ROLLBACK")); /* a lost connection rolls back too */
}

/* Only a commit that could have written something leaves a doubt. */
static err_t lost_commit(struct ctx *c, const struct pg_conn *k)
{
    if (k->base.tx.writes == 0)
        return err_set(c, ERR_RETRY, "%s", unavailable);
    return err_set(c, ERR_UNCERTAIN, "the connection to the database was lost in COMMIT");
}

static err_t pg_commit(struct ctx *c, struct db_conn *base)
{
    struct pg_conn *k = (struct pg_conn *)base;

    end_results(k);
    PGresult *r = PQexec(k->h, "COMMIT");
    err_t e = ERR_OK;
    if (PQstatus(k->h) == CONNECTION_BAD)
        e = k->base.tx.write ? lost_commit(c, k) : ERR_OK;
    else if (!is_ok(r))
        e = pg_error(c, k, r);
    else if (strcmp(PQcmdStatus(r), "COMMIT") != 0)
        e = err_set(c, ERR_RETRY, "the database rolled the transaction back");
    PQclear(r);
    if (e != ERR_OK)
        pg_rollback(base);
    return e;
}

static err_t pg_checkpoint(struct ctx *c, struct db_conn *k)
{
    (void)c;
    (void)k;
    return ERR_OK; /* the server's own affair */
}

/* ---- opening --------------------------------------------------------------------------------- */

static void pg_close(struct db *base)
{
    struct pg_db *d = (struct pg_db *)base;

    mem_free(d->url);
    mem_free(d);
}

static const struct db_driver pg_driver = {
    .close = pg_close,
    .conn_open = pg_conn_open,
    .conn_close = pg_conn_close,
    .begin = pg_begin,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .exec = pg_exec,
    .query = pg_query,
    .row = pg_row,
    .end = pg_end,
    .script = pg_script,
    .checkpoint = pg_checkpoint,
    .get_int = pg_get_int,
    .get_real = pg_get_real,
    .get_str = pg_get_str,
    .is_null = pg_is_null,
};

err_t db_pg_open(struct ctx *c, const struct db_opts *o, struct db **out)
{
    struct pg_db *d = mem_zero(sizeof(*d));
    char *url = mem_alloc(o->path.n + 1);
    PGconn *probe = NULL;

    memcpy(url, o->path.p, o->path.n);
    url[o->path.n] = '\0';
    d->base.driver = &pg_driver;
    d->base.kind = DB_PG;
    d->base.readers = true;
    d->url = url;
    err_t e = pg_connect(c, &d->base, &probe);
    PQfinish(probe);
    if (e != ERR_OK) {
        pg_close(&d->base);
        return e;
    }
    *out = &d->base;
    return ERR_OK;
}
