/* How waits find their events. */
#include "engine/wait.h"

#include <stdio.h>

#include "base/crypto.h"
#include "base/time.h"
#include "codec/cel.h"
#include "codec/json.h"
#include "engine/match.h"

#define VALUE_TEXT_MAX 128
#define TIMEOUT_MAX_MS (100LL * 365 * 24 * 3600 * 1000)
/* The error of a run holds the message of its child three times, each up to 24 MiB as JSON: texts
 * of clients have 4 MiB, and a character may take six bytes. */
#define OBJECT_MAX ((size_t)128 << 20)

/* ---- timeouts -------------------------------------------------------------------------------- */

static bool unit_ms(str_t unit, double *out)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = { { "ms", 1 }, { "s", 1e3 }, { "m", 6e4 }, { "h", 36e5 }, { "d", 864e5 } };

    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (str_eq(unit, str_from(units[i].unit))) {
            *out = units[i].ms;
            return true;
        }
    }
    return false;
}

bool wait_timeout_parse(str_t text, int64_t *out_ms)
{
    double v = 0, scale = 1, unit;
    size_t i = 0, digits = 0;
    bool dot = false;

    text = str_trim(text);
    for (; i < text.n; i++) {
        char ch = text.p[i];

        if (ch == '.' && !dot) {
            dot = true;
            continue;
        }
        if (ch < '0' || ch > '9')
            break;
        if (dot)
            scale /= 10;
        v = dot ? v + (ch - '0') * scale : v * 10 + (ch - '0');
        digits++;
    }
    if (digits == 0 || !unit_ms(str_trim(str_slice(text, i, text.n)), &unit))
        return false;
    v = v * unit + 0.5;
    if (v > (double)TIMEOUT_MAX_MS)
        return false;
    *out_ms = (int64_t)v;
    return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A text as it stands in an index: long and odd ones by their hash. */
static str_t value_text(struct ctx *c, str_t text)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t sum[32];
    char *out;

    if (text.n <= VALUE_TEXT_MAX && !str_starts(text, S("#")) && str_index(text, '\0') < 0)
        return text;
    crypto_sha256(text, sum);
    out = arena_alloc(c->arena, 65);
    out[0] = '#';
    for (size_t i = 0; i < sizeof(sum); i++) {
        out[1 + 2 * i] = hex[sum[i] >> 4];
        out[2 + 2 * i] = hex[sum[i] & 15];
    }
    return (str_t){ out, 65 };
}

static str_t typed(struct ctx *c, char type, str_t text)
{
    return value_text(c, str_printf(c->arena, "%c" STR_FMT, type, STR_ARG(text)));
}

static str_t typed_double(struct ctx *c, double d)
{
    char text[40];
    int n = snprintf(text, sizeof(text), "%.17g", d);

    return typed(c, 'n', (str_t){ text, (size_t)n });
}

static str_t typed_int(struct ctx *c, int64_t i)
{
    return str_printf(c->arena, "n%lld", (long long)i);
}

