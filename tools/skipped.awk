# Reads `go test -v` of several packages and prints what `go test` prints without -v, and at the end every test that was skipped, with its
# reason: without -v a test that could not run here looks like one that passed.
function flush_failed(  i) { for (i = 0; i < n; i++) print lines[i]; n = 0 }

/^ *=== (RUN|NAME|CONT) / { test = $3; next }
/^ *=== / || /^ *--- PASS: / || /^PASS$/ { next }
/^ *--- SKIP: / { if (!($3 in reason)) { reason[$3] = lines[n-1]; sub(/^ *[^ ]*go:[0-9]+: /, "", reason[$3]) } skips[++skipped] = $3 ": " reason[$3]; delete reason[$3]; next }
/SKIPPED/ && !(test in reason) { reason[test] = $0; sub(/^.*SKIPPED:? ?/, "", reason[test]); next }
/^ok  |^\?   / { n = 0; print; fflush(); next }
/^FAIL|^make|^#|^go: / { flush_failed(); print; fflush(); next }
{ lines[n++] = $0 }

END {
	flush_failed()
	if (skipped) printf "\n!! NOT TESTED HERE: %d tests were skipped\n", skipped
	for (i = 1; i <= skipped; i++) print "!!   " skips[i]
}
