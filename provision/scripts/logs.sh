#!/bin/sh
# logs.sh LINES SECONDS FOLLOW: prints the end of the engine's log: the last
# LINES lines (or all), not older than SECONDS (or any, where empty), from the
# journal, or else from the file of an engine that no systemd starts. FOLLOW is
# 1 to go on until stdin ends, which it also does when the connection is lost:
# nothing is left running. As root. Exit status 3 where there is no log.
set -u
lines=$1 seconds=$2 follow=$3
file=/var/log/docker.log

# Runs a command until it ends, or stdin does.
while_asked() {
	exec 3<&0
	"$@" </dev/null &
	child=$!
	{
		cat >/dev/null
		kill "$child"
	} <&3 >/dev/null 2>&1 &
	exec 3<&-
	wait "$child"
	kill $! 2>/dev/null
}

if [ -d /run/systemd/system ] && command -v journalctl >/dev/null; then
	set -- journalctl --no-pager -q -u docker.service -o short-iso -n "$lines"
	[ -z "$seconds" ] || set -- "$@" --since="-${seconds}s"
	if [ "$follow" = 1 ]; then
		while_asked "$@" -f
		exit 0
	fi
	exec "$@"
fi
[ -e "$file" ] || exit 3

# What is there now, cut at a byte, from which following goes on.
size=$(wc -c <"$file")
from=
if [ -n "$seconds" ]; then
	# dockerd begins its lines with time="2026-01-31T12:00:00.123456789Z"; those
	# without a time belong to the one before.
	from=$(date -d "@$(($(date +%s) - seconds))" +%Y-%m-%dT%H:%M:%S) || exit 1
fi
if [ "$lines" = all ]; then lines=+1; fi
head -c "$size" "$file" | awk -v from="$from" '
from == "" { print; next }
substr($0, 1, 6) == "time=\"" { on = substr($0, 7, 19) >= from }
on { print }
' | tail -n "$lines"
if [ "$follow" = 1 ]; then
	while_asked tail -q -c "+$((size + 1))" -F "$file" 2>/dev/null
fi
