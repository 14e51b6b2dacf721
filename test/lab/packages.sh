#!/bin/bash
# packages.sh NAME…: installs those Debian packages that are not there, as root
# on Debian or Ubuntu; elsewhere it says which are missing, and fails.
set -euo pipefail
missing=()
for package in "$@"; do
	status=$(dpkg-query -W -f '${Status}' "$package" 2> /dev/null || true)
	[ "$status" = "install ok installed" ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
	echo "lab: missing: ${missing[*]}; they can be installed here only as root on Debian or Ubuntu." >&2
	exit 1
fi
printf '  installing %s\n' "${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install -y -q --no-install-recommends "${missing[@]}" < /dev/null > "$log" 2>&1; }
install || { apt-get update -q > "$log" 2>&1 && install; } || { tail -n 20 "$log" >&2; exit 1; }
