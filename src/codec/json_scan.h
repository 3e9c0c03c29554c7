/* The strict scanner under json_check, for those who read a document member by member in one pass
 * (codec/proto_json.c). Private to src/codec. */
#pragma once

#include "codec/json.h"

struct json_scan {
    const char *begin, *p, *end; /* p moves from begin to end */
    struct json_error error;     /* set when a function returned false */
};

struct json_scan json_scan(str_t text);
void json_scan_blanks(struct json_scan *s);
/* False and sets the error unless the next byte is ch; moves past it. */
bool json_scan_char(struct json_scan *s, char ch, const char *otherwise);
/* A whole string with its quotes; *out is what stands between them, still escaped. */
bool json_scan_string(struct json_scan *s, str_t *out);
/* One value of any kind inside `outer` open containers. p must stand on its first byte. */
bool json_scan_value(struct json_scan *s, unsigned outer, str_t *out);
/* Always false. */
bool json_scan_fail(struct json_scan *s, const char *what);
/* Whether the escaped text between quotes reads as want. */
bool json_raw_equal(str_t raw, str_t want);
/* The escaped text between quotes without its escapes. */
str_t json_raw_string(struct arena *a, str_t raw);
