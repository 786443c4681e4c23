#!/bin/sh
# key-locked.sh: says "locked" where the node's key in the swarm is encrypted on disk,
# with the unlock key of a swarm that has autolock on. As root.
set -u
# Nothing of the key itself is read out.
if grep -q '^-----BEGIN ENCRYPTED' /var/lib/docker/swarm/certificates/swarm-node.key; then echo locked; fi