/* The value with its type, as expressions compare it; false for what no constant can equal. */
static bool typed_json(struct ctx *c, str_t value, str_t *out)
{
    int64_t i;
    double d;

    switch (json_type(value)) {
    case JSON_STRING:
        *out = typed(c, 's', json_scalar(c->arena, value));
        return true;
    case JSON_NUMBER:
        if (json_i64(value, &i))
            *out = typed_int(c, i);
        else if (json_double(value, &d))
            *out = typed_double(c, d);
        else
            return false;
        return true;
    case JSON_BOOL:
        *out = typed(c, 'b', value);
        return true;
    case JSON_NULL:
        *out = S("z");
        return true;
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return false;
}

static bool typed_cel(struct ctx *c, const struct cel_value *v, str_t *out)
{
    switch (v->type) {
    case CEL_STRING:
        *out = typed(c, 's', v->s);
        return true;
    case CEL_INT:
        *out = typed_int(c, v->i);
        return true;
    case CEL_UINT:
        if (v->u > INT64_MAX)
            return false;
        *out = typed_int(c, (int64_t)v->u);
        return true;
    case CEL_DOUBLE:
        if (v->d >= -9e15 && v->d <= 9e15 && v->d == (double)(int64_t)v->d)
            *out = typed_int(c, (int64_t)v->d);
        else
            *out = typed_double(c, v->d);
        return true;
    case CEL_BOOL:
        *out = typed(c, 'b', v->boolean ? S("true") : S("false"));
        return true;
    case CEL_NULL:
        *out = S("z");
        return true;
    case CEL_ERROR:
    case CEL_BYTES:
    case CEL_LIST:
    case CEL_MAP:
    case CEL_TIMESTAMP:
    case CEL_DURATION:
    case CEL_TYPE:
        break;
    }
    return false;
}

bool wait_value(struct ctx *c, str_t path, const struct event *e, str_t *out)
{
    str_t at, found;

    if (path.n == 0 || path.p[0] == '?') {
        *out = S("");
        return true;
    }
    at = str_slice(path, 1, path.n);
    if (path.p[0] == '~')
        return json_path(e->data, at, &found) && typed_json(c, found, out);
    *out = json_path(e->data, at, &found) ? value_text(c, json_scalar(c->arena, found)) : S("");
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool is_plain_path(str_t s)
{
    static const char operators[] = "=!<>()[]{}\"'`&|+*/%?:,;\\^~#";

    for (size_t i = 0; i < s.n; i++) {
        uint8_t ch = (uint8_t)s.p[i];

        if (ch <= ' ' || memchr(operators, ch, sizeof(operators) - 1) != NULL)
            return false;
    }
    return s.n > 0;
}

static str_t path_in_data(str_t match)
{
    return str_starts(match, S("data.")) ? str_slice(match, 5, match.n) : match;
}

static bool has_wildcard(str_t event)
{
    str_t rest = event, token;

    while (str_cut(&rest, '.', &token)) {
        if (str_eq(token, S("*")) || str_eq(token, S(">")))
            return true;
    }
    return false;
}

static void key_event(str_t event, struct wait_key *out)
{
    bool wild = has_wildcard(event);

    *out = (struct wait_key){ .event = wild ? S("") : event,
                              .pattern = wild ? event : S(""),
                              .path = S(""),
                              .value = S(""),
                              .filter = S("") };
}

static void key_path(struct ctx *c, str_t match, str_t expected, struct wait_key *out)
{
    out->path = str_printf(c->arena, "=" STR_FMT, STR_ARG(path_in_data(match)));
    out->value = expected.n > 0 ? value_text(c, json_scalar(c->arena, expected)) : S("");
}

static const str_t filter_names[] = {
    { "data", 4 }, { "event", 5 }, { "name", 4 }, { "metadata", 8 }
};
static const struct cel_env filter_env = { .names = filter_names, .n = COUNT_OF(filter_names) };

/* The fields below the data of the event as a dotted path; false when it is none. */
static bool equality_path(struct ctx *c, const struct cel_equality *eq, str_t *out)
{
    size_t from;
    struct buf b;

    if (eq->path_n > 1 && str_eq(eq->path[0], S("data")))
        from = 1;
    else if (eq->path_n > 2 && str_eq(eq->path[0], S("event")) && str_eq(eq->path[1], S("data")))
        from = 2;
    else
        return false;
    buf_init_arena(&b, c->arena, WAIT_MATCH_MAX);
    buf_char(&b, '~');
    for (size_t i = from; i < eq->path_n; i++) {
        str_t part = eq->path[i];

        /* the index reads a number as an index of a list, an expression does not */
        if (part.n == 0 || str_index(part, '.') >= 0 || (part.p[0] >= '0' && part.p[0] <= '9'))
            return false;
        if (i > from)
            buf_char(&b, '.');
        buf_append(&b, part);
    }
    *out = buf_str(&b);
    return !b.full;
}

/* `path == "text"` says no more than its row; longer ones are asked again as a filter. */
static bool is_bare_equality(str_t text)
{
    ptrdiff_t at = str_find(text, S("=="));
    str_t right;

    if (at < 0 || !is_plain_path(str_trim(str_slice(text, 0, (size_t)at))))
        return false;
    right = str_trim(str_slice(text, (size_t)at + 2, text.n));
    if (right.n < 2 || (right.p[0] != '"' && right.p[0] != '\'') ||
        right.p[right.n - 1] != right.p[0])
        return false;
    right = str_slice(right, 1, right.n - 1);
    return str_index(right, '"') < 0 && str_index(right, '\'') < 0 && str_index(right, '\\') < 0;
}

static err_t key_expression(struct ctx *c, str_t match, struct wait_key *out)
{
    const struct cel_equality *eq;
    struct cel_program *p = NULL;
    str_t text, path, value;
    size_t n = 0;

    if (cel_compile(c, match, &filter_env, &p) != ERR_OK) {
        text = str_dup(c->arena, err_text(c, ERR_INVALID));
        return err_set(c, ERR_INVALID, "match: " STR_FMT, STR_ARG(text));
    }
    out->path = S("?");
    out->filter = match;
    eq = cel_equalities(p, &n);
    for (size_t i = 0; i < n; i++) {
        if (!equality_path(c, &eq[i], &path) || !typed_cel(c, &eq[i].value, &value))
            continue;
        out->path = path;
        out->value = value;
        if (n == 1 && is_bare_equality(match))
            out->filter = S("");
        break;
    }
    cel_free(p);
    return ERR_OK;
}

err_t wait_key_make(struct ctx *c, str_t event, str_t match, str_t value, str_t data,
                    struct wait_key *out)
{
    struct wait_key key;
    str_t expected = value;

    match = str_trim(match);
    TRY(event_pattern_check(c, event));
    if (match.n > WAIT_MATCH_MAX)
        return err_set(c, ERR_INVALID, "match is longer than %d bytes", WAIT_MATCH_MAX);
    key_event(event, &key);
    if (match.n > 0 && is_plain_path(match)) {
        if (expected.n == 0 && !json_path(data, path_in_data(match), &expected))
            expected = STR_NULL;
        key_path(c, match, expected, &key);
    } else if (match.n > 0) {
        TRY(key_expression(c, match, &key));
    }
    *out = key;
    return ERR_OK;
}

bool wait_key_cancel(struct ctx *c, const struct cancel_on *spec, str_t data, struct wait_key *out)
{
    struct wait_key key;
    str_t expected;

    if (spec->match.n > WAIT_MATCH_MAX || !json_path(data, path_in_data(spec->match), &expected))
        return false;
    key_event(spec->event, &key);
    key_path(c, spec->match, expected, &key);
    *out = key;
    return true;
}

bool wait_pattern_matches(str_t pattern, str_t name)
{
    str_t want, have;

    for (;;) {
        bool more_want = str_cut(&pattern, '.', &want), more_have = str_cut(&name, '.', &have);

        if (!more_want || !more_have)
            return more_want == more_have;
        if (str_eq(want, S(">")))
            return true;
        if (!str_eq(want, S("*")) && !str_eq(want, have))
            return false;
    }
}

/* ---- filters --------------------------------------------------------------------------------- */

bool wait_filter_holds(struct ctx *c, struct wait_filter *f, str_t filter)
{
    const struct event *e = f->event;
    str_t meta = e->metadata.n > 0 ? e->metadata : S("{}");
    struct cel_value vars[COUNT_OF(filter_names)];

    if (filter.n == 0)
        return true;
    if (!str_eq(filter, f->text)) {
        wait_filter_done(f);
        f->text = filter;
        if (cel_compile(c, filter, &filter_env, &f->program) != ERR_OK)
            f->program = NULL;
    }
    if (f->program == NULL)
        return false;
    if (f->object.n == 0)
        f->object = event_object_json(c, e);
    vars[0] = cel_json(c->arena, e->data);
    vars[1] = cel_json(c->arena, f->object);
    vars[2] = cel_string(e->name);
    vars[3] = cel_json(c->arena, meta);
    return cel_match(c, f->program, vars);
}

void wait_filter_done(struct wait_filter *f)
{
    cel_free(f->program);
    f->program = NULL;
    f->text = STR_NULL;
}

/* ---- errors ---------------------------------------------------------------------------------- */

bool invoke_failures_known(str_t sdk, str_t runtime)
{
    static const char *const scripts[] = { "node", "bun", "deno", "js" };
    int64_t major = 0, minor = 0;
    bool script = false;
    str_t part;

    if (sdk.n == 0 && runtime.n == 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(scripts); i++)
        script |= str_starts(runtime, str_from(scripts[i]));
    if (!script)
        return true;
    return str_cut(&sdk, '.', &part) && str_to_i64(part, &major) && str_cut(&sdk, '.', &part) &&
           str_to_i64(part, &minor) && (major > 0 || minor > 29);
}

static void put_text(struct json_out *w, str_t key, str_t value)
{
    json_key(w, key);
    json_put_str(w, value);
}

static void put_not_retryable(struct json_out *w)
{
    json_key(w, S("retryable"));
    json_put_bool(w, false);
    json_close(w, '}');
}

str_t invoke_error_json(struct ctx *c, str_t message, str_t function_id, int64_t child, str_t cause)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, OBJECT_MAX);
    json_open(&w, '{');
    put_text(&w, S("message"), message);
    put_text(&w, S("function_id"), function_id);
    if (child != 0)
        put_text(&w, S("child_run_id"), id_text(c->arena, ID_RUN, child));
    if (cause.n > 0)
        put_text(&w, S("cause"), cause);
    put_not_retryable(&w);
    must(!b.full);
    return buf_str(&b);
}

