#!/bin/sh
# daemon-json.sh write [OURS] | ours OURS | undo: replaces the engine's
# configuration with what stdin holds, whole or not at all, and keeps the one
# before until the next write; or puts that one back. OURS is what of it dcalab
# wrote: it is kept beside it, and without it what is kept there stays. As root.
set -eu
file=/etc/docker/daemon.json

# replace FILE: with what stdin holds, keeping the one before.
replace() {
	new=$(mktemp /etc/docker/.daemon.json.XXXXXX)
	trap 'rm -f "$new"' EXIT
	cat >"$new"
	chmod 0644 "$new"
	keep "$1"
	sync "$new" 2>/dev/null || :
	mv "$new" "$1"
}

keep() {
	rm -f "$1.before-dcalab"
	if [ -e "$1" ]; then cp -p "$1" "$1.before-dcalab"; fi
}

restore() {
	if [ -e "$1.before-dcalab" ]; then
		mv "$1.before-dcalab" "$1"
	else
		rm -f "$1"
	fi
}

case $1 in
write)
	mkdir -p /etc/docker
	replace "$file"
	if [ $# -gt 1 ]; then
		printf '%s' "$2" | replace "$file.dcalab"
	else
		keep "$file.dcalab"
	fi
	;;
ours)
	printf '%s' "$2" | replace "$file.dcalab"
	;;
undo)
	restore "$file"
	restore "$file.dcalab"
	;;
esac
