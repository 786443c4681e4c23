#!/usr/bin/env bash
# plain-promote.sh SSH_CONFIG NODE: promote, wait until the leader reaches it,
# and until it lists the nodes itself: it has the raft log then.
set -euo pipefail
ssh -n -F "$1" master "docker node promote $2.docker-dca.example >/dev/null
until [ \"\$(docker node inspect --format '{{with .ManagerStatus}}{{.Reachability}}{{end}}' $2.docker-dca.example)\" = reachable ]; do sleep 0.05; done"
ssh -n -F "$1" "$2" 'until docker node ls >/dev/null 2>&1; do sleep 0.05; done'
