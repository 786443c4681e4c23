#!/bin/sh
# set-aside.sh: stops the engine, and puts aside the note that tells it which swarm
# it is in (docker-state.json), so that it starts without a swarm; the swarm's
# data stays where it is. As root. It may be cut short anywhere, and be run again.
set -eu
if [ -d /run/systemd/system ]; then
	systemctl stop docker.socket docker.service
else
	service docker stop
fi >&2
cd /var/lib/docker/swarm
if [ -e docker-state.json ]; then mv docker-state.json docker-state.old; fi
