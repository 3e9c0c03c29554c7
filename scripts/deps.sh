#!/bin/sh
# Installs the Debian packages that building and testing need, and says which. Nothing to do when all are
# there. Usage: scripts/deps.sh build | test
set -eu

build="gcc make pkg-config ccache mold libc6-dev libuv1-dev libnghttp2-dev libsqlite3-dev libpq-dev libssl-dev
libyaml-dev libcurl4-openssl-dev libglib2.0-0 tzdata node-llhttp"
test="$build libcmocka-dev postgresql curl jq procps clang libclang-rt-14-dev clang-format clang-tidy
cppcheck sqlite3 protobuf-compiler libprotobuf-dev"

case "${1:-build}" in
build) want=$build ;;
test) want=$test ;;
*)
    echo "usage: scripts/deps.sh build | test" >&2
    exit 1
    ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
    cat >&2 <<END
This script installs packages on Debian 12 and its relatives. On another system please install the
equivalents of these yourself, then run make:
  $(echo $want)
END
    exit 1
fi

missing=""
for p in $want; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "install ok installed" ||
        missing="$missing $p"
done
# Node.js and npm: the distribution's or any other that is on the path will do.
if [ "${1:-build}" = test ] && ! command -v node >/dev/null 2>&1; then
    missing="$missing nodejs"
fi
if [ "${1:-build}" = test ] && ! command -v npm >/dev/null 2>&1; then
    missing="$missing npm"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=""
elif command -v sudo >/dev/null 2>&1; then
    root="sudo"
else
    echo "These packages are missing and installing them needs root or sudo:$missing" >&2
    echo "Run as root: apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi

echo "Installing:$missing"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { $root apt-get update && $root apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1
then
    cat "$log" >&2
    echo "apt-get failed; its output stands above." >&2
    rm -f "$log"
    exit 1
fi
rm -f "$log"
