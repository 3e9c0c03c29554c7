/* One execution of a run as its handler sees it: input, steps, waits, result. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker_priv.h"

/* ---- map ---- */

static uint64_t hash_text(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

static struct map_entry *map_slot(const struct map *m, const char *key, size_t n, uint64_t hash)
{
    size_t i = (size_t)hash & (m->cap - 1);

    while (m->items[i].key != NULL && (m->items[i].hash != hash || m->items[i].key_n != n ||
                                       memcmp(m->items[i].key, key, n) != 0))
        i = (i + 1) & (m->cap - 1);
    return &m->items[i];
}

struct map_entry *map_find(const struct map *m, const char *key, size_t n)
{
    struct map_entry *e;

    if (m->n == 0)
        return NULL;
    e = map_slot(m, key, n, hash_text(key, n));
    return e->key != NULL ? e : NULL;
}

static void map_grow(struct map *m, struct pool *p)
{
    struct map to = { .cap = m->cap == 0 ? 8 : m->cap * 2, .n = m->n };

    to.items = pool_alloc(p, to.cap * sizeof(*to.items));
    memset(to.items, 0, to.cap * sizeof(*to.items));
    for (size_t i = 0; i < m->cap; i++)
        if (m->items[i].key != NULL)
            *map_slot(&to, m->items[i].key, m->items[i].key_n, m->items[i].hash) = m->items[i];
    *m = to;
}

struct map_entry *map_put(struct map *m, struct pool *p, const char *key, size_t n)
{
    uint64_t hash = hash_text(key, n);
    struct map_entry *e;

    if (m->n * 2 >= m->cap)
        map_grow(m, p);
    e = map_slot(m, key, n, hash);
    if (e->key == NULL) {
        *e = (struct map_entry){ .key = key, .key_n = n, .hash = hash };
        m->n++;
    }
    return e;
}

/* ---- begin and end ---- */

static void read_completed(struct ironflow_run *run, json_t steps)
{
    for (struct json_walk w = json_walk(steps); json_step(&w);) {
        json_t status = json_member(w.value, "status");
        char *id = json_pool_string(&run->pool, json_member(w.value, "step_id"));
        bool ok =
            status.p == NULL || strcmp(json_pool_string(&run->pool, status), "completed") == 0;

        map_put(ok ? &run->completed : &run->failed, &run->pool, id, strlen(id))->value =
            json_member(w.value, ok ? "output" : "error");
    }
}

char *run_fence(struct pool *pool, json_t job, bool *fenced)
{
    json_t seq = json_member(job, "execution_seq"), token = json_member(job, "lease_token");
    struct text t = { 0 };
    char *fence;

    *fenced = seq.p != NULL && token.n > 2;
    if (*fenced) {
        text_addz(&t, "\"execution_seq\":");
        text_add(&t, seq.p, seq.n);
        text_addz(&t, ",\"lease_token\":");
        text_add(&t, token.p, token.n);
    }
    fence = pool_dup(pool, t.p, t.n);
    text_done(&t);
    return fence;
}

bool run_begin(struct ironflow_run *run, int64_t now_ms)
{
    json_t job = { run->json, strlen(run->json) }, event = json_member(job, "event");
    json_t data = json_member(event, "data");
    int64_t n = 1;

    run->root = run;
    run->run_id = json_pool_string(&run->pool, json_member(job, "run_id"));
    run->job_id = json_pool_string(&run->pool, json_member(job, "job_id"));
    run->scope = run->run_id;
    if (*run->run_id == '\0' || *run->job_id == '\0')
        return false;
    run->attempt =
        json_to_i64(json_member(job, "attempt"), &n) && n > 0 && n < 1000000 ? (int)n : 1;
    run->event = event.p != NULL ? pool_dup(&run->pool, event.p, event.n) : "{}";
    run->input = data.p != NULL ? pool_dup(&run->pool, data.p, data.n) : "{}";
    n = 0;
    run->step_offset = json_to_i64(json_member(job, "step_sequence_base"), &n) ? n : 0;
    run->fence = run_fence(&run->pool, job, &run->fenced);
    read_completed(run, json_member(job, "completed_steps"));
    run->started_ms = now_ms;
    return true;
}

void run_end(struct ironflow_run *run)
{
    free(run->json);
    run->json = NULL;
    pool_reset(&run->pool);
    run->completed = run->failed = run->names = (struct map){ 0 };
    run->function = NULL;
    run->output = NULL;
    run->error_set = false;
    run->yield = NULL;
    run->yields = 0;
    run->undo = NULL;
    run->in_step = false;
    atomic_store(&run->lost, false);
    run->flushing = false;
    run->pending.n = 0;
    run->pending_n = 0;
    run->reported_ms = run->flush_at_ms = run->retry_ms = 0;
    run->progress_off = false;
}

/* ---- step ids ---- */

/* Colons and backslashes in names are escaped; the markers compensate: and publish: stay. */
static void put_escaped(struct text *t, const char *name)
{
    static const char *const markers[] = { "compensate:", "publish:" };

    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(markers[i]);

        if (strncmp(name, markers[i], n) == 0) {
            text_add(t, name, n);
            name += n;
            break;
        }
    }
    for (; *name != '\0'; name++) {
        if (*name == ':' || *name == '\\')
            text_char(t, '\\');
        text_char(t, *name);
    }
}

