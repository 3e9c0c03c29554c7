/* Errors are values; their detail text lives in the context (base/ctx.h). */
#pragma once

#include "base/must.h"
#include "base/str.h"

typedef enum err {
#define X(name, http, rest, rpc) ERR_##name,
#include "base/err.def"
#undef X
    ERR_COUNT
} err_t;

/* HTTP status of the error on REST. */
int err_http(err_t e);
/* Machine code on REST and on Connect, such as "not_found". */
str_t err_rest_code(err_t e);
str_t err_rpc_code(err_t e);

#define TRY(call)                                                                                  \
    do {                                                                                           \
        err_t try_err_ = (call);                                                                   \
        if (try_err_ != ERR_OK)                                                                    \
            return try_err_;                                                                       \
    } while (0)

/* The one way to drop an error; the reason is for the reader. */
static inline void err_ignore(err_t e, const char *why)
{
    (void)e;
    (void)why;
}
