#!/bin/bash
# tools.sh NAME…: builds consul, consul-template, envconsul or nfpm once, into the cache.
# They are tools, never linked and never committed.
set -euo pipefail
cd "$(dirname "$0")"
bin=${REATTACH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/reattach}/bin
mkdir -p "$bin"
export CGO_ENABLED=0

build() {
	local name=$1 version=$2 start=$SECONDS work
	[ ! -x "$bin/$name-$version" ] || return 0
	printf '  building %s %s …%s\n' "$name" "$version" "${3:-}"
	work=$(mktemp -d "$bin/.build.XXXXXX")
	if ! "$name" "$version" "$work" > "$work/log" 2>&1; then
		tail -n 20 "$work/log" >&2
		rm -rf "$work"
		echo "lab: $name $version could not be built (see above)." >&2
		return 1
	fi
	mv "$work/$name" "$bin/$name-$version" || return 1
	rm -rf "$work"
	printf '  built %s %s … %s s\n' "$name" "$version" "$((SECONDS - start))"
}

# Consul's main module cannot be installed by `go install` (it has replace
# directives): it is a requirement of the module in tools/.
consul() {
	grep -q "hashicorp/consul v$1\$" tools/go.mod || { echo "tools/go.mod has another version"; return 1; }
	(cd tools && go build -trimpath -buildvcs=false -o "$2/consul" \
		-ldflags="-s -w -X github.com/hashicorp/consul/version.GitDescribe=v$1" github.com/hashicorp/consul)
}

consul-template() { GOBIN=$2 go install -trimpath -ldflags="-s -w" "github.com/hashicorp/consul-template@v$1"; }
envconsul() { GOBIN=$2 go install -trimpath -ldflags="-s -w" "github.com/hashicorp/envconsul@v$1"; }
nfpm() { GOBIN=$2 go install -trimpath -ldflags="-s -w" "github.com/goreleaser/nfpm/v2/cmd/nfpm@v$1"; }

# optional VERSION: envconsul, which not every proxy serves. A failure is remembered
# for a day, so that a set-up with nothing to do stays quick.
optional() {
	local failed=$bin/no-envconsul-$1
	[ ! -x "$bin/envconsul-$1" ] || return 0
	if [ -n "$(find "$failed" -mtime -1 2> /dev/null)" ] || ! build envconsul "$1"; then
		[ -e "$failed" ] || touch "$failed"
		echo "lab: NOTE: there is no envconsul: its tests, named …EnvconsulTarget…, are left out." >&2
	fi
}

# One that cannot be had keeps nobody from the others.
status=0
for name in "$@"; do
	version=$(awk -v n="$name" '$1 == n {print $2}' versions)
	case $name in
	consul) build consul "$version" " (some minutes, once)" || status=1 ;;
	envconsul) optional "$version" ;;
	*) build "$name" "$version" || status=1 ;;
	esac
done
exit "$status"
