#!/bin/bash
# lab.sh COMMAND…: docker-compose with this project's own images of the servers, where
# no registry answers. `make setup image` brings all that it needs.
#
#   deployments/compose/lab.sh up -d
#   deployments/compose/lab.sh exec reattach /usr/bin/reattach status
#   deployments/compose/lab.sh down -v
set -euo pipefail
cd "$(dirname "$0")/../.."
compose=(docker-compose)
command -v docker-compose > /dev/null || compose=(docker compose)
tag=$(test/lab/images.sh tag)
bin=${REATTACH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/reattach}/bin
tool() { echo "$bin/$1-$(awk -v n="$1" '$1 == n {print $2}' test/lab/versions)"; }
LAB_CONSUL=$(tool consul) LAB_CONSUL_TEMPLATE=$(tool consul-template)
export LAB_CONSUL LAB_CONSUL_TEMPLATE
export CONSUL_IMAGE=reattach-lab-tools:$tag CONSUL_TEMPLATE_IMAGE=reattach-lab-tools:$tag
export MARIADB_IMAGE=reattach-lab-mariadb:$tag RABBITMQ_IMAGE=reattach-lab-rabbitmq:$tag
export RELAY_IMAGE=reattach-lab-postfix:$tag MEMCACHED_IMAGE=reattach-lab-memcached:$tag
export PROMETHEUS_IMAGE=reattach-lab-monitoring:$tag ALERTMANAGER_IMAGE=reattach-lab-monitoring:$tag
exec "${compose[@]}" -f deployments/compose/docker-compose.yml -f deployments/compose/docker-compose.lab.yml "$@"
