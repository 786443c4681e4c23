#!/usr/bin/env bash
# plain-list.sh SSH_CONFIG: what one manager says of the swarm.
exec ssh -n -F "$1" master docker node ls
