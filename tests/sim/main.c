/* make sim: many seeds, a few at a time, each in a process of its own.
 *
 *   SIM_SEED=n    only this seed, with its story on stderr
 *   SIM_SEEDS=n   how many (default 20), from SIM_FIRST (1)
 *   SIM_STEPS=n   steps of a seed (10,000)
 *   SIM_JOBS=n    processes at a time (4)
 *   SIM_CRASH=n   commits between two crashes, on average (60)
 *   SIM_POWER=1   power cuts on a disk that loses or tears what was not synced, instead of kills
 *   SIM_NORMAL=1  normal durability: with SIM_POWER=1 it must fail */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sim.h"

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
        .steps = number("SIM_STEPS", 10000),
        .crash = number("SIM_POWER", 0) != 0 ? SIM_POWER : SIM_KILL,
        .durability = number("SIM_NORMAL", 0) != 0 ? DB_NORMAL : DB_FULL,
        .commits_per_crash = (int)number("SIM_CRASH", 60),
        .verbose = number("SIM_VERBOSE", 0) != 0,
    };
}

/* The digest of the story in *digest, if it held. */
static int one(uint64_t seed, uint64_t *digest)
{
    struct sim_opts o = options(seed);
    struct sim_totals t = { 0 };
    static char why[24000];
    bool ok = sim_run(&o, &t, why, sizeof(why));

    if (!ok) {
        fprintf(stderr, "%s\nSIM_SEED=%llu repeats it\n", why, (unsigned long long)seed);
        return 1;
    }
    printf("seed %llu: %lld runs, acknowledged %lld emits %lld acks %lld progress %lld finals %lld "
           "cancels %lld steps, %lld unanswered, %lld crashes %lld restarts %lld faults, "
           "%lld commits, %lld woken %lld late %lld children %lld stopped, "
           "%lld pauses %lld resumes %lld changes %lld trails, "
           "%lld messages, digest %016llx\n",
           (unsigned long long)seed, (long long)t.runs, (long long)t.emits, (long long)t.acks,
           (long long)t.progress, (long long)t.finals, (long long)t.cancels,
           (long long)t.steps_frozen, (long long)t.unknown, (long long)t.crashes,
           (long long)t.restarts, (long long)t.faults, (long long)t.commits, (long long)t.woken,
           (long long)t.late, (long long)t.children, (long long)t.stopped, (long long)t.pauses,
           (long long)t.resumes, (long long)t.changes, (long long)t.trails, (long long)t.messages,
           (unsigned long long)t.digest);
    *digest = t.digest;
    return 0;
}

/* Seeds first, first + step, ... and the first one twice: the same seed is the same story. */
static int some(int64_t first, int64_t end, int64_t step)
{
    uint64_t once = 0, again = 0;

    for (int64_t seed = first; seed < end; seed += step)
        if (one((uint64_t)seed, seed == first ? &once : &again) != 0)
            return 1;
    if (first >= end || one((uint64_t)first, &again) != 0)
        return first < end;
    if (once == again)
        return 0;
    fprintf(stderr, "seed %lld does not repeat itself\n", (long long)first);
    return 1;
}

int main(void)
{
    int64_t jobs = number("SIM_JOBS", 4), first = number("SIM_FIRST", 1);
    int64_t end = first + number("SIM_SEEDS", 20);
    int bad = 0, status;
    uint64_t digest;

    log_setup(LOG_FATAL, false);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("SIM_SEED"))
        return one((uint64_t)number("SIM_SEED", 1), &digest);
    for (int64_t k = 0; k < jobs; k++) {
        pid_t pid = fork();

        must(pid >= 0);
        if (pid == 0)
            exit(some(first + k, end, jobs));
    }
    while (wait(&status) > 0)
        bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    printf("%s\n", bad ? "A seed failed." : "All seeds hold.");
    return bad;
}
