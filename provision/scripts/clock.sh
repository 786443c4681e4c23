#!/bin/sh
# clock.sh SECONDS: sets the node's clock to that many seconds after 1970 began,
# UTC. As root.
set -eu
date -u -s "@$1" >/dev/null
