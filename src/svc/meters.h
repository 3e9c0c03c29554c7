/* What happened, in numbers for /metrics: runs and steps that ended, workers that were lost. Fed
 * with what was committed, counted since the start of the process. Nothing here exists when metrics
 * are off. */
#pragma once

#include "engine/types.h"

enum { METER_BUCKETS = 14 };

/* Upper bounds of the histograms. */
struct meter_bound {
    int64_t ms;
    const char *seconds;
};
extern const struct meter_bound meter_bounds[METER_BUCKETS];

struct histogram {
    uint64_t by_bucket[METER_BUCKETS + 1]; /* the last: what is longer than every bound */
    uint64_t sum_ms;
};

enum meter_kind { METER_RUN, METER_STEP, METER_WORKER_LOST };

struct meter_fact {
    enum meter_kind kind;
    enum step_status status; /* of a step */
    int64_t fn, ms;          /* of a run or step */
    str_t name;              /* of a step */
};

struct meters;
struct meters *meters_new(void);
void meters_free(struct meters *m);
/* Any thread. So many names of steps have a count of their own; others are counted together, so
 * that names with numbers in them cannot fill the memory. */
enum { METER_NAMES_MAX = 512, METER_NAME_BYTES_MAX = 200 };
void meters_add(struct meters *m, const struct meter_fact *facts, size_t n);

struct run_meter {
    str_t function_id, environment;
    struct histogram h;
};
struct step_meter {
    str_t function_id, name; /* "other": names beyond the bound */
    uint64_t by_status[STEP_STATUS_COUNT];
    struct histogram h;
};
struct meter_report {
    struct run_meter *runs;
    struct step_meter *steps; /* by function and name, each once */
    size_t runs_n, steps_n;
    uint64_t workers_lost;
};
/* READ. What was counted so far, with names instead of keys. */
NODISCARD err_t svc_meters_read(struct ctx *c, struct meter_report *out);
