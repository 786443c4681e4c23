#!/bin/sh
# socket.sh SOCKET: says what this user finds there: absent, denied, silent
# (a file that nobody listens on, left by an engine that died) or ok.
set -u
socket=$1
real=$(readlink -f "$socket")
if [ ! -S "$socket" ]; then
	echo absent
elif ! grep -q -E "^[^ ]+ [^ ]+ [^ ]+ 00010000 .* ($socket|$real)\$" /proc/net/unix; then
	# 00010000 is SO_ACCEPTCON: somebody listens (proc_net_unix(5)).
	echo silent
elif [ ! -w "$socket" ]; then
	echo denied
else
	echo ok
fi
