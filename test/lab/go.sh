#!/bin/bash
# Makes sure that there is a Go of 1.21 or later, which fetches the version that
# go.mod names; installs Debian's where there is none.
set -euo pipefail
cd "$(dirname "$0")"
command -v go > /dev/null || ./packages.sh golang-go
have=$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//; s/[ -].*//')
if [ "$(printf '%s\n' 1.21 "$have" | sort -V | head -n 1)" != 1.21 ]; then
	echo "Go $have is too old to fetch a newer one: install Go 1.21 or later (https://go.dev/dl/)." >&2
	exit 1
fi
