/* Functions of shared libraries by name. */
#include "base/dynlib.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool dynlib_load(const char *file, const struct dynlib_symbol *symbols, size_t n, char *why,
                 size_t why_size)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL) {
        (void)snprintf(why, why_size, "%s", dlerror());
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        void *found = dlsym(handle, symbols[i].name);

        if (found == NULL) {
            (void)snprintf(why, why_size, "%s has no %s", file, symbols[i].name);
            return false;
        }
        memcpy(symbols[i].slot, &found, sizeof(found));
    }
    return true;
}
