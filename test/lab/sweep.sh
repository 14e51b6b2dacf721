#!/bin/bash
# sweep.sh [RUN]: removes the lab's containers, networks, volumes and processes:
# those that one run of the tests left behind (REATTACH_LAB_RUN), or without an
# argument all of them. It prints what it found, and says nothing when there was
# nothing. Images, packages and the engine stay.
set -uo pipefail
filter=(--filter "label=reattach-lab${1:+.run=$1}")

if command -v docker > /dev/null && timeout 20 docker info > /dev/null 2>&1; then
	for id in $(docker ps -aq "${filter[@]}"); do
		docker inspect -f '{{.Name}}' "$id" | sed 's|^/|  removed container |'
		docker rm -fv "$id" > /dev/null
	done
	for kind in network volume; do
		for id in $(docker "$kind" ls -q "${filter[@]}"); do
			docker "$kind" rm "$id" > /dev/null && echo "  removed $kind $id"
		done
	done
fi

# Processes say which run they are of by their environment, as they inherit it.
[ -n "${1:-}" ] || exit 0
ours=" $$ " up=$$ # this script, and whoever called it
while [ "$up" -gt 1 ]; do
	up=$(awk '$1 == "PPid:" {print $2}' "/proc/$up/status") || break
	ours+="$up "
done
for environ in /proc/[0-9]*/environ; do
	pid=${environ#/proc/} pid=${pid%/environ}
	case $ours in *" $pid "*) continue ;; esac
	if tr '\0' '\n' 2> /dev/null < "$environ" | grep -qx "REATTACH_LAB_RUN=$1"; then
		name=$(tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | cut -c1-80)
		kill -KILL "$pid" 2> /dev/null && echo "  killed process $pid $name"
	fi
done
exit 0
