#!/bin/sh
# Sources at most 800 lines, headers 300, lines 100 columns, functions 70 lines, sh-allow-list empty.
set -eu
awk '
FNR == 1 { if (file != "" && lines > max) { printf "%s: %d lines, at most %d\n", file, lines, max; bad = 1 }
           file = FILENAME; max = (file ~ /\.h$/) ? 300 : 800; start = 0 }
{ lines = FNR }
length($0) > 100 { printf "%s:%d: %d columns, at most 100\n", FILENAME, FNR, length($0); bad = 1 }
/^\{$/ { start = FNR }
/^\}/ { if (start && FNR - start - 1 > 70) {
            printf "%s:%d: function of %d lines, at most 70\n", FILENAME, start, FNR - start - 1; bad = 1 }
        start = 0 }
END { if (lines > max) { printf "%s: %d lines, at most %d\n", file, lines, max; bad = 1 } exit bad }
' src/*/*.c src/*/*.h sdk/c/*.c sdk/c/*.h >&2
