#!/bin/sh
# await.sh SOCKET LOOKS [ENDS]: ends with 0 when somebody listens on the socket,
# with 1 after that many looks, 50 ms apart where sleep knows fractions, or with
# 2 when the engine has ended by itself more than ENDS times, and not only once.
# It prints how often it had ended.
set -u
socket=$1
real=$(readlink -f "$socket")
ends() {
	if [ -r /run/dcalab-init.docker ]; then # of PID 1 of a sandbox node
		read -r _ ended </run/dcalab-init.docker
		echo "${ended:-0}"
	elif [ -d /run/systemd/system ]; then
		restarts=$(systemctl show -p NRestarts docker.service 2>/dev/null)
		echo "${restarts#NRestarts=}"
	fi
}
now=$(ends)
first=${3:-$now}
echo "$first"
look=0
while [ "$look" -lt "$2" ]; do
	if [ $((look % 10)) = 0 ]; then
		now=$(ends)
		if [ "${now:-0}" -gt "${first:-0}" ] && [ "${now:-0}" -gt 1 ]; then exit 2; fi
		if [ -d /run/systemd/system ] && systemctl is-failed --quiet docker.service; then exit 2; fi
	fi
	# 00010000 is SO_ACCEPTCON: somebody listens (proc_net_unix(5)).
	if grep -q -E "^[^ ]+ [^ ]+ [^ ]+ 00010000 .* ($socket|$real)\$" /proc/net/unix; then exit 0; fi
	sleep 0.05 2>/dev/null || sleep 1
	look=$((look + 1))
done
exit 1