str_t invoke_run_error_json(struct ctx *c, str_t function_id, str_t step_error)
{
    str_t why = error_message(c, step_error);
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, OBJECT_MAX);
    json_open(&w, '{');
    put_text(&w, S("message"),
             str_printf(c->arena, "invoke of " STR_FMT " failed: " STR_FMT, STR_ARG(function_id),
                        STR_ARG(why)));
    put_text(&w, S("code"), S("INVOKE_FAILED"));
    if (step_error.n > 0) {
        json_key(&w, S("details"));
        json_put_raw(&w, step_error);
    }
    put_not_retryable(&w);
    must(!b.full);
    return buf_str(&b);
}

str_t wait_timeout_json(struct ctx *c, str_t step_name, str_t event)
{
    struct buf b;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, OBJECT_MAX);
    json_open(&w, '{');
    put_text(&w, S("message"),
             str_printf(c->arena, "step " STR_FMT " timed out waiting for event " STR_FMT,
                        STR_ARG(step_name), STR_ARG(event)));
    put_text(&w, S("code"), S("WAIT_TIMEOUT"));
    put_not_retryable(&w);
    must(!b.full);
    return buf_str(&b);
}

str_t error_message(struct ctx *c, str_t error)
{
    str_t value, text = STR_NULL;

    if (error.n > 0 && json_get(error, S("message"), &value))
        (void)json_string(c->arena, value, &text);
    return text;
}

/* ---- the event as a value -------------------------------------------------------------------- */

str_t event_object_json(struct ctx *c, const struct event *e)
{
    struct buf b, time;
    struct json_out w = { .b = &b };

    buf_init_arena(&b, c->arena, OBJECT_MAX);
    buf_init_arena(&time, c->arena, 40);
    time_rfc3339_ms(&time, id_ms(e->id));
    json_open(&w, '{');
    json_key(&w, S("id"));
    json_put_str(&w, id_text(c->arena, ID_EVENT, e->id));
    json_key(&w, S("name"));
    json_put_str(&w, e->name);
    json_key(&w, S("data"));
    json_put_raw(&w, e->data);
    json_key(&w, S("timestamp"));
    json_put_str(&w, buf_str(&time));
    json_key(&w, S("version"));
    json_put_i64(&w, e->version);
    json_key(&w, S("source"));
    json_put_str(&w, e->source);
    if (e->metadata.n > 0) {
        json_key(&w, S("metadata"));
        json_put_raw(&w, e->metadata);
    }
    json_close(&w, '}');
    must(!b.full); /* a body is limited to 4 MiB */
    return buf_str(&b);
}
