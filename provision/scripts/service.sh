#!/bin/sh
# service.sh start|restart: starts the engine now and at each boot, or starts
# it anew. As root.
set -eu
verb=$1
if [ -d /run/systemd/system ]; then
	# An engine that crashed in a loop is held back by systemd.
	systemctl reset-failed docker.service 2>/dev/null || :
	if [ "$verb" = start ]; then systemctl enable docker.service 2>&1; fi
	systemctl "$verb" docker.service 2>&1 || {
		journalctl --no-pager -o cat -n 15 -u docker.service 2>&1 || :
		exit 1
	}
else
	service docker "$verb" 2>&1 || {
		tail -n 15 /var/log/docker.log 2>/dev/null || :
		exit 1
	}
fi
