#!/bin/sh
# await.sh SOCKET LOOKS: ends with 0 when somebody listens on the socket, or
# with 1 after that many looks, 50 ms apart where sleep knows fractions.
set -u
socket=$1
real=$(readlink -f "$socket")
look=0
while [ "$look" -lt "$2" ]; do
	# 00010000 is SO_ACCEPTCON: somebody listens (proc_net_unix(5)).
	if grep -q -E "^[^ ]+ [^ ]+ [^ ]+ 00010000 .* ($socket|$real)\$" /proc/net/unix; then exit 0; fi
	sleep 0.05 2>/dev/null || sleep 1
	look=$((look + 1))
done
exit 1
