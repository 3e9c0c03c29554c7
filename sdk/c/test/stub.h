/* For tests: an HTTP server that plays from rules and keeps what it was asked. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct rule {
    const char *match; /* part of "METHOD path body", after which the headers follow */
    int times;         /* how often; 0: always */
    int status;
    const char *body; /* NULL: {"status":"ok"} */
};

struct stub;
/* Serves on a free port of 127.0.0.1. The first rule that matches and is not used up answers;
 * without one it is 200. rules end with match NULL and outlive the stub. */
struct stub *stub_new(struct rule *rules, char *url, size_t url_size);
void stub_free(struct stub *s);
/* How many requests contained the text so far. */
int stub_count(struct stub *s, const char *text);
/* Waits until that many have; false after 10 s. */
bool stub_wait(struct stub *s, const char *text, int n);
/* The n-th request (from 0) that contains the text, or NULL; lives until stub_free. */
const char *stub_request(struct stub *s, const char *text, int n);
/* How answers travel from now on. */
enum stub_style { STUB_PLAIN, STUB_CHUNKED, STUB_CLOSES };
void stub_style(struct stub *s, enum stub_style style);
/* Waits until STUB_CLOSES has closed that many connections; false after 10 s. */
bool stub_wait_closed(struct stub *s, int n);
