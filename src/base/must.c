/* The end of a process that found itself in a state that its own code rules out. */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_fail(const char *file, int line, const char *expr)
{
    fprintf(stderr, "ironflow: bug: %s:%d: must(%s)\n", file, line, expr);
    abort();
}
