/* URLs as servers and clients meet them: percent escapes, query strings, `scheme://host:port/path`.
 */
#pragma once

#include "base/buf.h"

/* Decodes percent escapes once; with plus a '+' is a blank (queries). A view of s where nothing
 * changes, else in the arena. False for a broken escape and for a result that is not UTF-8 or holds
 * a NUL. */
bool url_decode(struct arena *a, str_t s, bool plus, str_t *out);
/* Appends s with everything escaped but letters, digits and "-._~". */
void url_encode(struct buf *b, str_t s);

struct url_param {
    str_t name, value;
};

/* Takes the next parameter off the query; empty ones ("&&") are skipped. 1: *out is set, 0: the
 * end, -1: broken escape or not UTF-8. */
int url_query_next(struct arena *a, str_t *query, struct url_param *out);

struct url {
    bool tls;   /* https */
    str_t host; /* without the brackets of IPv6 */
    int port;   /* given, or 80 or 443 */
    str_t path; /* from '/' on, query included; "" when absent */
    str_t user; /* "name:password" before '@'; usually empty */
};

/* An absolute http or https URL; a fragment is cut off. False for anything else, for blanks and
 * control characters, and for ports outside 1 to 65535. The views point into s. */
bool url_parse(str_t s, struct url *out);
