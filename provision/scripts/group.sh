#!/bin/sh
# group.sh USER: puts the user into the docker group. As root. Says "created"
# when there was no such group, so that an engine that runs already has given
# its socket to nobody.
set -eu
if ! getent group docker >/dev/null; then
	groupadd --system docker
	echo created
fi
usermod -aG docker "$1"
