#!/bin/bash
# fuzz.sh TIME: runs every fuzz test of the tree that long, one after another.
# The go command now and then ends a run with "context deadline exceeded" when the
# time is over just as a worker is at work: no input failed, and so it is run again.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-5s} failed=0 count=0
while IFS=: read -r file line; do
	name=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/' <<< "$line")
	count=$((count + 1))
	fuzz=(go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$(dirname "$file")")
	if out=$("${fuzz[@]}" 2>&1) ||
		{ grep -q 'context deadline exceeded' <<< "$out" && ! grep -q 'Failing input' <<< "$out" && out=$("${fuzz[@]}" 2>&1); }; then
		printf 'ok    %s %s  %s\n' "$(dirname "$file")" "$name" "$(grep -o 'execs: [0-9]*' <<< "$out" | tail -n 1)"
	else
		printf 'FAIL  %s %s\n%s\n' "$(dirname "$file")" "$name" "$out"
		failed=1
	fi
done < <(grep -rE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . | sed 's|^\./||' | sort)
echo "$count fuzz tests, $time each"
exit "$failed"
