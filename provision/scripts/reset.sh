#!/bin/sh
# reset.sh: stops the engine and containerd, ends every container, and empties
# what the engine keeps: containers, images, volumes, networks, its swarm. Its
# configuration stays, and so do the files that containers had mounted from
# elsewhere. It may be cut short anywhere and be run again, and the engine is
# down when it ends. As root. Exit status 4 where the engine keeps its data
# somewhere else.
set -eu
LC_ALL=C
export LC_ALL

data=$(sed -n 's/.*"data-root"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' /etc/docker/daemon.json 2>/dev/null || :)
case $data in
"" | /var/lib/docker | /var/lib/docker/) ;;
*)
	echo "its daemon.json has the data-root $data" >&2
	exit 4
	;;
esac

# One that was cut short may still be at work here.
if command -v flock >/dev/null; then
	exec 9>/run/dcalab-reset.lock
	flock 9
fi

stop() {
	if [ -d /run/systemd/system ]; then
		units=
		for unit in docker.socket docker.service containerd.service; do
			if systemctl cat "$unit" >/dev/null 2>&1; then units="$units $unit"; fi
		done
		# shellcheck disable=SC2086 # several words
		[ -z "$units" ] || systemctl stop $units >&2
	else
		service docker stop >&2
	fi
}

own=$(cat /proc/self/cgroup)
# The tasks (/proc/PID/task/TID) that run a program of the engine. The engine
# also runs itself under other names, to make a network namespace for example,
# and what such a child mounts would outlive it; so the program is asked for and
# not the name. A process that has ended and waits for its parent has none.
running() {
	find /proc -mindepth 4 -maxdepth 4 -path '/proc/[0-9]*/task/*/exe' \( -lname '*/dockerd*' \
		-o -lname '*/containerd*' -o -lname '*/docker-proxy*' -o -lname '*/docker-containe*' \
		-o -lname '*/runc*' -o -lname '/memfd:runc*' \) 2>/dev/null || : # those that end meanwhile
	# Those of containers, whatever drives the cgroups: /docker/ID, docker-ID.scope.
	# The node itself may be in such a one.
	grep -l -E '/docker[-/][0-9a-f]{64}' /proc/[0-9]*/task/*/cgroup 2>/dev/null | while IFS= read -r group; do
		task=${group%/cgroup}
		if readlink "$task/exe" >/dev/null && [ "$(cat "$group")" != "$own" ]; then echo "$task"; fi
	done 2>/dev/null
}

# What an orderly end would save is thrown away: nobody waits for it.
strike() {
	running | cut -d/ -f3 | sort -u | while read -r pid; do
		kill -9 "$pid" 2>/dev/null || :
	done
}

stop &
stopping=$!
while kill -0 "$stopping" 2>/dev/null; do
	strike
	sleep 0.05 2>/dev/null || sleep 1
done
wait "$stopping"
look=0
while [ -n "$(running)" ]; do
	strike
	look=$((look + 1))
	if [ "$look" -ge 200 ]; then
		echo "still running: $(running | cut -d/ -f3 | sort -u | tr '\n' ' ')" >&2
		exit 1
	fi
	sleep 0.05 2>/dev/null || sleep 1
done

# From here on nothing may be mounted below a folder that is emptied: rm would
# reach what volumes and containers had mounted from elsewhere.
below='/var/lib/docker/ /var/lib/containerd/ /run/docker/ /run/containerd/ /var/run/docker/'
mounted() {
	while read -r _ _ _ _ point _; do
		for dir in $below; do
			case $point in "$dir"*) printf '%b\n' "$point" ;; esac
		done
	done </proc/self/mountinfo
}
look=0
while [ -n "$(mounted)" ]; do
	mounted | sort -r | while IFS= read -r point; do
		umount "$point" 2>/dev/null || umount -l "$point" 2>/dev/null || :
	done
	look=$((look + 1))
	if [ "$look" -ge 20 ]; then
		echo "still mounted: $(mounted | head -n 3 | tr '\n' ' ')" >&2
		exit 1
	fi
	[ -z "$(mounted)" ] || sleep 0.05 2>/dev/null || sleep 1
done

# The folders themselves may be mount points.
for dir in /var/lib/docker /var/lib/containerd /run/docker /run/containerd; do
	if [ -d "$dir" ]; then
		find "$dir" -xdev -depth -mindepth 1 -delete
	fi
done
rm -f /run/docker.pid /var/run/docker.pid

# Rules of the engine's own chains it makes anew; those beside them name an
# interface or, for a published port, one container's address twice.
unrule() {
	for tables in iptables ip6tables; do
		command -v "$tables-save" >/dev/null || continue
		for table in $("$tables-save" 2>/dev/null | sed -n 's/^\*//p'); do # raw, too, from 28 on
			"$tables-save" -t "$table" 2>/dev/null | grep -E -e "$1" | while read -r _ rule; do
				# shellcheck disable=SC2086 # several words
				"$tables" -t "$table" -D $rule 2>/dev/null || :
			done
		done
	done
}
unrule '^-A POSTROUTING -s ([0-9a-f.:]+)/[0-9]+ -d \1/[0-9]+ .*-j MASQUERADE$'
if command -v ip >/dev/null; then
	for link in /sys/class/net/*; do
		link=${link##*/}
		case $link in
		docker0 | docker_gwbridge) ;;
		br-????????????)
			# Docker names its bridges so; anybody may.
			case ${link#br-} in *[!0-9a-f]*) continue ;; esac
			;;
		*) continue ;;
		esac
		ip link delete "$link" 2>/dev/null || :
		unrule "^-A .*[io] $link( |\$)"
	done
fi
# Of containers that were not ended gracefully.
find /sys/fs/cgroup -depth -type d -path '*/docker/*' -exec rmdir {} + 2>/dev/null || :
