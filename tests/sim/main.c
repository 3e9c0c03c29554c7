/* make sim: many seeds, a few at a time, each in a process of its own.
 *
 *   SIM_SEED=n    only this seed, with its story on stderr
 *   SIM_SEEDS=n   how many (default 20), from SIM_FIRST (1)
 *   SIM_STEPS=n   steps of a seed (300), and then as many as it takes to end all runs
 *   SIM_JOBS=n    processes at a time (one a processor)
 *   SIM_CRASH=n   commits between two crashes, on average (60)
 *   SIM_POWER=1   power cuts on a disk that loses or tears what was not synced, instead of kills
 *   SIM_NORMAL=1  normal durability: with SIM_POWER=1 it must fail */
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sim.h"

enum { SEEDS_MANY = 500 };

static int64_t number(const char *name, int64_t def)
{
    int64_t v = def;
    const char *text = getenv(name);

    return text && str_to_i64(str_from(text), &v) ? v : def;
}

static struct sim_opts options(uint64_t seed)
{
    return (struct sim_opts){
        .seed = seed,
        .steps = number("SIM_STEPS", 300),
        .crash = number("SIM_POWER", 0) != 0 ? SIM_POWER : SIM_KILL,
        .durability = number("SIM_NORMAL", 0) != 0 ? DB_NORMAL : DB_FULL,
        .commits_per_crash = (int)number("SIM_CRASH", 60),
        .verbose = number("SIM_VERBOSE", 0) != 0,
    };
}

/* What is told of the totals, and what many seeds together must have seen. */
static const struct {
    const char *name;
    size_t at;
    bool power; /* of power cuts only */
} figures[] = {
    { "runs", offsetof(struct sim_totals, runs), false },
    { "emits", offsetof(struct sim_totals, emits), false },
    { "acks", offsetof(struct sim_totals, acks), false },
    { "progress", offsetof(struct sim_totals, progress), false },
    { "finals", offsetof(struct sim_totals, finals), false },
    { "steps", offsetof(struct sim_totals, steps_frozen), false },
    { "cancels", offsetof(struct sim_totals, cancels), false },
    { "unanswered", offsetof(struct sim_totals, unknown), false },
    { "crashes", offsetof(struct sim_totals, crashes), false },
    { "restarts", offsetof(struct sim_totals, restarts), false },
    { "faults", offsetof(struct sim_totals, faults), false },
    { "commits", offsetof(struct sim_totals, commits), false },
    { "messages", offsetof(struct sim_totals, messages), false },
    { "woken", offsetof(struct sim_totals, woken), false },
    { "late", offsetof(struct sim_totals, late), false },
    { "children", offsetof(struct sim_totals, children), false },
    { "stopped", offsetof(struct sim_totals, stopped), false },
    { "pauses", offsetof(struct sim_totals, pauses), false },
    { "resumes", offsetof(struct sim_totals, resumes), false },
    { "changes", offsetof(struct sim_totals, changes), false },
    { "trails", offsetof(struct sim_totals, trails), false },
    { "requests", offsetof(struct sim_totals, requests), false },
    { "answers", offsetof(struct sim_totals, answers), false },
    { "refusals", offsetof(struct sim_totals, refusals), false },
    { "breakers opened", offsetof(struct sim_totals, opened), false },
    { "probes", offsetof(struct sim_totals, probes), false },
    { "streams", offsetof(struct sim_totals, streams), false },
    { "jobs on streams", offsetof(struct sim_totals, sent), false },
    { "cancels on streams", offsetof(struct sim_totals, told), false },
    { "kept", offsetof(struct sim_totals, kept), true },
    { "dropped", offsetof(struct sim_totals, dropped), true },
    { "torn", offsetof(struct sim_totals, torn), true },
};

static int64_t *figure(struct sim_totals *t, size_t i)
{
    return (int64_t *)(void *)((char *)t + figures[i].at);
}

static void tell(struct sim_totals *t)
{
    for (size_t i = 0; i < COUNT_OF(figures); i++)
        printf("%s%lld %s", i > 0 ? ", " : "", (long long)*figure(t, i), figures[i].name);
}

/* Adds to *sum and gives the digest of the story, if it held. */
static int one(uint64_t seed, struct sim_totals *sum, uint64_t *digest)
{
    struct sim_opts o = options(seed);
    struct sim_totals t = { 0 };
    static char why[24000];
    bool ok = sim_run(&o, &t, why, sizeof(why));

    if (!ok) {
        fprintf(stderr, "%s\nSIM_SEED=%llu SIM_STEPS=%lld repeats it\n", why,
                (unsigned long long)seed, (long long)o.steps);
        return 1;
    }
    for (size_t i = 0; i < COUNT_OF(figures); i++)
        *figure(sum, i) += *figure(&t, i);
    *digest = t.digest;
    return 0;
}

/* Seeds first, first + step, ... and the first one twice: the same seed is the same story. */
static int some(int64_t first, int64_t end, int64_t step, struct sim_totals *sum)
{
    struct sim_totals ignored = { 0 };
    uint64_t once = 0, again = 0;

    for (int64_t seed = first; seed < end; seed += step)
        if (one((uint64_t)seed, sum, seed == first ? &once : &again) != 0)
            return 1;
    if (first >= end || one((uint64_t)first, &ignored, &again) != 0)
        return first < end;
    if (once == again)
        return 0;
    fprintf(stderr, "seed %lld does not repeat itself\n", (long long)first);
    return 1;
}

/* Of that many seeds each kind of thing has happened in some, else they explore nothing. */
static bool all_seen(struct sim_totals *sum, int64_t seeds)
{
    bool all = true;

    for (size_t i = 0; seeds >= SEEDS_MANY && i < COUNT_OF(figures); i++) {
        if (*figure(sum, i) != 0 || figures[i].power != (number("SIM_POWER", 0) != 0))
            continue;
        printf("In %lld seeds there were no %s.\n", (long long)seeds, figures[i].name);
        all = false;
    }
    return all;
}

static int repeat(uint64_t seed)
{
    struct sim_totals t = { 0 };
    uint64_t digest;
    int bad = one(seed, &t, &digest);

    if (bad)
        return bad;
    tell(&t);
    printf(", digest %016llx\n", (unsigned long long)digest);
    return 0;
}

int main(void)
{
    int64_t jobs = number("SIM_JOBS", sysconf(_SC_NPROCESSORS_ONLN));
    int64_t first = number("SIM_FIRST", 1), seeds = number("SIM_SEEDS", 20);
    struct sim_totals *sums, all = { 0 };
    int bad = 0, status;

    log_setup(LOG_FATAL, false);
    if (getenv("SIM_SEED"))
        return repeat((uint64_t)number("SIM_SEED", 1));
    sums = mmap(NULL, (size_t)jobs * sizeof(*sums), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(sums != MAP_FAILED);
    for (int64_t k = 0; k < jobs; k++) {
        pid_t pid = fork();

        must(pid >= 0);
        if (pid == 0)
            exit(some(first + k, first + seeds, jobs, &sums[k]));
    }
    while (wait(&status) > 0)
        bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    for (int64_t k = 0; k < jobs; k++)
        for (size_t i = 0; i < COUNT_OF(figures); i++)
            *figure(&all, i) += *figure(&sums[k], i);
    tell(&all);
    bad |= !bad && !all_seen(&all, seeds);
    printf("\n%s\n", bad ? "A seed failed." : "All seeds hold.");
    return bad;
}
