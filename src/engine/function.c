/* Registrations: rules, defaults, and the two JSON forms of a function. Pure. */
#include "engine/function.h"

#include <math.h>

#include "codec/cron.h"
#include "engine/debounce.h"
#include "engine/filter.h"
#include "engine/function_priv.h"
#include "engine/match.h"
#include "engine/retry.h"
#include "engine/wait.h"

#define TIMEOUT_MS 600000
#define CONFIG_MAX ((size_t)16 << 20)

/* ---- rules ----------------------------------------------------------------------------------- */

/* Push needs somewhere to push to; without a word the endpoint decides. */
enum exec_mode config_mode(const struct pb_register_function_request *in)
{
    if (in->preferred_mode == PB_EXECUTION_MODE_PULL || in->endpoint_url.n == 0)
        return MODE_PULL;
    return MODE_PUSH;
}

static err_t check_retry(struct ctx *c, const struct pb_retry_config *r)
{
    if (r == NULL)
        return ERR_OK;
    if (r->max_attempts < 0)
        return err_set(c, ERR_INVALID, "retry.maxAttempts: must be greater than 0");
    if (r->initial_delay_ms < 0)
        return err_set(c, ERR_INVALID, "retry.initialDelayMs: must not be negative");
    if (r->max_delay_ms < 0)
        return err_set(c, ERR_INVALID, "retry.maxDelayMs: must not be negative");
    if (!isfinite(r->backoff_factor) || r->backoff_factor < 0 ||
        (r->backoff_factor > 0 && r->backoff_factor < 1))
        return err_set(c, ERR_INVALID, "retry.backoffFactor: must be at least 1");
    return ERR_OK;
}

#define DAY_MS (24LL * 3600 * 1000)
#define KEEP_DAYS_MAX 36500

/* "<n>d" or "<n>y" in milliseconds; 0 for "forever", nothing, and -1 for another text. */
static int64_t recording_ms(str_t text)
{
    int64_t n, days;

    if (text.n == 0 || str_eq(text, S("forever")))
        return 0;
    if (text.n < 2 || text.p[0] < '0' || text.p[0] > '9' ||
        !str_to_i64(str_slice(text, 0, text.n - 1), &n) || n < 1 || n > KEEP_DAYS_MAX)
        return -1;
    days = text.p[text.n - 1] == 'y' ? n * 365 : n;
    if ((text.p[text.n - 1] != 'd' && text.p[text.n - 1] != 'y') || days > KEEP_DAYS_MAX)
        return -1;
    return days * DAY_MS;
}

static err_t check_expression(struct ctx *c, str_t expression, size_t i)
{
    struct filter *filter = NULL;
    err_t e;

    if (expression.n == 0)
        return ERR_OK;
    e = filter_new(c, expression, &filter);
    filter_unref(filter);
    return e != ERR_INVALID
               ? e
               : err_set(c, e, "triggers[%zu].expression: %s", i, str_z(c->arena, err_text(c, e)));
}

static err_t check_triggers(struct ctx *c, const struct pb_register_function_request *in)
{
    const char *what;
    struct cron cron;

    for (size_t i = 0; i < in->triggers_n; i++) {
        const struct pb_trigger *t = &in->triggers[i];

        if (t->event.n == 0 && t->cron.n == 0)
            return err_set(c, ERR_INVALID, "triggers[%zu]: event or cron is required", i);
        if (t->cron.n > 0 && !cron_parse(t->cron, &cron, &what))
            return err_set(c, ERR_INVALID, "triggers[%zu].cron: %s", i, what);
        if (t->event.n > 0 && event_pattern_check(c, t->event) != ERR_OK)
            return err_set(c, ERR_INVALID, "triggers[%zu].%s", i,
                           str_z(c->arena, err_text(c, ERR_INVALID)));
        TRY(check_expression(c, t->expression, i));
    }
    return ERR_OK;
}

