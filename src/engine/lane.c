/* The arithmetic of lanes. */
#include "engine/lane.h"

#include "base/crypto.h"
#include "codec/json.h"

str_t flow_value(struct ctx *c, str_t data, str_t path)
{
    str_t value;

    if (path.n == 0)
        return STR_NULL;
    if (!json_path(data, path, &value)) {
        str_t rest = path;

        if (str_starts(rest, S("event.")))
            rest = str_slice(rest, sizeof("event.") - 1, rest.n);
        if (!str_starts(rest, S("data.")))
            return STR_NULL;
        rest = str_slice(rest, sizeof("data.") - 1, rest.n);
        if (!json_path(data, rest, &value))
            return STR_NULL;
    }
    return json_type(value) == JSON_NULL ? STR_NULL : json_scalar(c->arena, value);
}

int64_t lane_key(enum lane_kind kind, str_t value)
{
    uint8_t sum[SHA256_SIZE];
    uint64_t key = 0;

    crypto_sha256(value, sum);
    for (size_t i = 0; i < 8; i++)
        key = key << 8 | sum[i];
    /* an actor and a lane never share a row, and none is 0 */
    return (int64_t)((key & (uint64_t)INT64_MAX & ~(uint64_t)3) | (uint64_t)kind);
}

void lane_assign(struct ctx *c, const struct function *f, str_t data, struct run *run,
                 struct job *job)
{
    if (f->actor_key.n > 0)
        run->actor = flow_value(c, data, f->actor_key);
    if (run->actor.n > 0)
        job->actor = lane_key(LANE_ACTOR, run->actor);
    if (f->concurrency.limit > 0)
        job->lane = lane_key(LANE_LIMIT, flow_value(c, data, f->concurrency.key));
}

int64_t lane_limit(const struct function *f, enum lane_kind kind)
{
    if (f == NULL)
        return LANE_UNLIMITED;
    if (kind == LANE_ACTOR)
        return f->actor_key.n > 0 ? 1 : LANE_UNLIMITED;
    return f->concurrency.limit > 0 ? f->concurrency.limit : LANE_UNLIMITED;
}

int64_t lane_of(const struct job *job, enum lane_kind kind)
{
    return kind == LANE_ACTOR ? job->actor : job->lane;
}

enum lane_kind lane_missing(const struct job *job)
{
    if (job->actor != 0 && (job->holds & LANE_ACTOR) == 0)
        return LANE_ACTOR;
    if (job->lane != 0 && (job->holds & LANE_LIMIT) == 0)
        return LANE_LIMIT;
    return LANE_NONE;
}

bool lane_wanted(const struct job *job, bool ended)
{
    return !ended && job->state != JOB_PARKED;
}

bool lane_try(struct lane *l, struct job *job, enum lane_kind kind)
{
    must((job->holds & (int64_t)kind) == 0);
    if (l->admitted >= l->cap)
        return false;
    l->admitted++;
    job->holds |= (int64_t)kind;
    return true;
}

bool lane_enter(struct lane *l, struct job *job, enum lane_kind kind)
{
    must(job->waits == 0);
    /* those who wait were here before */
    if (l->waiting == 0 && lane_try(l, job, kind))
        return true;
    l->waiting++;
    job->waits = l->key;
    return false;
}

void lane_leave(struct lane *l, struct job *job, enum lane_kind kind)
{
    must((job->holds & (int64_t)kind) != 0);
    if (l->admitted > 0)
        l->admitted--;
    job->holds &= ~(int64_t)kind;
}

void lane_abandon(struct lane *l, struct job *job)
{
    must(job->waits == l->key);
    if (l->waiting > 0)
        l->waiting--;
    job->waits = 0;
}

int64_t lane_room(const struct lane *l)
{
    int64_t room = l->cap > l->admitted ? l->cap - l->admitted : 0;

    return room < l->waiting ? room : l->waiting;
}

void lane_admit(struct lane *l, struct job *job, enum lane_kind kind)
{
    lane_abandon(l, job);
    l->admitted++;
    job->holds |= (int64_t)kind;
}

bool lane_idle(const struct lane *l)
{
    return l->admitted == 0 && l->waiting == 0 && l->worker == 0;
}
