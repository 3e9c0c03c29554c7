/* The tables that base/err.def expands to. */
#include "base/err.h"

struct err_row {
    int http;
    str_t rest, rpc;
};

static const struct err_row rows[ERR_COUNT] = {
#define X(name, http, rest, rpc)                                                                   \
    [ERR_##name] = { (http), { (rest), sizeof(rest) - 1 }, { (rpc), sizeof(rpc) - 1 } },
#include "base/err.def"
#undef X
};

static const struct err_row *row(err_t e)
{
    must((unsigned)e < ERR_COUNT);
    return &rows[e];
}

int err_http(err_t e)
{
    return row(e)->http;
}

str_t err_rest_code(err_t e)
{
    return row(e)->rest;
}

str_t err_rpc_code(err_t e)
{
    return row(e)->rpc;
}