static err_t check_cancel_on(struct ctx *c, const struct pb_register_function_request *in)
{
    for (size_t i = 0; i < in->cancel_on_n; i++) {
        const struct pb_cancel_on_spec *s = &in->cancel_on[i];

        if (s->event.n == 0)
            return err_set(c, ERR_INVALID, "cancelOn[%zu].event: is required", i);
        if (s->match.n == 0)
            return err_set(c, ERR_INVALID, "cancelOn[%zu].match: is required", i);
        if (s->match.n > WAIT_MATCH_MAX)
            return err_set(c, ERR_INVALID, "cancelOn[%zu].match: longer than %d bytes", i,
                           WAIT_MATCH_MAX);
        if (event_pattern_check(c, s->event) != ERR_OK)
            return err_set(c, ERR_INVALID, "cancelOn[%zu].%s", i,
                           str_z(c->arena, err_text(c, ERR_INVALID)));
        for (size_t k = 0; k < i; k++)
            if (str_eq(in->cancel_on[k].event, s->event) &&
                str_eq(in->cancel_on[k].match, s->match))
                return err_set(c, ERR_INVALID, "cancelOn[%zu]: repeats entry %zu", i, k);
    }
    return ERR_OK;
}

static err_t check_flow(struct ctx *c, const struct pb_register_function_request *in)
{
    const struct pb_debounce_config *d = in->debounce;

    if (in->concurrency != NULL && in->concurrency->limit <= 0)
        return err_set(c, ERR_INVALID, "concurrency.limit: must be greater than 0");
    if (d != NULL && d->period_ms < DEBOUNCE_PERIOD_MIN_MS)
        return err_set(c, ERR_INVALID, "debounce.period_ms: must be at least %d",
                       DEBOUNCE_PERIOD_MIN_MS);
    if (d != NULL && d->max_wait_ms < 0)
        return err_set(c, ERR_INVALID, "debounce.max_wait_ms: must not be negative");
    if (d != NULL && d->max_wait_ms > 0 && d->max_wait_ms < d->period_ms)
        return err_set(c, ERR_INVALID, "debounce.max_wait_ms: must be at least period_ms");
    return check_cancel_on(c, in);
}

static err_t check_endpoint(struct ctx *c, const struct pb_register_function_request *in)
{
    str_t rest = in->endpoint_url;

    if (config_mode(in) != MODE_PUSH)
        return ERR_OK;
    if (str_starts(rest, S("http://")))
        rest = str_slice(rest, 7, rest.n);
    else if (str_starts(rest, S("https://")))
        rest = str_slice(rest, 8, rest.n);
    else
        rest = STR_NULL;
    if (rest.n == 0 || rest.p[0] == '/' || rest.p[0] == '?' || rest.p[0] == '#')
        return err_set(c, ERR_INVALID, "endpointUrl: must be an absolute http or https URL");
    return ERR_OK;
}

static err_t check(struct ctx *c, const struct pb_register_function_request *in)
{
    TRY(function_id_check(c, in->id));
    TRY(check_triggers(c, in));
    TRY(check_retry(c, in->retry));
    if (in->timeout_ms < 0)
        return err_set(c, ERR_INVALID, "timeoutMs: must not be negative");
    TRY(check_flow(c, in));
    TRY(check_endpoint(c, in));
    if (recording_ms(in->recording_retention) < 0)
        return err_set(
            c, ERR_INVALID,
            "recordingRetention: expected a number of days or years such as 7d, 30d, 1y, "
            "or forever");
    if (in->secrets_n > 0)
        return err_set(c, ERR_UNIMPLEMENTED, "secrets: secrets are not supported by this release");
    return ERR_OK;
}

/* ---- the configuration ----------------------------------------------------------------------- */

