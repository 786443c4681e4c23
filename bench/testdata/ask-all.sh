#!/usr/bin/env bash
# ask-all.sh SSH_CONFIG: every node's docker info over ssh, all at once.
set -euo pipefail
waiting=()
mapfile -t nodes < <(sed -n 's/^Host \([a-z][a-z0-9-]*\).*/\1/p' "$1")
for node in "${nodes[@]}"; do
	ssh -n -F "$1" "$node" docker info --format '{{.Swarm.LocalNodeState}}' >/dev/null &
	waiting+=($!)
done
((${#waiting[@]} > 0))
for pid in "${waiting[@]}"; do wait "$pid"; done
