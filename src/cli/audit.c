/* `ironflow audit`: the trail of a recorded run. */
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/out.h"
#include "codec/json.h"

static void put_text(struct json_out *w, const char *key, str_t value)
{
    if (value.n == 0)
        return;
    json_key(w, str_from(key));
    json_put_str(w, value);
}

static err_t trail_body(struct cli *cli, str_t *out)
{
    static const char *const texts[][2] = { { "event_type", "type" },
                                            { "from_timestamp", "from" },
                                            { "to_timestamp", "to" } };
    struct buf b;
    struct json_out w = { .b = &b };

    if (cli_int(cli, "limit") < 1)
        return err_set(cli->c, ERR_INVALID, "--limit must be at least 1");
    buf_init_arena(&b, cli->c->arena, (size_t)1 << 20);
    json_open(&w, '{');
    put_text(&w, "run_id", str_from(cli->args[0]));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        str_t value = cli_text(cli, texts[i][1]);

        if (!str_is_utf8(value))
            return err_set(cli->c, ERR_INVALID, "--%s is not valid UTF-8", texts[i][1]);
        put_text(&w, texts[i][0], value);
    }
    json_key(&w, S("limit"));
    json_put_i64(&w, cli_int(cli, "limit"));
    json_close(&w, '}');
    *out = buf_str(&b);
    return ERR_OK;
}

/* The time of day with its milliseconds. */
static str_t clock_text(struct cli *cli, str_t time)
{
    int64_t ms;
    struct buf b;

    if (!time_parse(time, &ms))
        return time;
    buf_init_arena(&b, cli->c->arena, 64);
    time_rfc3339_ms(&b, ms);
    return b.n >= 23 ? str_slice(buf_str(&b), 11, 23) : time;
}

/* Why there is no more to be seen. */
static void trail_note(struct cli *cli, str_t answer, size_t shown)
{
    bool filtered = cli_given(cli, "type") || cli_given(cli, "from") || cli_given(cli, "to");

    fflush(stdout);
    if (json_text(cli, answer, "next_cursor", "nextCursor").n > 0)
        fprintf(stderr, "These are the first %zu; --limit shows up to 1000.\n", shown);
    else if (shown == 0 && !filtered)
        fprintf(stderr, "Nothing was recorded: the function of the run must have been registered "
                        "with recording, and a trail goes when its retention is over.\n");
}

static void trail_print(struct cli *cli, str_t answer)
{
    static const char *const heads[] = { "TIMESTAMP", "EVENT TYPE", "STEP ID", "PAYLOAD" };
    struct table t;
    str_t list, total;

    table_init(&t, cli, heads, COUNT_OF(heads));
    if (json_get(answer, S("events"), &list))
        for (struct json_iter it = json_iter(list); json_next(&it);) {
            struct cell *row = table_row(&t);
            str_t payload;

            row[0].text = clock_text(cli, json_text(cli, it.value, "created_at", "createdAt"));
            row[1].text = json_text(cli, it.value, "event_type", "eventType");
            row[2].text = json_text(cli, it.value, "step_id", "stepId");
            if (row[2].text.n == 0)
                row[2].text = S("-");
            if (json_get(it.value, S("payload"), &payload))
                row[3].text = json_compact(cli, payload);
        }
    table_print(&t);
    total = json_text(cli, answer, "total_count", "totalCount");
    printf("\nTotal: " STR_FMT " events\n", STR_ARG(total.n > 0 ? out_clean(cli, total) : S("0")));
    trail_note(cli, answer, t.rows);
}

static int cli_audit_trail(struct cli *cli)
{
    struct api_req req = { .method = "POST", .path = S("/ironflow.v1.AuditService/GetAuditTrail") };
    err_t e = trail_body(cli, &req.body);

    return e == ERR_OK ? api_show(cli, &req, trail_print) : cli_fail(cli, e);
}

static const struct cmd cmd_audit_trail = {
    .name = "trail",
    .args = "<run-id>",
    .help = "Show what happened to a recorded run.",
    .examples = "ironflow audit trail run_abc123\n"
                "ironflow audit trail run_abc123 --type step.completed\n"
                "ironflow audit trail run_abc123 --from 2026-01-01T00:00:00Z "
                "--to 2026-01-02T00:00:00Z\n"
                "ironflow audit trail run_abc123 --limit 100 --json",
    .opts =
        (const struct opt[]){
            { 0, "type", OPT_TEXT, "type", NULL, "Only events of this type: step.completed." },
            { 0, "from", OPT_TEXT, "time", NULL, "Not before this time (RFC 3339)." },
            { 0, "to", OPT_TEXT, "time", NULL, "Before this time (RFC 3339)." },
            { 0, "limit", OPT_INT, "n", "50", "Most events to return." },
            CLI_JSON_OPT,
            CLI_SERVER_OPTS,
            { 0 } },
    .run = cli_audit_trail,
};

const struct cmd cmd_audit = {
    .name = "audit",
    .help = "Inspect the history of recorded runs.",
    .subs = (const struct cmd *const[]){ &cmd_audit_trail, NULL },
};
