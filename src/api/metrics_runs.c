/* Figures of runs, steps and workers as Prometheus text. */
#include "api/metrics.h"
#include "proto/ironflow.h"

/* A sample's name with its labels, open for one more. */
static void run_labels(struct buf *b, const char *suffix, const struct run_meter *r)
{
    buf_printf(b, "ironflow_run_duration_seconds%s{", suffix);
    metrics_label(b, "function_id", r->function_id);
    buf_char(b, ',');
    metrics_label(b, "environment", r->environment);
}

static void step_labels(struct buf *b, const char *name, const struct step_meter *s)
{
    buf_printf(b, "%s{", name);
    metrics_label(b, "function_id", s->function_id);
    buf_char(b, ',');
    metrics_label(b, "step_name", s->name);
}

static void seconds(struct buf *b, uint64_t ms)
{
    buf_printf(b, "} %llu.%03llu\n", (unsigned long long)(ms / 1000),
               (unsigned long long)(ms % 1000));
}

static void bucket(struct buf *b, size_t k, uint64_t below)
{
    buf_printf(b, ",le=\"%s\"} %llu\n", k < METER_BUCKETS ? meter_bounds[k].seconds : "+Inf",
               (unsigned long long)below);
}

static void run_durations(struct buf *b, const struct meter_report *r)
{
    metrics_head(b, "ironflow_run_duration_seconds", "histogram",
                 "Time of a run from its creation to its end, since the start of this process.");
    for (size_t i = 0; i < r->runs_n; i++) {
        const struct run_meter *run = &r->runs[i];
        uint64_t below = 0;

        for (size_t k = 0; k <= METER_BUCKETS; k++) {
            below += run->h.by_bucket[k];
            run_labels(b, "_bucket", run);
            bucket(b, k, below);
        }
        run_labels(b, "_sum", run);
        seconds(b, run->h.sum_ms);
        run_labels(b, "_count", run);
        buf_printf(b, "} %llu\n", (unsigned long long)below);
    }
}

static void steps_total(struct buf *b, const struct meter_report *r)
{
    metrics_head(b, "ironflow_steps_total", "counter",
                 "Steps that ended, since the start of this process.");
    for (size_t i = 0; i < r->steps_n; i++) {
        const struct step_meter *s = &r->steps[i];

        for (int32_t k = 0; k < STEP_STATUS_COUNT; k++) {
            if (s->by_status[k] == 0)
                continue;
            step_labels(b, "ironflow_steps_total", s);
            buf_char(b, ',');
            metrics_label(b, "status", pb_enum_word(&pb_step_status_enum, k));
            buf_printf(b, "} %llu\n", (unsigned long long)s->by_status[k]);
        }
    }
}

static void step_durations(struct buf *b, const struct meter_report *r)
{
    metrics_head(b, "ironflow_step_duration_seconds", "histogram",
                 "Time of a step as its worker measured it.");
    for (size_t i = 0; i < r->steps_n; i++) {
        const struct step_meter *s = &r->steps[i];
        uint64_t below = 0;

        for (size_t k = 0; k <= METER_BUCKETS; k++) {
            below += s->h.by_bucket[k];
            step_labels(b, "ironflow_step_duration_seconds_bucket", s);
            bucket(b, k, below);
        }
        step_labels(b, "ironflow_step_duration_seconds_sum", s);
        seconds(b, s->h.sum_ms);
        step_labels(b, "ironflow_step_duration_seconds_count", s);
        buf_printf(b, "} %llu\n", (unsigned long long)below);
    }
}

void metrics_report(struct buf *b, const struct meter_report *r)
{
    run_durations(b, r);
    steps_total(b, r);
    step_durations(b, r);
    metrics_head(b, "ironflow_worker_disconnects_total", "counter",
                 "Workers that were given up, since the start of this process.");
    buf_printf(b, "ironflow_worker_disconnects_total{reason=\"heartbeat_timeout\"} %llu\n",
               (unsigned long long)r->workers_lost);
}
