#!/bin/sh
# A header opens with what it is; a paragraph of public functions carries a comment. Every parser has a
# fuzzer with a corpus, every folder a README of at most 40 lines.
set -eu
awk '
function flush() {
    if (proto && !comment) { printf "%s:%d: a public function without its contract\n", file, at; bad = 1 }
    proto = comment = 0
}
FNR == 1 { flush(); file = FILENAME; if ($0 !~ /^\/\*/) { printf "%s: opens without a comment\n", file; bad = 1 } }
/^$/ { flush(); next }
/\/\*/ { comment = 1 }
/^[a-zA-Z].*[a-z_]\(.*/ && !/^(typedef|static|#|struct [a-z_]+ \{)/ && !proto { proto = 1; at = FNR }
END { flush(); exit bad }
' src/*/*.h >&2
for p in json proto url cron h1 h2; do
    ls src/*/"$p"_fuzz.c >/dev/null 2>&1 || { echo "no fuzzer for $p" >&2; exit 1; }
    [ -d "fuzz/corpus/$p" ] || { echo "no corpus for $p" >&2; exit 1; }
done
for d in src/*/; do
    ls "$d"*.c >/dev/null 2>&1 || continue
    [ -f "$d/README.md" ] || { echo "$d has no README.md" >&2; exit 1; }
    [ "$(wc -l <"$d/README.md")" -le 40 ] || { echo "$d/README.md is longer than 40 lines" >&2; exit 1; }
done
