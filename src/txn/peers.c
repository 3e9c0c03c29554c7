/* The servers that share one PostgreSQL wake each other: what a transaction of ours signalled, and
 * nobody here took, is told to the others, and what they tell is raised here. Such news may be
 * lost, since who waits looks again after a while; so nobody waits for it to be sent either. The
 * thread owns the line; the list of what is to be told and `alone` are guarded by txn.lock.
 *
 * On the line each server also owns the numbers in which it makes ids, as long as it lives, and
 * looks at the clock of the database, which is the one that counts for all of them. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db_line.h"
#include "txn/txn_priv.h"

#define CHANNEL "ironflow_signals"
/* Of what is owned on the line: slots of ids, names of servers. */
#define KIND_SLOTS 710202602
#define KIND_NAMES 710202603
#define SLOTS 1024
#define SLOT_TEXT_MAX 8
#define NAME_TRIES 20
#define NAME_AGAIN_MS 50
#define TICK_MS 1000 /* looks whether there are others, tries again to reach the database */
#define TELL_EVERY_MS 2
#define UNTOLD_MAX 4096 /* more are forgotten */

struct peers {
    struct txn *t;
    pthread_t thread;
    bool runs;
    int wake_fd;
    struct arena arena;
    struct ctx c;
    struct db_line *line; /* NULL: lost */
    struct buf name;      /* when o.name is another's */
    bool told_lost;
    int64_t looked_ms; /* when it looked, monotonic; 0: never */

    /* under txn.lock */
    struct signal_list untold;
    bool alone, stop;
};

static void nap(const struct peers *p, int ms)
{
    struct pollfd fd = { p->wake_fd, POLLIN, 0 };

    (void)poll(&fd, 1, ms);
}

/* ---- the line -------------------------------------------------------------------------------- */

static err_t line_open(struct peers *p, struct db_line **out)
{
    arena_reset(&p->arena);
    return db_line_open(&p->c, p->t->o.db, CHANNEL, out);
}

/* A clock of a test is nobody else's. */
static err_t clock_look(struct peers *p)
{
    int64_t shown = 0;

    if (p->t->o.clock != clock_system())
        return ERR_OK;
    TRY(db_line_clock(&p->c, p->line, &shown));
    clock_follow(shown);
    return ERR_OK;
}

/* The first free group of slots from o.slot on becomes ours. */
static err_t slot_find(struct peers *p)
{
    struct txn_opts *o = &p->t->o;
    int64_t groups = SLOTS / o->threads, at = o->slot / o->threads;
    bool mine = false;

    for (int64_t i = 0; i < groups && !mine; i++) {
        int64_t group = (at + i) % groups;

        TRY(db_line_own(&p->c, p->line, KIND_SLOTS, (int32_t)group, &mine));
        o->slot = group * o->threads;
    }
    if (!mine)
        return err_set(&p->c, ERR_UNAVAILABLE, "%lld servers use this database, there is no room",
                       (long long)groups);
    return ERR_OK;
}

static err_t name_own(struct peers *p, bool *mine)
{
    int32_t hash = (int32_t)(str_hash(p->t->o.name) >> 33);

    return db_line_own(&p->c, p->line, KIND_NAMES, hash, mine);
}

/* What is held in the name of a server is taken back when it starts, so only one may have it. That
 * of a process that was killed just now is free a moment later. */
static err_t name_find(struct peers *p)
{
    struct txn_opts *o = &p->t->o;
    bool mine = false;

    TRY(name_own(p, &mine));
    for (int tries = 0; !mine && tries < NAME_TRIES; tries++) {
        nap(p, NAME_AGAIN_MS);
        TRY(name_own(p, &mine));
    }
    if (mine)
        return ERR_OK;
    buf_init(&p->name, o->name.n + SLOT_TEXT_MAX);
    buf_printf(&p->name, STR_FMT "#%d", STR_ARG(o->name), (int)o->slot);
    log_warn("another server has this name", "name=\"" STR_FMT "\"", STR_ARG(o->name));
    o->name = buf_str(&p->name);
    return ERR_OK;
}

/* What was ours. The old session may not be over for the server; then the next tick tries. */
static err_t own_again(struct peers *p)
{
    const struct txn_opts *o = &p->t->o;
    bool slot = false, name = false;

    TRY(db_line_own(&p->c, p->line, KIND_SLOTS, (int32_t)(o->slot / o->threads), &slot));
    TRY(name_own(p, &name));
    return slot && name ? ERR_OK
                        : err_set(&p->c, ERR_UNAVAILABLE, "another session has its slot or name");
}

static void line_lost(struct peers *p, err_t e)
{
    if (!p->told_lost)
        log_warn("no signals from other servers", "error=\"" STR_FMT "\"",
                 STR_ARG(err_text(&p->c, e)));
    p->told_lost = true;
    db_line_close(p->line);
    p->line = NULL;
}

static void line_again(struct peers *p)
{
    err_t e = line_open(p, &p->line);

    if (e == ERR_OK)
        e = own_again(p);
    if (e != ERR_OK) {
        line_lost(p, e);
        return;
    }
    p->told_lost = false;
    p->looked_ms = 0;
    log_info("signals from other servers again", "");
}

/* ---- telling --------------------------------------------------------------------------------- */

static void wake(struct peers *p)
{
    uint64_t one = 1;
    ssize_t n = write(p->wake_fd, &one, sizeof(one));

    (void)n; /* a full counter wakes as well */
}