void run_put_name(struct text *t, const struct ironflow_run *run, const char *name)
{
    text_addz(t, run->scope);
    text_char(t, ':');
    put_escaped(t, name);
}

/* Uses are counted by scope and name, so that a second fan of the same name goes on counting. */
char *run_step_id(struct ironflow_run *run, const char *name)
{
    struct ironflow_run *root = run->root;
    struct text t = { 0 };
    struct map_entry *e;
    char *id;

    run_put_name(&t, run, name);
    pthread_mutex_lock(&root->lock);
    e = map_find(&root->names, t.p, t.n);
    if (e == NULL)
        e = map_put(&root->names, &root->pool, pool_dup(&root->pool, t.p, t.n), t.n);
    text_char(&t, ':');
    text_i64(&t, e->count++);
    pthread_mutex_unlock(&root->lock);
    id = pool_dup(&run->pool, t.p, t.n);
    text_done(&t);
    return id;
}

/* ---- steps ---- */

void run_put_error(struct text *t, const struct ironflow_run *run, bool retryable)
{
    text_addz(t, "{\"message\":");
    text_quote(t, run->error_text, strlen(run->error_text));
    text_addz(t, ",\"code\":");
    text_quote(t, run->error_code, strlen(run->error_code));
    text_addz(t, retryable ? ",\"retryable\":true}" : ",\"retryable\":false}");
}

static void put_step(struct text *t, struct ironflow_run *run, const struct step *s)
{
    text_addz(t, "{\"id\":");
    text_quote(t, s->id, strlen(s->id));
    text_addz(t, ",\"name\":");
    text_quote(t, s->name, strlen(s->name));
    if (s->compensation_for != NULL) {
        text_addz(t, ",\"type\":\"compensate\",\"compensation_for\":");
        text_quote(t, s->compensation_for, strlen(s->compensation_for));
    } else {
        text_addz(t, ",\"type\":\"invoke\"");
    }
    text_addz(t, ",\"status\":");
    text_addz(t, s->output != NULL ? "\"completed\"" : "\"failed\"");
    text_addz(t, ",\"started_at\":\"");
    text_time(t, s->started_ms);
    text_addz(t, "\",\"ended_at\":\"");
    text_time(t, s->ended_ms);
    text_addz(t, "\",\"duration_ms\":");
    text_i64(t, s->ended_ms > s->started_ms ? s->ended_ms - s->started_ms : 0);
    if (s->output != NULL) {
        text_addz(t, ",\"output\":");
        text_addz(t, s->output);
    } else {
        text_addz(t, ",\"error\":");
        run_put_error(t, run, s->retryable);
    }
    text_char(t, '}');
}

static void step_record(struct ironflow_run *run, const struct step *s)
{
    struct ironflow_run *root = run->root;

    if (run->worker->stream != NULL) {
        stream_step(run->worker->stream, run, s);
        return;
    }
    pthread_mutex_lock(&root->lock);
    if (root->pending_n > 0)
        text_char(&root->pending, ',');
    put_step(&root->pending, run, s);
    root->pending_n++;
    pthread_mutex_unlock(&root->lock);
    report_checkpoint(root);
}

int run_blocked(struct ironflow_run *run)
{
    if (atomic_load(&run->root->lost))
        return IRONFLOW_LOST;
    if (run->forked) { /* the caller is another thread: only the log is safe */
        worker_log(run->worker, "run %s: a branch must use the run that it was given", run->run_id);
        return IRONFLOW_FAIL;
    }
    if (run->yield != NULL)
        return IRONFLOW_YIELD;
    if (run->in_step) {
        ironflow_run_error(run, "NESTED_STEP", "a step cannot start another step or wait");
        return IRONFLOW_FAIL;
    }
    return IRONFLOW_OK;
}

