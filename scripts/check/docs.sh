#!/bin/sh
# Every variable that main reads has its row in docs/reference/environment.md and the other way round;
# links between our documents lead somewhere; a decision fits on a page.
set -eu
bad=0
read=$(grep -ohE '(getenv|env|env_bool|env_ms)\((c, )?"[A-Z_]+"' src/main/*.c | grep -oE '[A-Z_]{3,}' | sort -u)
told=$(grep -oE '^\| `[A-Z_]+`' docs/reference/environment.md | grep -oE '[A-Z_]{3,}' | sort -u)
for v in $read; do
    echo "$told" | grep -qx "$v" || { echo "docs/reference/environment.md: $v is missing" >&2; bad=1; }
done
for v in $told; do
    echo "$read" | grep -qx "$v" || { echo "docs/reference/environment.md: nobody reads $v" >&2; bad=1; }
done
for f in README.md CONTRIBUTING.md SECURITY.md docs/*.md docs/*/*.md; do
    for link in $(grep -oE '\]\([^)# ]+' "$f" | cut -c3- | grep -vE '^(https?|mailto):' || true); do
        [ -e "$(dirname "$f")/$link" ] || { echo "$f: $link leads nowhere" >&2; bad=1; }
    done
done
for f in docs/decisions/*.md; do
    [ "$(wc -l <"$f")" -le 30 ] || { echo "$f is longer than 30 lines" >&2; bad=1; }
done
[ "$bad" = 0 ]
