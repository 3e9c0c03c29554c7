/* Power cuts under the whole engine: the simulator over a disk that keeps, drops or tears whatever
 * was not synced. With full durability every acknowledged write is there after each cut. With
 * normal durability, which syncs at checkpoints only, the same test must find losses, or it proves
 * nothing.
 *
 *   POWER_SEEDS=n   seeds with full durability (8) */
#include <stdlib.h>

#include "../sim/sim.h"
#include "base/log.h"

enum { SEEDS = 8, WEAK_SEEDS = 6, STEPS = 3000, COMMITS_PER_CUT = 25 };

static void add(struct sim_totals *sum, const struct sim_totals *t)
{
    sum->crashes += t->crashes;
    sum->emits += t->emits;
    sum->acks += t->acks;
    sum->progress += t->progress;
    sum->finals += t->finals;
    sum->cancels += t->cancels;
    sum->steps_frozen += t->steps_frozen;
    sum->kept += t->kept;
    sum->dropped += t->dropped;
    sum->torn += t->torn;
}

static bool run(uint64_t seed, enum db_durability durability, struct sim_totals *sum, char *why,
                size_t max)
{
    struct sim_opts o = { .seed = seed,
                          .steps = STEPS,
                          .crash = SIM_POWER,
                          .durability = durability,
                          .commits_per_crash = COMMITS_PER_CUT };
    struct sim_totals t = { 0 };
    bool ok = sim_run(&o, &t, why, max);

    add(sum, &t);
    return ok;
}

static bool full_loses_nothing(int64_t seeds)
{
    static char why[24000];
    struct sim_totals sum = { 0 };

    for (int64_t seed = 1; seed <= seeds; seed++) {
        if (run((uint64_t)seed, DB_FULL, &sum, why, sizeof(why)))
            continue;
        fprintf(stderr, "%s\nSIM_POWER=1 SIM_STEPS=%d SIM_CRASH=%d SIM_SEED=%lld repeats it\n", why,
                STEPS, COMMITS_PER_CUT, (long long)seed);
        return false;
    }
    printf("full durability: %lld power cuts, unsynced writes: %lld kept %lld dropped %lld torn; "
           "acknowledged and found: %lld emits %lld acks %lld progress %lld finals %lld cancels "
           "%lld steps\n",
           (long long)sum.crashes, (long long)sum.kept, (long long)sum.dropped, (long long)sum.torn,
           (long long)sum.emits, (long long)sum.acks, (long long)sum.progress,
           (long long)sum.finals, (long long)sum.cancels, (long long)sum.steps_frozen);
    if (sum.dropped > 0 && sum.torn > 0)
        return true;
    fprintf(stderr, "the power cuts lost nothing: the disk is not as bad as it should be\n");
    return false;
}

static bool normal_is_seen_to_lose(void)
{
    struct sim_totals sum = { 0 };
    int lost = 0;

    for (uint64_t seed = 1; seed <= WEAK_SEEDS; seed++)
        lost += !run(seed, DB_NORMAL, &sum, NULL, 0);
    printf("normal durability: %d of %d seeds lost an acknowledged write\n", lost, WEAK_SEEDS);
    if (lost == WEAK_SEEDS)
        return true;
    fprintf(stderr, "losses are not seen: this test proves nothing\n");
    return false;
}

int main(void)
{
    const char *text = getenv("POWER_SEEDS");
    int64_t seeds = SEEDS;

    log_setup(LOG_FATAL, false);
    if (text && !str_to_i64(str_from(text), &seeds))
        return 2;
    return full_loses_nothing(seeds) && normal_is_seen_to_lose() ? 0 : 1;
}
