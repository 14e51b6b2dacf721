#!/bin/bash
# Makes sure that a container engine answers: installs Docker and starts it, as
# root on Debian or Ubuntu. What it starts stays, and is named.
set -euo pipefail
cd "$(dirname "$0")"

answers() { timeout 20 docker info > /dev/null 2>&1; }

# started SECONDS [PID]: waits that long for the engine, or until that process ends.
started() {
	local deadline=$((SECONDS + $1))
	until answers; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		[ -z "${2:-}" ] || kill -0 "$2" 2> /dev/null || return 1
		sleep 0.3
	done
}

if command -v docker > /dev/null && answers; then
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
	echo "lab: no container engine answers: start Docker (and be allowed to use it), or run this as root on Debian or Ubuntu." >&2
	exit 1
fi
./packages.sh docker.io iptables iproute2 ca-certificates
command -v docker > /dev/null || ./packages.sh docker-cli # a package of its own since Debian 13
answers && exit 0

if [ -d /run/systemd/system ]; then
	systemctl start docker || true
	if started 30; then
		echo "  started docker.service, which stays"
		exit 0
	fi
fi
log=/var/log/dockerd-lab.log
# The second is for machines whose file system has no overlay (a container), the
# third for those where nothing else works.
for driver in "" fuse-overlayfs vfs; do
	[ "$driver" != fuse-overlayfs ] || ./packages.sh fuse-overlayfs fuse3 || continue
	setsid nohup dockerd ${driver:+--storage-driver="$driver"} > "$log" 2>&1 < /dev/null &
	pid=$!
	if started 30 "$pid"; then
		echo "  started dockerd${driver:+ with $driver} (process $pid, log $log), which stays"
		exit 0
	fi
	kill "$pid" 2> /dev/null || true
	wait "$pid" 2> /dev/null || true
done
tail -n 20 "$log" >&2
echo "lab: dockerd does not start here (see above): it needs the rights of a real or virtual machine, or of a privileged container." >&2
exit 1
