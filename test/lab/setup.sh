#!/bin/bash
# setup.sh [NAME…]: all that the lab needs, on a bare Debian or Ubuntu as root:
# engine, compose, client, images, consul-template, consul; without names, everything. What is
# there already is left alone.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- engine compose client images consul-template envconsul nfpm consul
start=$SECONDS
tools=() images=
for name in "$@"; do
	case $name in
	engine) ./engine.sh ;;
	compose) command -v docker-compose > /dev/null || ./packages.sh docker-compose ;;
	client) command -v mariadb > /dev/null || ./packages.sh mariadb-client ;;
	images) images=1 ;;
	*) tools+=("$name") ;;
	esac
done

# The tools' compiler and the images' package servers keep different things busy.
status=0 job=
if [ "${#tools[@]}" -gt 0 ]; then ./tools.sh "${tools[@]}" & job=$!; fi
[ -z "$images" ] || ./images.sh || status=1
[ -z "$job" ] || wait "$job" || status=1
[ $((SECONDS - start)) -lt 2 ] || echo "  set up in $((SECONDS - start)) s"
exit "$status"
