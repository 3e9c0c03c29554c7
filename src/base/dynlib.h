/* Libraries that are loaded when they are first needed, so that nobody pays for them before. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A function of the library, and the pointer to function that it is stored in. */
struct dynlib_symbol {
    const char *name;
    void *slot;
};

/* Loads the library for as long as the process lives and fills all slots. False and *why, cut to
 * why_size, when it or one of them is not there; some slots may be filled then. */
bool dynlib_load(const char *file, const struct dynlib_symbol *symbols, size_t n, char *why,
                 size_t why_size);
