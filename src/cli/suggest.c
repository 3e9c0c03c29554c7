/* "Did you mean": the candidate with the smallest edit distance to what was typed. */
#include <string.h>

#include "cli/cli_priv.h"

#define WORD_MAX 40

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Insertions, deletions, replacements; both words have at most WORD_MAX bytes. */
static size_t edit_distance(str_t a, str_t b)
{
    size_t row[WORD_MAX + 1];

    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t above = row[j];

            row[j] =
                smallest(row[j] + 1, row[j - 1] + 1, diagonal + (a.p[i - 1] == b.p[j - 1] ? 0 : 1));
            diagonal = above;
        }
    }
    return row[b.n];
}

void suggest_try(struct suggest *s, const char *name)
{
    str_t candidate = str_from(name);
    size_t distance;

    if (s->word.n < 2 || s->word.n > WORD_MAX || candidate.n > WORD_MAX)
        return;
    distance = edit_distance(s->word, candidate);
    if (str_starts(candidate, s->word)) /* "func" */
        distance = 1;
    if (distance > 2 || distance >= candidate.n - (candidate.n > 3 ? 1 : 0))
        return;
    if (s->best == NULL || distance < s->distance) {
        s->best = name;
        s->distance = distance;
    }
}
