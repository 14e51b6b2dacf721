#!/bin/bash
# Builds the lab's images that are not there yet; with `tag`, prints their tag.
#
# REATTACH_SERVERS_ONLY leaves out what only tests need.
# The tag is a hash of everything in images/, so a change there makes new images
# and nothing else does. MySQL is the one image that may fail.
set -euo pipefail
cd "$(dirname "$0")"

required=(mariadb rabbitmq postfix memcached tools)
optional=()
[ -n "${REATTACH_SERVERS_ONLY:-}" ] || required+=(monitoring packaging) optional=(mysql)
tag=$(cd images && find . -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12)
[ "${1:-}" != tag ] || { echo "$tag"; exit 0; }

say() { printf '  %s\n' "$*"; }
have() { docker image inspect "$1" > /dev/null 2>&1; }

# base_image: debian:trixie-slim from a registry, or else by debootstrap.
base_image() {
	have debian:trixie-slim && return
	local start=$SECONDS
	if timeout 300 docker pull -q debian:trixie-slim > /dev/null 2>&1; then
		say "pulled debian:trixie-slim … $((SECONDS - start)) s"
		return
	fi
	if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
		echo "lab: debian:trixie-slim cannot be pulled, and building it needs root on Debian or Ubuntu (debootstrap)." >&2
		return 1
	fi
	say "no registry answers: building debian:trixie-slim by debootstrap"
	./packages.sh debootstrap debian-archive-keyring
	local root scripts=/usr/share/debootstrap/scripts
	[ -e $scripts/trixie ] || ln -s sid $scripts/trixie
	root=$(mktemp -d)
	debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		trixie "$root" http://deb.debian.org/debian > "$root.log" 2>&1 ||
		{ tail -n 20 "$root.log" >&2; rm -rf "$root"; return 1; }
	tar -C "$root" -c . | docker import -c 'CMD ["bash"]' - debian:trixie-slim > /dev/null
	rm -rf "$root" "$root.log"
	say "built debian:trixie-slim … $((SECONDS - start)) s"
}

# stages NAME: the Dockerfile reduced to `base` and NAME.
stages() {
	awk -v name="$1" '/^FROM /{keep = $NF == "base" || $NF == name} keep || !seen; /^FROM /{seen = 1}' images/Dockerfile
}

# build NAME [STAMP]: one image; 2 when a stale package index may be why it failed, else 1 and its log.
build() {
	local log
	log=$(mktemp)
	if stages "$1" > "$log.dockerfile" && docker build -q --force-rm --target "$1" --build-arg "APT_STAMP=${2:-0}" \
		--add-host mq1:127.0.0.1 --add-host mq2:127.0.0.1 --add-host mq3:127.0.0.1 \
		-t "reattach-lab-$1:$tag" -f "$log.dockerfile" images > "$log" 2>&1; then
		rm -f "$log" "$log.dockerfile"
		return
	fi
	local stale=1
	if [ -z "${2:-}" ] && grep -qE '^E: |404 +Not Found|Hash Sum mismatch' "$log"; then
		stale=0
	else
		sed "s/^/    $1: /" "$log" | tail -n 25 >&2
	fi
	rm -f "$log" "$log.dockerfile"
	return $((2 - stale))
}

# image NAME: built unless it is there; once more with a new package index when packages were the trouble.
image() {
	have "reattach-lab-$1:$tag" && return
	local start=$SECONDS
	say "building $1 …"
	local status=0
	build "$1" || status=$?
	if [ "$status" = 2 ]; then
		say "$1: a package could not be had; once more, with a new index"
		status=0
		build "$1" "$(date +%F-%H)" || status=$?
	fi
	[ "$status" = 0 ] || return 1
	say "built $1: $(version "$1") … $((SECONDS - start)) s"
}

version() {
	local query
	case $1 in
	tools) echo "Debian trixie with iptables"; return ;;
	mariadb | mysql) query="$1-server" ;;
	rabbitmq) query=rabbitmq-server ;;
	monitoring) query=prometheus ;;
	packaging) query=rpm ;;
	*) query=$1 ;;
	esac
	docker run --rm --network none --entrypoint dpkg-query "reattach-lab-$1:$tag" -W -f '${Package} ${Version}' "$query"
}

missing=()
for name in "${required[@]}" "${optional[@]}"; do
	have "reattach-lab-$name:$tag" || missing+=("$name")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
base_image
image tools # also the layer that all others share
wait_for=()
for name in "${missing[@]}"; do
	case " ${optional[*]} tools " in *" $name "*) continue ;; esac
	image "$name" & wait_for+=($!)
done
failed=0
for pid in "${wait_for[@]}"; do wait "$pid" || failed=1; done
[ "$failed" = 0 ] || { echo "lab: not every image could be built (see above)." >&2; exit 1; }

# A failure is remembered for a day, so that a set-up with nothing to do stays quick.
cache=${REATTACH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/reattach}
for name in "${optional[@]}"; do
	if [ -n "$(find "$cache/no-$name-$tag" -mtime -1 2> /dev/null)" ] || ! image "$name"; then
		mkdir -p "$cache"
		[ -e "$cache/no-$name-$tag" ] || touch "$cache/no-$name-$tag"
		echo "lab: NOTE: there is no $name image (Debian unstable moves): the tests of MySQL itself, named …MySQLTarget…, are left out." >&2
	fi
done
