#!/bin/sh
# Arrows point down: which folder may include which, and which file may include a foreign library.
set -eu
bad=0
allowed() {
    case "$1" in
    base) echo "base" ;;
    codec) echo "codec base proto" ;;
    rt) echo "rt base" ;;
    db) echo "db base" ;;
    http) echo "http base codec rt" ;;
    txn) echo "txn base rt db" ;;
    bus) echo "bus base codec rt" ;;
    engine) echo "engine base codec proto" ;;
    store) echo "store base codec db engine" ;;
    svc) echo "svc base codec engine store bus txn db proto" ;;
    jobs) echo "jobs base codec rt http txn engine svc" ;;
    api) echo "api base codec rt http txn engine svc jobs proto" ;;
    cli) echo "cli base codec rt http" ;;
    main) echo "main cli api jobs svc store engine bus txn db http rt codec base proto" ;;
    esac
}
for f in src/*/*.c src/*/*.h; do
    folder=$(echo "$f" | cut -d/ -f2)
    case "$f" in *_test.c | *_fuzz.c | *_fixture.*) continue ;; esac
    ok=" $(allowed "$folder") "
    for inc in $(sed -n 's/^#include "\([a-z_]*\)\/.*/\1/p' "$f" | sort -u); do
        case "$ok" in *" $inc "*) ;; *)
            echo "$f: $folder may not include $inc/" >&2
            bad=1
            ;;
        esac
    done
done
# One foreign library, one wrapper file.
foreign() { # header pattern, files that may include it
    grep -lE "^#include <($1)" src/*/*.c src/*/*.h 2>/dev/null | grep -vE "_test\.c$|$2" | while read -r f; do
        echo "$f: <$1...> belongs behind its wrapper ($2)" >&2
        echo x
    done
}
out=$(
    foreign 'sqlite3' 'src/db/db_sqlite'
    foreign 'libpq|postgresql' 'src/db/db_pg'
    foreign 'llhttp' 'src/http/h1\.'
    foreign 'nghttp2' 'src/http/h2(\.c|_client_fixture)'
    foreign 'curl/' 'src/http/curl\.h'
    foreign 'yaml\.h' 'src/codec/yaml\.c'
    foreign 'uv\.h' 'src/rt/|src/http/(conn|server)'
    foreign 'openssl/' 'src/base/crypto\.c'
    foreign 'pthread' 'src/base/|src/rt/loop'
)
[ -z "$out" ] && [ "$bad" = 0 ]
