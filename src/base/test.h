/* What unit tests include instead of cmocka.h: its prelude, and a comparison of views. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"

/* Fails unless the view a has the bytes of the C string z. */
#define assert_str(a, z) test_str((a), (z), __FILE__, __LINE__)

static inline void test_str(str_t a, const char *z, const char *file, int line)
{
    if (str_eq(a, str_from(z)))
        return;
    print_error("\"" STR_FMT "\" != \"%s\"\n", STR_ARG(a), z);
    _fail(file, line);
}

/* The signal that ends a child process that calls fn, with stderr closed; 0 when it returns. */
static inline int test_signal_of(void (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
