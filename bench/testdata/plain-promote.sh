#!/usr/bin/env bash
# plain-promote.sh SSH_CONFIG NODE: promote, and wait until it is Reachable.
set -euo pipefail
ssh -n -F "$1" master "docker node promote $2.docker-dca.example >/dev/null
until [ \"\$(docker node inspect --format '{{with .ManagerStatus}}{{.Reachability}}{{end}}' $2.docker-dca.example)\" = reachable ]; do sleep 0.05; done"
