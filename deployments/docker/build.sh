#!/bin/bash
# build.sh [TARGET…]: the images reattach:latest (from scratch) and reattach:debian,
# and the same with the version in front. Targets: reattach, debian; both without one.
#
# IMAGE      their name (reattach); with a registry's in front they can be pushed
# VERSION, COMMIT, ARCH    as for the packages
set -euo pipefail
cd "$(dirname "$0")/../.."
image=${IMAGE:-reattach}
version=${VERSION:-$(git describe --tags --always --dirty 2> /dev/null || echo unknown)}
arch=${ARCH:-$(go env GOARCH)}
[ $# -gt 0 ] || set -- reattach debian

context=$(mktemp -d)
trap 'rm -rf "$context" "$context.log"' EXIT
mkdir -p "$context"/root/{etc/ssl/certs,usr/bin,usr/share/doc/reattach} "$context"/own/{etc/reattach,run/reattach,var/lib/reattach}
CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -o "$context/root/usr/bin/reattach" \
	-ldflags "-s -w -X main.version=$version -X main.commit=${COMMIT:-$(git rev-parse --short=12 HEAD 2> /dev/null || true)}" ./cmd/reattach
[ -e /etc/ssl/certs/ca-certificates.crt ] || test/lab/packages.sh ca-certificates
cp -L /etc/ssl/certs/ca-certificates.crt "$context/root/etc/ssl/certs/"
echo 'reattach:x:65532:65532:reattach daemon:/var/lib/reattach:/usr/sbin/nologin' > "$context/root/etc/passwd"
echo 'reattach:x:65532:' > "$context/root/etc/group"
cp LICENSE "$context/root/usr/share/doc/reattach/copyright"
deployments/package/licences.sh "$context/root/usr/bin/reattach" > "$context/root/usr/share/doc/reattach/third-party-licences.txt"
chmod -R u=rwX,go=rX "$context"
chmod 0700 "$context"/own/{run,var/lib}/reattach

for target in "$@"; do
	tags=(-t "$image:${version//[^0-9a-zA-Z._-]/.}-debian" -t "$image:debian")
	[ "$target" = debian ] || tags=(-t "$image:${version//[^0-9a-zA-Z._-]/.}" -t "$image:latest")
	docker build -q --force-rm --platform "linux/$arch" --target "$target" --build-arg "VERSION=$version" "${tags[@]}" \
		-f deployments/docker/Dockerfile "$context" > "$context.log" 2>&1 || { cat "$context.log" >&2; exit 1; }
	echo "built ${tags[1]} and ${tags[3]}"
done
