# Passes the output of `make test` through and ends it with what failed and how much was run: the sums of
# what cmocka ("[  PASSED  ] 3 test(s)."), node ("# pass 3") and the golden cases say.
function count(text) {
    gsub(/[^0-9 ]/, "", text)
    split(text, words, " ")
    return words[1] + 0
}
{ print; fflush() }
/^\[  PASSED  \] [0-9]+ test/ { passed += count($0) }
/^\[  FAILED  \] [0-9]+ test/ { failed += count($0) }
/^\[  SKIPPED \] [0-9]+ test/ { skipped += count($0) }
/^(#|ℹ) pass [0-9]+$/ { passed += $3 }
/^(#|ℹ) (fail|cancelled) [0-9]+$/ { failed += $3 }
/^(#|ℹ) (skipped|todo) [0-9]+$/ { skipped += $3 }
/^golden: [0-9]+ of [0-9]+ cases passed/ { passed += $2; failed += $4 - $2 }
/^not ok |^\[  FAILED  \] [^0-9]|^make(\[[0-9]+\])?: \*\*\*|Sanitizer: / {
    if (!seen[$0]++) bad[++bad_n] = $0
}
END {
    print ""
    for (i = 1; i <= bad_n; i++) print bad[i]
    if (failed == 0) failed = bad_n # what has no numbers: a check, a crash
    printf "# tests %d\n# pass %d\n# fail %d\n# skipped %d\n", passed + failed + skipped, passed, failed, skipped
}
