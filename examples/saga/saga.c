/* A worker that books a trip: a flight and a hotel side by side, then the card is charged. When the
 * card is declined what was booked is cancelled, the last booking first.
 *
 *   ironflow emit trip.wanted --data '{"id":"t1","total":500}'     is booked
 *   ironflow emit trip.wanted --data '{"id":"t2","total":5000}'    is declined and undone
 *
 * The server is found by IRONFLOW_SERVER_URL, IRONFLOW_API_KEY and IRONFLOW_ENV. Ctrl-C drains. */
#include <ironflow.h>
#include <signal.h>
#include <stdio.h>

#define LIMIT 1000.0

struct trip {
    char id[64];
    double total;
};

struct booking {
    const char *what; /* "flight" */
    const struct trip *trip;
};

static struct ironflow_worker *worker;

static void on_signal(int sig)
{
    (void)sig;
    ironflow_worker_stop(worker);
}

/* ---- steps ---- */

static int book(struct ironflow_run *run, void *arg, const char **output)
{
    const struct booking *b = arg;

    (void)printf("%s: book the %s\n", b->trip->id, b->what);
    *output = ironflow_run_printf(run, "{\"booked\":\"%s\"}", b->what);
    return IRONFLOW_OK;
}

static int cancel(struct ironflow_run *run, void *arg, const char **output)
{
    const struct booking *b = arg;

    (void)printf("%s: cancel the %s\n", b->trip->id, b->what);
    *output = ironflow_run_printf(run, "{\"cancelled\":\"%s\"}", b->what);
    return IRONFLOW_OK;
}

static int charge(struct ironflow_run *run, void *arg, const char **output)
{
    const struct trip *trip = arg;

    if (trip->total > LIMIT) {
        ironflow_run_error(run, "CARD_DECLINED", "%.2f is above the limit of the card",
                           trip->total);
        return IRONFLOW_FAIL; /* for good: the bookings are undone */
    }
    (void)printf("%s: charge %.2f\n", trip->id, trip->total);
    *output = "{\"charged\":true}";
    return IRONFLOW_OK;
}

/* ---- the function ---- */

/* One booking, and what undoes it. */
static int booking(struct ironflow_run *branch, void *arg)
{
    struct booking *b = arg;
    const char *output = NULL;
    int rc = ironflow_step_run(branch, b->what, book, b, &output);

    if (rc == IRONFLOW_OK)
        rc = ironflow_compensate(branch, b->what, cancel, b);
    ironflow_run_output(branch, output);
    return rc;
}

static int book_trip(struct ironflow_run *run, void *arg)
{
    /* what compensations use must outlive this function */
    struct trip *trip = ironflow_run_alloc(run, sizeof(*trip));
    struct booking *bookings = ironflow_run_alloc(run, 2 * sizeof(*bookings));
    const struct ironflow_branch branches[] = { { booking, &bookings[0] },
                                                { booking, &bookings[1] } };
    const char *outs[2];
    int rc;

    (void)arg;
    if (!ironflow_json_string(ironflow_run_input(run), "id", trip->id, sizeof(trip->id)) ||
        !ironflow_json_double(ironflow_run_input(run), "total", &trip->total)) {
        ironflow_run_error(run, "BAD_TRIP", "a trip has an id and a total");
        return IRONFLOW_FAIL;
    }
    bookings[0] = (struct booking){ "flight", trip };
    bookings[1] = (struct booking){ "hotel", trip };
    rc = ironflow_parallel(run, "bookings", branches, 2, outs);
    if (rc == IRONFLOW_OK)
        rc = ironflow_step_run(run, "charge", charge, trip, NULL);
    if (rc == IRONFLOW_OK)
        ironflow_run_output(run, ironflow_run_printf(run, "[%s,%s]", outs[0], outs[1]));
    return rc;
}

int main(void)
{
    static const char *const events[] = { "trip.wanted", NULL };
    const struct ironflow_function function = {
        .id = "book-trip", .name = "Book a trip", .events = events, .handler = book_trip
    };
    struct ironflow_worker_config config = { 0 };
    int rc;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    worker = ironflow_worker_new(&config);
    if (worker == NULL) {
        (void)fprintf(stderr, "IRONFLOW_SERVER_URL is not usable\n");
        return 2;
    }
    ironflow_worker_add(worker, &function);
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    rc = ironflow_worker_run(worker);
    if (rc != IRONFLOW_OK)
        (void)fprintf(stderr, "%s\n", ironflow_worker_error(worker));
    ironflow_worker_free(worker);
    return rc == IRONFLOW_OK ? 0 : 1;
}
