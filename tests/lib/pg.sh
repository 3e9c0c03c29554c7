#!/bin/sh
# A private PostgreSQL for tests, on a free port of 127.0.0.1, without fsync.
#
#   tests/lib/pg.sh start <dir>   prints the URL (also when it already runs); <dir> keeps url and data
#   tests/lib/pg.sh stop <dir>    ends it and deletes its data
#
# The server refuses to run as root, so root hands it to the user postgres; its data stands beside, not
# in <dir>, because that user may not be able to enter <dir>.
set -eu

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

as_server() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid postgres --regid postgres --clear-groups env HOME=/tmp "$@"
    else
        "$@"
    fi
}

find_bin() {
    for bin in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
        [ -x "$bin/initdb" ] && newest=$bin
    done
    [ -n "${newest:-}" ] && return
    newest=$(dirname "$(command -v initdb || true)")
    if [ "$newest" = . ]; then
        echo "pg.sh: PostgreSQL is not installed (package postgresql)" >&2
        exit 1
    fi
}

launch() { # port
    as_server "$newest/pg_ctl" -D "$data/db" -l "$data/log" -w -t 60 -s -o "-p $1 \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off \
        -c full_page_writes=off -c shared_buffers=32MB -c max_connections=100 \
        -c log_min_messages=fatal" start >/dev/null 2>&1
}

start() {
    if [ -f "$dir/pg.url" ]; then
        cat "$dir/pg.url"
        return
    fi
    mkdir -p "$dir"
    data=$(as_server mktemp -d /tmp/ironflow-pg.XXXXXX)
    cd /
    as_server "$newest/initdb" -D "$data/db" -U ironflow -A trust -E UTF8 --locale=C -N \
        >"$dir/pg.log" 2>&1 || { cat "$dir/pg.log" >&2; exit 1; }
    tries=0
    while :; do
        port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 40000))
        launch "$port" && break
        tries=$((tries + 1))
        if [ "$tries" -ge 5 ]; then
            echo "pg.sh: PostgreSQL does not start:" >&2
            tail -5 "$data/log" >&2
            exit 1
        fi
    done
    "$newest/createdb" -h 127.0.0.1 -p "$port" -U ironflow ironflow
    echo "$data" >"$dir/pg.data"
    echo "postgresql://ironflow@127.0.0.1:$port/ironflow" >"$dir/pg.url"
    cat "$dir/pg.url"
}

stop() {
    [ -f "$dir/pg.data" ] || return 0
    data=$(cat "$dir/pg.data")
    cd /
    as_server "$newest/pg_ctl" -D "$data/db" -m immediate -w -s stop >/dev/null 2>&1 || true
    rm -rf "$data"
    rm -f "$dir/pg.url" "$dir/pg.data" "$dir/pg.log"
}

[ $# = 2 ] || usage
mkdir -p "$2"
dir=$(cd "$2" && pwd)
find_bin
case $1 in
start) start ;;
stop) stop ;;
*) usage ;;
esac
