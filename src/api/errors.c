/* Errors at the edge. The codes come from base/err.def; the HTTP status on Connect follows from the
 * Connect code, as its protocol says. Pure functions. */
#include "api/errors.h"

#include "codec/json.h"

static const struct {
    str_t code;
    int status;
} rpc_status[] = {
    { { "canceled", 8 }, 499 },
    { { "invalid_argument", 16 }, 400 },
    { { "deadline_exceeded", 17 }, 504 },
    { { "not_found", 9 }, 404 },
    { { "already_exists", 14 }, 409 },
    { { "permission_denied", 17 }, 403 },
    { { "resource_exhausted", 18 }, 429 },
    { { "failed_precondition", 19 }, 400 },
    { { "aborted", 7 }, 409 },
    { { "out_of_range", 12 }, 400 },
    { { "unimplemented", 13 }, 501 },
    { { "internal", 8 }, 500 },
    { { "unavailable", 11 }, 503 },
    { { "unauthenticated", 15 }, 401 },
};

int api_rpc_status(err_t e)
{
    str_t code = err_rpc_code(e);

    for (size_t i = 0; i < COUNT_OF(rpc_status); i++)
        if (str_eq(rpc_status[i].code, code))
            return rpc_status[i].status;
    return 500;
}

void api_error_json(struct buf *b, bool rpc, err_t e, str_t text)
{
    struct json_out w = { .b = b };

    json_open(&w, '{');
    if (rpc) {
        json_key(&w, S("code"));
        json_put_str(&w, err_rpc_code(e));
        json_key(&w, S("message"));
        json_put_str(&w, text);
    } else {
        json_key(&w, S("error"));
        json_put_str(&w, text);
        json_key(&w, S("message"));
        json_put_str(&w, text);
        json_key(&w, S("code"));
        json_put_str(&w, err_rest_code(e));
    }
    json_close(&w, '}');
}

err_t api_error_of_status(int status)
{
    for (err_t e = ERR_OK; e < ERR_COUNT; e++)
        if (err_http(e) == status)
            return e;
    return status >= 500 ? ERR_INTERNAL : ERR_INVALID;
}
