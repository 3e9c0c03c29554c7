/* What the tests of messages share: a context with an arena, and short forms of the calls. */
#pragma once

#include "base/must.h"
#include "base/test.h"
#include "codec/proto_priv.h"
#include "proto/ironflow.h"

static struct arena test_arena;
static struct ctx test_ctx = { .arena = &test_arena };

/* A new message read from JSON; the test fails when it cannot be read. */
static inline void *from_json(const struct pb_message *d, const char *json)
{
    void *msg = pb_new(&test_arena, d);
    err_t e = pb_from_json(&test_ctx, d, str_from(json), msg);

    if (e != ERR_OK)
        fail_msg("%s: %s", json, test_ctx.err.text);
    return msg;
}

static inline str_t to_json(const struct pb_message *d, const void *msg, enum pb_style style)
{
    struct buf b;

    buf_init_arena(&b, &test_arena, 1 << 20);
    pb_to_json(&b, d, msg, style);
    assert_false(b.full);
    return buf_str(&b);
}

static inline str_t to_wire(const struct pb_message *d, const void *msg)
{
    struct buf b;

    buf_init_arena(&b, &test_arena, 1 << 20);
    pb_to_wire(&b, d, msg);
    assert_false(b.full);
    return buf_str(&b);
}

#define FROM(type, json) ((struct pb_##type *)from_json(&pb_##type##_desc, (json)))
#define TO(type, msg, style) to_json(&pb_##type##_desc, (msg), (style))

/* Expects ERR_INVALID with a detail that begins with start. */
static inline void refused(const struct pb_message *d, const char *json, const char *start)
{
    void *msg = pb_new(&test_arena, d);
    err_t e = pb_from_json(&test_ctx, d, str_from(json), msg);

    if (e != ERR_INVALID)
        fail_msg("accepted: %s", json);
    if (!str_starts(str_from(test_ctx.err.text), str_from(start)))
        fail_msg("%s: \"%s\"", json, test_ctx.err.text);
}

/* Runs the group with the arena in place. */
#define RUN_TESTS(tests)                                                                           \
    (arena_init(&test_arena), test_done(cmocka_run_group_tests((tests), NULL, NULL)))

static inline int test_done(int failed)
{
    arena_done(&test_arena);
    return failed;
}
