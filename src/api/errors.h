/* How an error looks on REST and on Connect. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* HTTP status of the error on Connect, by its code there. */
int api_rpc_status(err_t e);
/* {"error","message","code"} on REST, {"code","message"} on Connect. */
void api_error_json(struct buf *b, bool rpc, err_t e, str_t text);
/* The error that stands for an HTTP status which the server answered by itself. */
err_t api_error_of_status(int status);
