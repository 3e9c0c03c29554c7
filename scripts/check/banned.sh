#!/bin/sh
# Calls that have a safe twin here, and calls that belong to one layer.
set -eu
bad=0
ban() { # pattern, files excepted, what to do instead
    hits=$(grep -nE "$1" src/*/*.c src/*/*.h | grep -vE "^($2)|_test\.c:|_fuzz\.c:" |
        grep -vE '^[^:]*:[0-9]*: *(\*|/\*|//)' || true)
    if [ -n "$hits" ]; then
        echo "$hits" | sed "s|$| <- $3|" >&2
        bad=1
    fi
}
ban '\b(strcpy|strcat|sprintf|vsprintf|gets|strncpy|strncat)\(' 'none' 'use str and buf'
ban '\b(atoi|atol|atoll|atof|sscanf|scanf|fscanf)\(' 'none' 'use str_to_i64'
ban '\b(system|popen|alloca|setjmp|longjmp)\(' 'none' 'not in this house'
ban '\b(time|gettimeofday|clock_gettime|rand|random|getrandom)\(' 'src/base/' 'clock and random live in base'
ban '\b(getenv|secure_getenv)\(' 'src/main/' 'main reads the environment'
ban '[^a-z_v](printf|puts|putchar|fprintf)\(' 'src/cli/|src/main/|src/base/' 'print in cli only'
ban '\b(malloc|calloc|realloc|strdup)\(' 'src/base/|src/http/client' 'use mem_ or the arena'
[ "$bad" = 0 ]
