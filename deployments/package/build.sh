#!/bin/bash
# build.sh: the deb and the rpm, as OUT/reattach_*.deb and OUT/reattach-*.rpm.
# build.sh version: only prints what their version would be.
#
# OUT        where to (bin/dist)
# VERSION    as `git describe` says it: v1.2.3, v1.2.3-4-gabcdef, or a commit alone
# COMMIT     what `reattach version` says it is built from
# CONFIG     the configuration to ship (deployments/package/reattach.hcl)
# ARCH       amd64, arm64, …, in Go's words (this machine's)
# nfpm comes from the lab's tools: test/lab/tools.sh nfpm.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mkdir -p "${OUT:-bin/dist}" && cd "${OUT:-bin/dist}" && pwd)
ARCH=${ARCH:-$(go env GOARCH)}
version=${VERSION:-$(git describe --tags --always --dirty 2> /dev/null || echo unknown)}
# The same sources give the same bytes: times in the packages are the commit's.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
nfpm=${REATTACH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/reattach}/bin/nfpm-$(awk '$1 == "nfpm" {print $2}' test/lab/versions)

# package_version: 1.2.3~rc1; 1.2.3 after it; 1.2.3+4.gabcdef after that;
# 0.0.0~20261123221500.abcdef, older than any release, where there is no tag: with
# the commit's time, because hashes have no order, and a day may see two builds.
package_version() {
	if [[ $version =~ ^v?([0-9]+\.[0-9]+\.[0-9]+)(-(alpha|beta|rc)[.0-9]*)?(-[0-9]+-g[0-9a-f]+)?(-dirty)?$ ]]; then
		local before=${BASH_REMATCH[2]#-} after=${BASH_REMATCH[4]}${BASH_REMATCH[5]}
		after=${after#-}
		echo "${BASH_REMATCH[1]}${before:+~$before}${after:++${after//-/.}}"
	else
		echo "0.0.0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${version//[^0-9a-zA-Z]/.}"
	fi
}
PACKAGE_VERSION=$(package_version)
[ "${1:-}" != version ] || { echo "$PACKAGE_VERSION"; exit 0; }
export ARCH PACKAGE_VERSION SOURCE_DATE_EPOCH

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
share=$stage/usr/share
install -d "$stage/usr/bin" "$stage/scripts" "$share/bash-completion/completions" \
	"$share/zsh" "$share/fish/vendor_completions.d"
CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -o "$stage/usr/bin/reattach" \
	-ldflags "-s -w -X main.version=$version -X main.commit=${COMMIT:-$(git rev-parse --short=12 HEAD 2> /dev/null || true)}" ./cmd/reattach
complete() { CGO_ENABLED=0 go run ./cmd/reattach completion "$1"; }
[ "$ARCH" != "$(go env GOHOSTARCH)" ] || complete() { "$stage/usr/bin/reattach" completion "$1"; }
complete bash > "$share/bash-completion/completions/reattach"
complete fish > "$share/fish/vendor_completions.d/reattach.fish"
complete zsh > "$share/zsh/_reattach"

install -D -m 644 deployments/systemd/reattach.service "$stage/usr/lib/systemd/system/reattach.service"
install -D -m 640 "${CONFIG:-deployments/package/reattach.hcl}" "$stage/etc/reattach/reattach.hcl"
install -m 755 deployments/package/scripts/* "$stage/scripts/"

doc=$share/doc/reattach
deployments/package/docs.sh "$doc"
deployments/package/licences.sh "$stage/usr/bin/reattach" > "$doc/third-party-licences.txt"
# Whoever's umask this is, a package's files are readable by all.
chmod -R u=rwX,go=rX "$stage/usr"
find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

cd "$stage"
for packager in deb rpm; do
	"$nfpm" package --config "$OLDPWD/deployments/package/nfpm.yaml" --packager "$packager" --target "$out/"
done
