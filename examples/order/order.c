/* A worker with one function of three steps: reserve the stock, charge the card, ship. Each step
 * that really runs adds a line to the file in ORDER_JOURNAL, so that anybody can count how often it
 * ran.
 *
 *   ORDER_JOURNAL    file to append "run step pid" lines to
 *   ORDER_STEP_MS    how long a step takes (default 20), to have time to kill the worker
 *   ORDER_HEARTBEAT_MS  how often leases are renewed (default 30000)
 *
 * The server is found by IRONFLOW_SERVER_URL, IRONFLOW_API_KEY and IRONFLOW_ENV. Ctrl-C drains. */
#include <errno.h>
#include <fcntl.h>
#include <ironflow.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct order {
    char id[64];
    double total;
};

struct shop {
    const char *journal; /* or NULL */
    long step_ms;
};

struct work { /* what a step gets */
    const struct shop *shop;
    const struct order *order;
};

static struct ironflow_worker *worker;

static void on_signal(int sig)
{
    (void)sig;
    ironflow_worker_stop(worker);
}

static void sleep_ms(long ms)
{
    struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
        ;
}

/* The outside world: takes its time and leaves a trace. */
static int outside(struct ironflow_run *run, const struct shop *shop, const char *step)
{
    char line[256];
    int fd, n;

    sleep_ms(shop->step_ms);
    if (shop->journal == NULL)
        return IRONFLOW_OK;
    n = snprintf(line, sizeof(line), "%s %s %d\n", ironflow_run_id(run), step, (int)getpid());
    fd = open(shop->journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || n < 0 || write(fd, line, (size_t)n) != n) {
        ironflow_run_error(run, "JOURNAL", "cannot write %s: %s", shop->journal, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return IRONFLOW_RETRY;
    }
    (void)close(fd);
    return IRONFLOW_OK;
}

static int reserve_stock(struct ironflow_run *run, void *arg, const char **output)
{
    const struct work *w = arg;

    *output = "{\"reserved\":true}";
    return outside(run, w->shop, "reserve-stock");
}

static int charge_card(struct ironflow_run *run, void *arg, const char **output)
{
    const struct work *w = arg;

    if (w->order->total < 0) {
        ironflow_run_error(run, "CARD_REFUSED", "nobody can be charged %.2f", w->order->total);
        return IRONFLOW_FAIL; /* trying again does not help */
    }
    *output = ironflow_run_printf(run, "{\"charged\":%.2f}", w->order->total);
    return outside(run, w->shop, "charge-card");
}

static int ship(struct ironflow_run *run, void *arg, const char **output)
{
    const struct work *w = arg;

    *output = "{\"carrier\":\"north-post\"}";
    return outside(run, w->shop, "ship");
}

/* The workflow. After a crash it starts from the top, and steps that are done are not run again. */
static int process_order(struct ironflow_run *run, void *arg)
{
    struct order order = { "?", 0 };
    struct work w = { arg, &order };
    int rc;

    (void)ironflow_json_string(ironflow_run_input(run), "order_id", order.id, sizeof(order.id));
    (void)ironflow_json_double(ironflow_run_input(run), "total", &order.total);
    rc = ironflow_step_run(run, "reserve-stock", reserve_stock, &w, NULL);
    if (rc == IRONFLOW_OK)
        rc = ironflow_step_run(run, "charge-card", charge_card, &w, NULL);
    if (rc == IRONFLOW_OK)
        rc = ironflow_step_run(run, "ship", ship, &w, NULL);
    if (rc == IRONFLOW_OK) {
        char *id = ironflow_json_quote(order.id);

        ironflow_run_output(run,
                            ironflow_run_printf(run, "{\"order_id\":%s,\"shipped\":true}", id));
        ironflow_free(id);
    }
    return rc;
}

static long env_number(const char *name, long otherwise)
{
    const char *v = getenv(name);

    return v != NULL && *v != '\0' ? strtol(v, NULL, 10) : otherwise;
}

int main(void)
{
    static const char *const events[] = { "order.placed", NULL };
    struct shop shop = { getenv("ORDER_JOURNAL"), env_number("ORDER_STEP_MS", 20) };
    struct ironflow_worker_config config = {
        .max_concurrent = 8,
        .checkpoint_ms = IRONFLOW_CHECKPOINT_EACH,
        .heartbeat_ms = (int)env_number("ORDER_HEARTBEAT_MS", 0),
    };
    struct ironflow_function f = {
        .id = "process-order",
        .name = "Process order",
        .description = "Reserves stock, charges the card and ships.",
        .events = events,
        .handler = process_order,
        .arg = &shop,
    };
    struct sigaction sa = { .sa_handler = on_signal };
    int rc;

    worker = ironflow_worker_new(&config);
    if (worker == NULL) {
        fputs("order: IRONFLOW_SERVER_URL is no usable URL\n", stderr);
        return 1;
    }
    ironflow_worker_add(worker, &f);
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
    rc = ironflow_worker_run(worker);
    if (rc != IRONFLOW_OK)
        fprintf(stderr, "order: %s\n", ironflow_worker_error(worker));
    ironflow_worker_free(worker);
    return rc == IRONFLOW_OK ? 0 : 1;
}
