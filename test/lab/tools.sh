#!/bin/bash
# tools.sh NAME…: builds consul or consul-template once, into the cache.
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
	mv "$work/$name" "$bin/$name-$version"
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

for name in "$@"; do
	version=$(awk -v n="$name" '$1 == n {print $2}' versions)
	case $name in
	consul) build consul "$version" " (some minutes, once)" ;;
	*) build "$name" "$version" ;;
	esac
done
