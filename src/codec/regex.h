/* Regular expressions in the syntax of RE2, matched in linear time by running all alternatives side
 * by side; no backtracking, no captures. Supported: literals, `.`, classes with ranges, negation
 * and [:names:], \d \w \s \b and their opposites, \x \Q..\E and control escapes, ^ $ \A \z, groups
 * (named and not), flags i m s U, alternation, * + ? {n} {n,} {n,m} and their lazy forms.
 * Refused: \pN classes, \C, back references and look-around, as in RE2 where it has them not.
 * Case folding knows ASCII, Latin-1, Greek and Cyrillic letters. */
#pragma once

#include "base/arena.h"
#include "base/str.h"

#define REGEX_TEXT_MAX 4096
#define REGEX_DEPTH_MAX 64
#define REGEX_REPEAT_MAX 1000
#define REGEX_CODE_MAX 10000 /* instructions after repetitions are written out */

struct regex;

/* The compiled pattern in the arena; immutable, for any thread. NULL and *what says why. */
struct regex *regex_compile(struct arena *a, str_t pattern, const char **what);
/* Bytes of a compiled pattern: one block without pointers, which may be copied and moved. */
size_t regex_size(const struct regex *re);
/* Whether the pattern occurs somewhere in the UTF-8 text: 1 or 0. Every step is taken off *budget;
 * -1 when it is used up. */
int regex_search(struct arena *a, const struct regex *re, str_t text, size_t *budget);
