#!/bin/sh
# steady.sh: ends with 2 when an engine that has answered ends again. One that
# did not end lately is not watched.
set -u
pulse=/run/dcalab-init.docker # of PID 1 of a sandbox node: starts, and how many ended
starts() {
	if [ -r "$pulse" ]; then
		cat "$pulse"
	else
		systemctl show -p NRestarts docker.service 2>/dev/null
	fi
}
before=$(starts)
case $before in
'' | *' 0' | NRestarts=0) exit 0 ;;
esac
# It is written at each start: ten seconds of life are enough.
if [ -r "$pulse" ] && [ -z "$(find "$pulse" -mmin -0.17)" ]; then exit 0; fi
look=0
while [ "$look" -lt 8 ]; do
	sleep 0.25 2>/dev/null || sleep 1
	if [ "$(starts)" != "$before" ]; then exit 2; fi
	look=$((look + 1))
done
