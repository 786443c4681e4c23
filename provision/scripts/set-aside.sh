#!/bin/sh
# set-aside.sh: restarts the engine without the note that tells it which swarm it is in
# (docker-state.json), so that it starts without a swarm; the swarm's data stays
# where it is. As root. However it ends, the engine is started again.
set -eu
# Whoever asked may be gone by then, and a write to nobody would end the start.
start() {
	if [ -d /run/systemd/system ]; then
		systemctl start docker.service
	else
		service docker start
	fi </dev/null >/dev/null 2>&1
}
trap start EXIT
trap 'exit 1' HUP INT TERM PIPE
if [ -d /run/systemd/system ]; then
	systemctl stop docker.socket docker.service
else
	service docker stop
fi >/dev/null 2>&1
cd /var/lib/docker/swarm
if [ -e docker-state.json ]; then mv docker-state.json docker-state.old; fi