void peers_tell(struct peers *p, struct signal s)
{
    if (p == NULL || p->alone || s.sig == SIG_TIMER || p->untold.n >= UNTOLD_MAX)
        return;
    signals_put(&p->untold, s);
    if (p->untold.n == 1)
        wake(p);
}

/* Takes what is to be told; false: the thread shall end. */
static bool untold_take(struct peers *p, struct signal_list *out)
{
    struct txn *t = p->t;
    bool go;

    mutex_lock(&t->lock);
    *out = p->untold;
    p->untold = (struct signal_list){ 0 };
    go = !p->stop;
    mutex_unlock(&t->lock);
    return go;
}

/* "0:17 0:17 1:4611": as many as one text holds; *at moves on. */
static str_t tell_text(struct peers *p, const struct signal_list *l, size_t *at)
{
    enum { ONE_MAX = 32 };
    struct buf b;

    buf_init_arena(&b, &p->arena, DB_LINE_TEXT_MAX);
    while (*at < l->n && b.n + ONE_MAX < DB_LINE_TEXT_MAX) {
        buf_i64(&b, l->items[*at].sig);
        buf_char(&b, ':');
        buf_i64(&b, l->items[(*at)++].key);
        buf_char(&b, ' ');
    }
    return buf_str(&b);
}

static err_t tell(struct peers *p, const struct signal_list *l)
{
    for (size_t at = 0; at < l->n;)
        TRY(db_line_say(&p->c, p->line, tell_text(p, l, &at)));
    if (l->n > 0)
        (void)poll(NULL, 0, TELL_EVERY_MS); /* what comes meanwhile goes together */
    return ERR_OK;
}

/* ---- hearing --------------------------------------------------------------------------------- */

static void hear(struct peers *p, str_t text)
{
    struct signal_list l = { 0 };
    struct txn *t = p->t;
    str_t one, sig;

    while (str_cut(&text, ' ', &one)) {
        int64_t kind = 0, key = 0;

        if (str_cut(&one, ':', &sig) && str_to_i64(sig, &kind) && str_to_i64(one, &key) &&
            kind >= 0 && kind < SIG_COUNT)
            signals_put(&l, (struct signal){ (enum sig)kind, key });
    }
    txn_on_signals(t, &l);
    mutex_lock(&t->lock);
    txn_raise_heard(t, &l);
    mutex_unlock(&t->lock);
    mem_free(l.items);
}

/* At the clock and for others, once a tick. */
static err_t look(struct peers *p)
{
    int64_t now = clock_mono_ns() / 1000000, n = 0;

    if (p->looked_ms != 0 && now - p->looked_ms < TICK_MS)
        return ERR_OK;
    p->looked_ms = now;
    TRY(clock_look(p));
    TRY(db_line_owned(&p->c, p->line, KIND_SLOTS, &n));
    mutex_lock(&p->t->lock);
    p->alone = n < 2;
    mutex_unlock(&p->t->lock);
    return ERR_OK;
}

/* Waits for something to do, and does it. */
static err_t turn(struct peers *p, const struct signal_list *untold)
{
    str_t text;

    TRY(tell(p, untold));
    TRY(look(p));
    TRY(db_line_hear(&p->c, p->line, p->wake_fd, TICK_MS, &text));
    if (text.n > 0)
        hear(p, text);
    return ERR_OK;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void wake_seen(struct peers *p)
{
    uint64_t n;
    ssize_t got = read(p->wake_fd, &n, sizeof(n));

    (void)got; /* nobody woke us */
}

static void *peers_main(void *arg)
{
    struct peers *p = arg;
    struct signal_list untold;
    err_t e;

    for (;;) {
        wake_seen(p);
        if (!untold_take(p, &untold))
            break;
        arena_reset(&p->arena);
        if (p->line == NULL)
            line_again(p);
        e = p->line == NULL ? ERR_OK : turn(p, &untold);
        mem_free(untold.items);
        if (e != ERR_OK)
            line_lost(p, e);
        if (p->line == NULL)
            nap(p, TICK_MS);
    }
    mem_free(untold.items);
    return NULL;
}

err_t peers_join(struct ctx *c, struct txn *t)
{
    struct peers *p = mem_zero(sizeof(*p));
    err_t e;

    p->t = t;
    arena_init(&p->arena);
    p->c = (struct ctx){ .arena = &p->arena, .clock = t->o.clock };
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    must(p->wake_fd >= 0);
    t->peers = p;
    e = line_open(p, &p->line);
    if (e == ERR_OK)
        e = clock_look(p);
    if (e == ERR_OK)
        e = slot_find(p);
    if (e == ERR_OK)
        e = name_find(p);
    return e == ERR_OK ? ERR_OK : err_set(c, e, STR_FMT, STR_ARG(err_text(&p->c, e)));
}

void peers_start(struct peers *p)
{
    thread_start(&p->thread, "txn-peers", peers_main, p);
    p->runs = true;
}

void peers_stop(struct peers *p)
{
    if (p == NULL || !p->runs)
        return;
    mutex_lock(&p->t->lock);
    p->stop = true;
    wake(p);
    mutex_unlock(&p->t->lock);
    thread_join(p->thread);
    p->runs = false;
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    db_line_close(p->line);
    close(p->wake_fd);
    mem_free(p->untold.items);
    buf_done(&p->name);
    arena_done(&p->arena);
    mem_free(p);
}
