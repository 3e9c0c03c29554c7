/* Sending an event, with and without waiting for its runs. */
#include "cli/trigger.h"

#include "base/buf.h"
#include "base/time.h"
#include "cli/client.h"
#include "cli/input.h"
#include "cli/out.h"
#include "codec/json.h"

#define BODY_BYTES_MAX ((size_t)160 << 20)
#define SYNC_SLACK_MS 5000

err_t trigger_read(struct cli *cli, struct trigger *t)
{
    int64_t wait_ms = cli_duration_ms(cli, "timeout");

    if (!str_is_utf8(t->event))
        return err_set(cli->c, ERR_INVALID, "the name is not valid UTF-8");
    if (wait_ms < 1 || wait_ms > INT32_MAX)
        return err_set(cli->c, ERR_INVALID, "--timeout must be between 1ms and 596h");
    TRY(input_data(cli, &t->data));
    return input_metadata(cli, &t->metadata);
}

static void put_common(struct json_out *w, const struct trigger *t)
{
    if (t->metadata.n > 0) {
        json_key(w, S("metadata"));
        json_put_raw(w, t->metadata);
    }
    if (t->version != 0) {
        json_key(w, S("version"));
        json_put_i64(w, t->version);
    }
}

err_t trigger_async(struct cli *cli, const struct trigger *t, str_t *out)
{
    struct api_req req = { .method = "POST", .path = S("/api/v1/events") };
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, cli->c->arena, BODY_BYTES_MAX);
    json_open(&w, '{');
    json_key(&w, S("name"));
    json_put_str(&w, t->event);
    json_key(&w, S("data"));
    json_put_raw(&w, t->data);
    put_common(&w, t);
    json_close(&w, '}');
    req.body = buf_str(&b);
    return api_call(cli, &req, out);
}

err_t trigger_sync(struct cli *cli, const struct trigger *t, str_t *out)
{
    int64_t wait_ms = cli_duration_ms(cli, "timeout");
    struct api_req req = { .method = "POST",
                           .path = S("/ironflow.v1.IronflowService/TriggerSync"),
                           .timeout_ms = wait_ms + SYNC_SLACK_MS };
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, cli->c->arena, BODY_BYTES_MAX);
    json_open(&w, '{');
    json_key(&w, S("event"));
    json_put_str(&w, t->event);
    json_key(&w, json_type(t->data) == JSON_OBJECT ? S("data") : S("dataValue"));
    json_put_raw(&w, t->data);
    put_common(&w, t);
    json_key(&w, S("timeoutMs"));
    json_put_i64(&w, wait_ms);
    json_close(&w, '}');
    req.body = buf_str(&b);
    return api_call(cli, &req, out);
}

str_t trigger_timeout_text(struct cli *cli)
{
    struct buf b;

    buf_init_arena(&b, cli->c->arena, 64);
    duration_print(&b, cli_duration_ms(cli, "timeout"));
    return buf_str(&b);
}

struct run_result trigger_result(struct cli *cli, str_t result)
{
    struct run_result r = {
        .function_id = out_clean(cli, json_text(cli, result, "functionId", "function_id")),
        .status = out_clean(cli, json_text(cli, result, "status", NULL)),
        .duration_ms = out_clean(cli, json_text(cli, result, "durationMs", "duration_ms")),
    };
    str_t value;

    if (r.duration_ms.n == 0)
        r.duration_ms = S("0");
    r.ok = str_eq(r.status, S("RUN_STATUS_COMPLETED"));
    if (r.ok) {
        if (json_get(result, S("outputValue"), &value) || json_get(result, S("output"), &value))
            r.text = out_clean(cli, json_compact(cli, value));
    } else if (json_get(result, S("error"), &value)) {
        r.text = out_clean(cli, json_text(cli, value, "message", NULL));
    } else if (!str_eq(r.status, S("RUN_STATUS_FAILED")) &&
               !str_eq(r.status, S("RUN_STATUS_CANCELLED"))) {
        r.text = S("the time was up before the run ended");
    }
    return r;
}
