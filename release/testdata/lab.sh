#!/usr/bin/env bash
# On a fresh Debian on which only the deb was installed, with what it depends on: a
# lab with its swarm, and nothing left of it.
set -eux
dcalab version -o json | grep '"os": "linux"'
test -s /usr/share/man/man1/dcalab-up.1
grep -q __start_dcalab /usr/share/bash-completion/completions/dcalab
test -s /usr/share/doc/dcalab/copyright
test -s /usr/share/doc/dcalab/THIRD-PARTY-LICENSES
dpkg --verify dcalab

mkdir -p /root/lab
cd /root/lab
export HOME=/root
dcalab --driver sandbox doctor || true # it warns of what this kernel lacks
trap 'dcalab destroy --yes' EXIT
dcalab --driver sandbox up --swarm
dcalab status | tee status
test "$(grep -c running status)" = 3
grep 'tolerates 0 failures' status
dcalab promote node01 node02
dcalab status -o json | grep '"reachable": 3'
dcalab ssh master -- docker node ls
dcalab exec --all -- docker version --format '{{.Server.Version}}'
trap - EXIT
dcalab destroy --yes
test "$(ls -A /var/lib/dcalab 2>/dev/null)" = ""
