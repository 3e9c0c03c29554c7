/* The table of jobs. */
#include "jobs/jobs.h"
#include "svc/access.h"
#include "svc/upkeep.h"

const struct job_spec job_specs[] = {
    { "timers", svc_timers_fire, true },        { "wakes", svc_wakes_run, true },
    { "leases", svc_leases_sweep, false },      { "workers", svc_workers_evict, false },
    { "relay", svc_log_relay, false },          { "lanes", svc_lanes_sweep, false },
    { "debounce", svc_debounce_fire, false },   { "cron", svc_cron_fire, false },
    { "breakers", svc_breakers_expire, false }, { "key uses", svc_access_flush, false },
    { "retention", svc_log_retain, false },     { "trails", svc_audit_retain, false },
    { "outbox", svc_outbox_retry, false },
};
const size_t job_specs_n = COUNT_OF(job_specs);