int step_execute(struct ironflow_run *run, struct step *s, ironflow_step_fn fn, void *arg)
{
    int rc;

    s->started_ms = now_unix_ms();
    run->error_set = false;
    run->in_step = true;
    rc = fn(run, arg, &s->output);
    run->in_step = false;
    s->ended_ms = now_unix_ms();
    if (rc == IRONFLOW_OK && s->output == NULL)
        s->output = "null";
    if (rc == IRONFLOW_OK && !ironflow_json_valid(s->output, strlen(s->output))) {
        ironflow_run_error(run, "INVALID_OUTPUT", "the output of step \"%s\" is not JSON", s->name);
        rc = IRONFLOW_FAIL;
    }
    if (rc == IRONFLOW_LOST || atomic_load(&run->root->lost))
        return IRONFLOW_LOST;
    if (rc != IRONFLOW_OK) {
        rc = rc == IRONFLOW_RETRY || rc == IRONFLOW_UNREACHABLE ? IRONFLOW_RETRY : IRONFLOW_FAIL;
        s->output = NULL;
        s->retryable = rc == IRONFLOW_RETRY && s->compensation_for == NULL;
        if (!run->error_set)
            ironflow_run_error(run, NULL, "step \"%s\" failed", s->name);
    }
    step_record(run, s);
    return atomic_load(&run->root->lost) ? IRONFLOW_LOST : rc;
}

int step_run(struct ironflow_run *run, struct step *s, ironflow_step_fn fn, void *arg,
             const char **output)
{
    struct map_entry *done;
    int rc = run_blocked(run);

    if (rc != IRONFLOW_OK)
        return rc;
    s->id = run_step_id(run, s->name);
    done = map_find(&run->root->completed, s->id, strlen(s->id));
    if (done != NULL)
        s->output =
            done->value.p != NULL ? pool_dup(&run->pool, done->value.p, done->value.n) : "null";
    else
        rc = step_execute(run, s, fn, arg);
    if (s->output != NULL && output != NULL)
        *output = s->output;
    return rc;
}

int ironflow_step_run(struct ironflow_run *run, const char *name, ironflow_step_fn fn, void *arg,
                      const char **output)
{
    struct step s = { .name = name };

    return step_run(run, &s, fn, arg, output);
}

int run_yield(struct ironflow_run *run, struct text *t)
{
    pthread_mutex_lock(&run->root->lock);
    run->yield_at = ++run->root->yields;
    pthread_mutex_unlock(&run->root->lock);
    run->yield = pool_dup(&run->pool, t->p, t->n);
    text_done(t);
    return IRONFLOW_YIELD;
}

int ironflow_sleep_until(struct ironflow_run *run, const char *name, int64_t unix_ms)
{
    int rc = run_blocked(run);
    struct text t = { 0 };
    char *id;

    if (rc != IRONFLOW_OK)
        return rc;
    id = run_step_id(run, name);
    if (map_find(&run->root->completed, id, strlen(id)) != NULL)
        return IRONFLOW_OK;
    text_addz(&t, "{\"step_id\":");
    text_quote(&t, id, strlen(id));
    text_addz(&t, ",\"type\":\"sleep\",\"until\":\"");
    text_time(&t, unix_ms);
    text_addz(&t, "\"}");
    return run_yield(run, &t);
}

int ironflow_sleep(struct ironflow_run *run, const char *name, int64_t ms)
{
    return ironflow_sleep_until(run, name, now_unix_ms() + (ms > 0 ? ms : 0));
}

/* ---- what a handler may ask and say ---- */

const char *ironflow_run_id(const struct ironflow_run *run)
{
    return run->run_id;
}

int ironflow_run_attempt(const struct ironflow_run *run)
{
    return run->attempt;
}

const char *ironflow_run_input(const struct ironflow_run *run)
{
    return run->input;
}

const char *ironflow_run_event(const struct ironflow_run *run)
{
    return run->event;
}

bool ironflow_run_lost(const struct ironflow_run *run)
{
    return atomic_load(&run->root->lost);
}

void *ironflow_run_alloc(struct ironflow_run *run, size_t n)
{
    return pool_alloc(&run->pool, n);
}

const char *ironflow_run_printf(struct ironflow_run *run, const char *fmt, ...)
{
    va_list ap, again;
    char *out;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    out = pool_alloc(&run->pool, (size_t)(n > 0 ? n : 0) + 1);
    out[0] = '\0';
    if (n > 0)
        (void)vsnprintf(out, (size_t)n + 1, fmt, again);
    va_end(again);
    return out;
}

void ironflow_run_output(struct ironflow_run *run, const char *json)
{
    run->output = json != NULL ? pool_dup(&run->pool, json, strlen(json)) : NULL;
}

void ironflow_run_error(struct ironflow_run *run, const char *code, const char *fmt, ...)
{
    va_list ap;

    (void)snprintf(run->error_code, sizeof(run->error_code), "%s", code != NULL ? code : "ERROR");
    va_start(ap, fmt);
    (void)vsnprintf(run->error_text, sizeof(run->error_text), fmt, ap);
    va_end(ap);
    run->error_set = true;
}
