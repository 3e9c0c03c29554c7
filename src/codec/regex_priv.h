/* The code that patterns become; shared by the parser (regex_parse.c) and the matcher (regex.c). */
#pragma once

#include "codec/regex.h"

enum regex_op {
    REGEX_CHAR,   /* the code point x */
    REGEX_CLASS,  /* one of y ranges from index x */
    REGEX_ANY,    /* any code point */
    REGEX_LINE,   /* any but a newline */
    REGEX_SPLIT,  /* go on at x and at y, relative to here */
    REGEX_JUMP,   /* go on at x, relative to here */
    REGEX_ASSERT, /* enum regex_assert in x */
    REGEX_MATCH,
};

enum regex_assert {
    REGEX_TEXT_BEGIN,
    REGEX_TEXT_END,
    REGEX_LINE_BEGIN,
    REGEX_LINE_END,
    REGEX_WORD,
    REGEX_NOT_WORD,
};

struct regex_inst {
    int32_t op, x, y;
};

struct regex_range {
    int32_t lo, hi; /* code points, both included */
};

struct regex {
    size_t insts_n, ranges_n;
    /* the ranges, sorted within each class, then the instructions */
    struct regex_range ranges[];
};

static inline const struct regex_inst *regex_insts(const struct regex *re)
{
    return (const struct regex_inst *)(const void *)(re->ranges + re->ranges_n);
}

#define REGEX_POINT_MAX 0x10FFFF

/* The code point at *at, and moves on; a byte that is no UTF-8 reads as the replacement. */
int32_t regex_point(str_t text, size_t *at);

/* A set of code points while a class is read. */
struct regex_set {
    struct arena *arena;
    struct regex_range *p;
    size_t n, cap;
};

void regex_set_add(struct regex_set *set, int32_t lo, int32_t hi);
/* Adds what differs from its members only in case. */
void regex_set_fold(struct regex_set *set);
/* Sorts and joins; inverted when negate. */
void regex_set_finish(struct regex_set *set, bool negate);
/* Adds \d \w \s (and their opposites) or a class by its POSIX name; false when there is none. */
bool regex_set_perl(struct regex_set *set, char letter);
bool regex_set_posix(struct regex_set *set, str_t name);
