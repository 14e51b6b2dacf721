#!/bin/bash
# licences.sh BINARY: the licences of the modules that are linked into it, as their
# authors want them to go with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
go version -m "$1" | awk '$1 == "dep" {print $2 "@" $3}' | while read -r module; do
	dir=$(go list -m -f '{{.Dir}}' "${module%@*}")
	printf '==== %s\n\n' "$module"
	found=
	for file in "$dir"/{LICENSE,LICENCE,LICENSE.md,LICENSE.txt,COPYING,NOTICE}; do
		[ -f "$file" ] || continue
		cat "$file"
		echo
		found=yes
	done
	[ -n "$found" ] || { echo "no licence found for $module in $dir" >&2; exit 1; }
done
