#!/bin/sh
# swarm-look.sh key: says "locked" where the node's key in the swarm is encrypted on disk,
# with the unlock key of a swarm that has autolock on.
# swarm-look.sh locked-key: that key, where it is encrypted.
# swarm-look.sh aside: says "aside" where a manager's data is there, and not the note with
# which an engine that starts takes it for its own.
# As root. Nothing is changed.
set -u
data=/var/lib/docker/swarm
case $1 in
key) # a key that is not encrypted is not read out
	if grep -q '^-----BEGIN ENCRYPTED' "$data/certificates/swarm-node.key"; then echo locked; fi
	;;
locked-key)
	key=$data/certificates/swarm-node.key
	if grep -q '^-----BEGIN ENCRYPTED' "$key"; then cat "$key"; fi
	;;
aside)
	if [ -d "$data/raft" ] && ! [ -e "$data/docker-state.json" ]; then echo aside; fi
	;;
esac
