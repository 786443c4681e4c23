#!/bin/sh
# swarm-state.sh save: stops the engine, writes the swarm's data of this node as a tar
# archive to stdout, and starts the engine again, however it ends.
# swarm-state.sh put: puts the archive on stdin in the place of what is there, with the
# engine stopped, and without the note that would take it back to its old peers.
# swarm-state.sh aside: restarts the engine without that note (docker-state.json), so that
# it starts without a swarm; the swarm's data stays where it is.
# swarm-state.sh aside key: the same, with the key on stdin in the place of the node's own.
# As root. However it ends, the engine is started again.
set -eu
data=/var/lib/docker
stop() {
	if [ -d /run/systemd/system ]; then
		systemctl stop docker.socket docker.service
	else
		service docker stop
	fi </dev/null >/dev/null 2>&1
}
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
case $1 in
save)
	stop
	tar -C "$data" -cf - swarm
	;;
put)
	# Whole, before anything is touched: tar takes one that was cut off for whole.
	rm -rf "$data/swarm.new"
	mkdir -m 0700 "$data/swarm.new"
	tar -C "$data/swarm.new" -xf - --no-same-owner
	if ! [ -e "$data/swarm.new/swarm.complete" ]; then
		echo "the archive did not arrive as a whole" >&2
		exit 1
	fi
	rm "$data/swarm.new/swarm.complete"
	stop
	# What was set aside may be all that somebody has; a second one is of a restore that
	# failed.
	if [ -d "$data/swarm/raft" ] && ! [ -e "$data/swarm.before" ]; then
		mv "$data/swarm" "$data/swarm.before"
	fi
	rm -rf "$data/swarm"
	mv "$data/swarm.new/swarm" "$data/swarm"
	rmdir "$data/swarm.new"
	rm -f "$data/swarm/docker-state.json"
	;;
aside)
	cd "$data/swarm"
	if [ "${2-}" = key ]; then
		# Whole, before anything is touched: it has the only key of the raft log.
		umask 077
		trap 'rm -f certificates/swarm-node.key.new; start' EXIT
		cat >certificates/swarm-node.key.new
		if ! grep -q '^-----END PRIVATE KEY-----$' certificates/swarm-node.key.new; then
			echo "the key did not arrive as a whole" >&2
			exit 1
		fi
		sync certificates/swarm-node.key.new
		stop
		mv certificates/swarm-node.key.new certificates/swarm-node.key
	else
		stop
	fi
	if [ -e docker-state.json ]; then mv docker-state.json docker-state.old; fi
	;;
esac
