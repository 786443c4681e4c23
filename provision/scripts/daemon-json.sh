#!/bin/sh
# daemon-json.sh write|undo: replaces the engine's configuration with what
# stdin holds, whole or not at all, and keeps the one before until the next
# write; or puts that one back. As root.
set -eu
file=/etc/docker/daemon.json
case $1 in
write)
	mkdir -p /etc/docker
	new=$(mktemp /etc/docker/.daemon.json.XXXXXX)
	trap 'rm -f "$new"' EXIT
	cat >"$new"
	chmod 0644 "$new"
	rm -f "$file.before-dcalab"
	if [ -e "$file" ]; then cp -p "$file" "$file.before-dcalab"; fi
	sync "$new" 2>/dev/null || :
	mv "$new" "$file"
	;;
undo)
	if [ -e "$file.before-dcalab" ]; then
		mv "$file.before-dcalab" "$file"
	else
		rm -f "$file"
	fi
	;;
esac
