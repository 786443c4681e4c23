#!/usr/bin/env bash
# plain-ssh.sh SSH_CONFIG: the page of the class notes with ssh in front of
# each line, the joins in parallel, and one waiting session instead of many.
set -euo pipefail
config=$1
on() { ssh -n -F "$config" "$@"; }

on master docker swarm init --advertise-addr 10.20.20.100 --default-addr-pool 10.100.0.0/16 >/dev/null
token=$(on master docker swarm join-token --quiet worker)
on node01 docker swarm join --advertise-addr 10.20.20.110 --token "$token" 10.20.20.100:2377 &
first=$!
on node02 docker swarm join --advertise-addr 10.20.20.120 --token "$token" 10.20.20.100:2377 &
wait $first
wait $!
# shellcheck disable=SC2016 # expanded on the node
on master 'until [ "$(docker node ls --format "{{.Status}}" | grep -c Ready)" = 3 ]; do sleep 0.05; done'
