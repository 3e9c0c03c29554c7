/* The error detail of a call, and its ids. */
#include "base/ctx.h"

#include <stdarg.h>
#include <stdio.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* What is said when nobody said more. */
static const str_t general[ERR_COUNT] = {
    [ERR_OK] = { "ok", 2 },
#define TEXT(name, text) [ERR_##name] = { (text), sizeof(text) - 1 }
    TEXT(INVALID, "the request is not valid"),
    TEXT(OUT_OF_RANGE, "a value is out of range"),
    TEXT(UNAUTHENTICATED, "authentication is required"),
    TEXT(FORBIDDEN, "permission denied"),
    TEXT(ENV_MISMATCH, "the credentials belong to another environment"),
    TEXT(NOT_FOUND, "not found"),
    TEXT(METHOD, "method not allowed"),
    TEXT(CONFLICT, "the request conflicts with the current state"),
    TEXT(EXISTS, "it exists already"),
    TEXT(STALE_EXECUTION, "this execution was replaced by a newer one"),
    TEXT(RUN_NOT_RUNNING, "the run is not running"),
    TEXT(PRECONDITION, "a precondition failed"),
    TEXT(TOO_LARGE, "the request is too large"),
    TEXT(MEDIA_TYPE, "unsupported media type"),
    TEXT(EXHAUSTED, "a limit was reached"),
    TEXT(CANCELED, "the request was canceled"),
    TEXT(INTERNAL, "internal error"),
    TEXT(UNIMPLEMENTED, "not implemented"),
    TEXT(UNAVAILABLE, "temporarily unavailable"),
    TEXT(DEADLINE, "the deadline passed"),
    TEXT(UNCERTAIN, "it is not known whether the change was stored"),
    TEXT(RETRY, "the transaction must run again"),
    TEXT(FATAL, "the storage failed"),
    TEXT(PARKED, "the call waits"),
    TEXT(NEXT, "the call continues"),
#undef TEXT
};

/* Copies s with a NUL, whole characters only; bad bytes become U+FFFD, white space a blank. */
static void sanitise(char *out, size_t size, str_t s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n;) {
        size_t step = str_utf8_step(s, i);
        str_t piece = { s.p + i, step };

        if (s.p[i] == '\t' || s.p[i] == '\n' || s.p[i] == '\r')
            piece = S(" ");
        else if (step == 0 || str_is_control(s, i))
            piece = S(REPLACEMENT);
        if (n + piece.n >= size)
            break;
        memcpy(out + n, piece.p, piece.n);
        n += piece.n;
        i += step == 0 ? 1 : step;
    }
    out[n] = '\0';
}

err_t err_set(struct ctx *c, err_t code, const char *fmt, ...)
{
    char text[2 * sizeof(c->err.text)];
    va_list ap;
    int len;
    size_t n;

    /* Not straight into the detail: its old text may be among the arguments. */
    va_start(ap, fmt);
    len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    must(len >= 0);
    /* A character cut here lies beyond what the detail holds: sanitising never shortens. */
    n = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    sanitise(c->err.text, sizeof(c->err.text), (str_t){ text, n });
    c->err.code = code;
    return code;
}

str_t err_text(const struct ctx *c, err_t e)
{
    must((unsigned)e < ERR_COUNT);
    if (c->err.code == e && c->err.text[0] != '\0')
        return str_from(c->err.text);
    return general[e];
}

int64_t ctx_id(struct ctx *c)
{
    return id_next(c->ids, c->now_ms);
}