static void fill_defaults(struct ctx *c, struct pb_register_function_request *r)
{
    struct pb_retry_config *retry = NEW(c->arena, struct pb_retry_config);
    const struct retry_policy usual = retry_default();

    if (r->retry != NULL)
        *retry = *r->retry;
    if (retry->max_attempts == 0)
        retry->max_attempts = usual.max_attempts;
    if (retry->initial_delay_ms == 0)
        retry->initial_delay_ms = usual.initial_delay_ms;
    if (retry->backoff_factor == 0)
        retry->backoff_factor = usual.backoff_factor;
    if (retry->max_delay_ms == 0)
        retry->max_delay_ms = usual.max_delay_ms;
    r->retry = retry;
    if (r->name.n == 0)
        r->name = r->id;
    if (r->timeout_ms == 0)
        r->timeout_ms = TIMEOUT_MS;
    r->preferred_mode = (int32_t)config_mode(r);
    r->change_reason = STR_NULL;
}

err_t config_encode(struct ctx *c, const struct pb_register_function_request *r, str_t *out)
{
    struct buf b;

    buf_init_arena(&b, c->arena, CONFIG_MAX);
    pb_to_json(&b, &pb_register_function_request_desc, r, PB_RPC);
    if (b.full)
        return err_set(c, ERR_TOO_LARGE, "the configuration is larger than %zu bytes", CONFIG_MAX);
    *out = buf_str(&b);
    return ERR_OK;
}

err_t config_decode(struct ctx *c, str_t config, struct pb_register_function_request *out)
{
    struct pb_register_function_request r = { 0 };

    if (pb_from_json(c, &pb_register_function_request_desc, config, &r) != ERR_OK)
        return err_set(c, ERR_INTERNAL, "a stored function configuration cannot be read");
    *out = r;
    return ERR_OK;
}

/* Copies what struct function holds decoded. */
static void apply(struct ctx *c, const struct pb_register_function_request *r, struct function *f)
{
    f->name = r->name;
    f->description = r->description;
    f->mode = config_mode(r);
    f->actor_key = r->actor_key;
    f->endpoint = r->endpoint_url;
    f->concurrency = (struct concurrency){ 0 };
    f->debounce = (struct debounce){ 0 };
    if (r->concurrency != NULL)
        f->concurrency =
            (struct concurrency){ .limit = r->concurrency->limit, .key = r->concurrency->key };
    if (r->debounce != NULL)
        f->debounce = (struct debounce){ .period_ms = r->debounce->period_ms,
                                         .max_wait_ms = r->debounce->max_wait_ms,
                                         .key = r->debounce->key };
    f->recording = r->recording;
    f->recording_ms = recording_ms(r->recording_retention);
    f->triggers_n = r->triggers_n;
    f->triggers = NEW_N(c->arena, struct trigger, r->triggers_n);
    for (size_t i = 0; i < r->triggers_n; i++)
        f->triggers[i] = (struct trigger){ .event = r->triggers[i].event,
                                           .expression = r->triggers[i].expression,
                                           .cron = r->triggers[i].cron };
    f->cancel_on_n = r->cancel_on_n;
    f->cancel_on = NEW_N(c->arena, struct cancel_on, r->cancel_on_n + 1);
    for (size_t i = 0; i < r->cancel_on_n; i++)
        f->cancel_on[i] =
            (struct cancel_on){ .event = r->cancel_on[i].event, .match = r->cancel_on[i].match };
    f->retry = (struct retry_policy){ .max_attempts = r->retry->max_attempts,
                                      .initial_delay_ms = r->retry->initial_delay_ms,
                                      .max_delay_ms = r->retry->max_delay_ms,
                                      .backoff_factor = r->retry->backoff_factor };
}

err_t function_make(struct ctx *c, const struct pb_register_function_request *in,
                    struct function *out)
{
    struct pb_register_function_request r = *in;
    struct function f = { .id = in->id, .version = 1, .status = FN_ACTIVE };

    TRY(check(c, in));
    fill_defaults(c, &r);
    apply(c, &r, &f);
    TRY(config_encode(c, &r, &f.config));
    *out = f;
    return ERR_OK;
}

err_t function_decode(struct ctx *c, struct function *f)
{
    struct pb_register_function_request r = { 0 };

    TRY(config_decode(c, f->config, &r));
    fill_defaults(c, &r);
    apply(c, &r, f);
    return ERR_OK;
}
