#!/bin/sh
# node.sh keeps faults on a node. As root.
#
#   apply ID SECONDS KIND TEXT   a fault that heals by itself after SECONDS (0: never).
#                                KIND is net (lines of iptables-restore on stdin),
#                                freeze or stop-engine; TEXT is this text
#   heal [ID...]                 heals these, or all that there are
#   list                         a line each: ID KIND SECONDS-LEFT applied|missing
#   keep                         heals what is due, until nothing is left
#
# What is here is in /run/dcalab-faults, gone with a reboot as what it tells of is.
# Times are of the kernel's clock since boot: no clock that is set changes them.
set -u
umask 077
dir=/run/dcalab-faults
PATH=$PATH:/usr/sbin:/sbin

now() { cut -d. -f1 /proc/uptime; }

# lock is held for as long as this process works: one at a time.
lock() {
	mkdir -p "$dir" && exec 9>"$dir/lock" && flock 9
}

ipt() { iptables -w -t raw "$@"; }

# engine is the process id of the engine that runs.
engine() {
	pid=$(cat /var/run/docker.pid 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && echo "$pid"
}

# others of a kind are on this node.
others() { grep -lqs " $1\$" "$dir"/*.fault; }

heal() { # ID
	[ -f "$dir/$1.fault" ] || return 0
	read -r _ kind <"$dir/$1.fault"
	case $kind in
	net)
		while ipt -D PREROUTING -j "DCALAB-$1" 2>/dev/null; do :; done
		ipt -F "DCALAB-$1" 2>/dev/null
		ipt -X "DCALAB-$1" 2>/dev/null
		if ipt -S "DCALAB-$1" >/dev/null 2>&1; then
			echo "the chain DCALAB-$1 in the table raw cannot be removed" >&2
			return 1
		fi
		rm -f "$dir/$1.fault"
		;;
	freeze)
		rm -f "$dir/$1.fault"
		others freeze && return 0
		pid=$(engine) && kill -CONT "$pid"
		return 0
		;;
	stop-engine)
		rm -f "$dir/$1.fault"
		others stop-engine && return 0
		if [ -d /run/systemd/system ]; then
			systemctl start docker.service
		else
			service docker start 8>&- 9>&- # a lock ends with the last who holds it
		fi >/dev/null
		;;
	*)
		echo "$dir/$1.fault: no kind of fault is called $kind" >&2
		return 1
		;;
	esac
}

# is tells whether a fault is there as it should be.
is() { # ID
	read -r _ kind <"$dir/$1.fault"
	case $kind in
	net) ipt -C PREROUTING -j "DCALAB-$1" 2>/dev/null ;;
	freeze) pid=$(engine) && grep -q '^State:[[:space:]]*T' "/proc/$pid/status" ;;
	stop-engine) ! engine >/dev/null ;;
	esac
}

case $1 in
apply)
	id=$2 seconds=$3 kind=$4 text=$5
	lock || exit 1
	if [ "$kind" = net ] && ! [ -f "$dir/$id.fault" ] && ipt -S "DCALAB-$id" >/dev/null 2>&1; then
		echo "a chain DCALAB-$id is in the table raw already, and nothing tells whose it is" >&2
		exit 3
	fi
	heal "$id" || exit 1
	end=0
	[ "$seconds" = 0 ] || end=$(($(now) + seconds))
	echo "$end $kind" >"$dir/$id.new" && mv "$dir/$id.new" "$dir/$id.fault" || exit 1
	# Its end is there before it is.
	if [ "$end" != 0 ]; then
		if ! [ -d /run/systemd/system ] || ! systemd-run --quiet --collect --unit="dcalab-faults-$id-$end" sh -c "$text" node.sh keep 9>&-; then
			setsid sh -c "$text" node.sh keep </dev/null >/dev/null 2>&1 9>&- &
		fi
	fi
	case $kind in
	net)
		{
			printf '*raw\n:DCALAB-%s - [0:0]\n' "$id"
			cat
			printf -- '-I PREROUTING 1 -j DCALAB-%s\nCOMMIT\n' "$id"
		} | iptables-restore -w --noflush || { heal "$id"; exit 1; }
		;;
	freeze)
		if ! pid=$(engine); then
			heal "$id"
			echo "no engine runs" >&2
			exit 1
		fi
		kill -STOP "$pid"
		;;
	stop-engine)
		# One that is frozen could not end.
		if pid=$(engine); then kill -CONT "$pid"; fi
		if [ -d /run/systemd/system ]; then
			systemctl stop docker.socket docker.service
		else
			service docker stop
		fi >/dev/null || { heal "$id"; exit 1; }
		;;
	esac
	is "$id" || { heal "$id"; echo "it was applied, and is not there" >&2; exit 1; }
	;;
heal)
	shift
	[ -d "$dir" ] || exit 0
	lock || exit 1
	if [ $# = 0 ]; then
		for f in "$dir"/*.fault; do
			[ -f "$f" ] && set -- "$@" "$(basename "$f" .fault)"
		done
	fi
	status=0
	for id; do heal "$id" || status=1; done
	exit $status
	;;
list)
	[ -d "$dir" ] || exit 0
	lock || exit 1
	for f in "$dir"/*.fault; do
		[ -f "$f" ] || continue
		id=$(basename "$f" .fault)
		read -r end kind <"$f"
		left=-
		[ "$end" = 0 ] || left=$((end - $(now)))
		if is "$id"; then state=applied; else state=missing; fi
		echo "$id $kind $left $state"
	done
	;;
keep)
	mkdir -p "$dir"
	# There is one keeper. Its own lock ends before that of the folder does, so that
	# whoever adds a fault then finds none at work, and starts another.
	exec 8>"$dir/keeper" && flock -n 8 || exit 0
	while :; do
		exec 9>"$dir/lock" && flock 9
		left=
		for f in "$dir"/*.fault; do
			[ -f "$f" ] || continue
			id=$(basename "$f" .fault)
			read -r end kind <"$f"
			[ "$end" = 0 ] && continue
			[ "$(now)" -lt "$end" ] || heal "$id"
			[ -f "$f" ] && left=$f
		done
		[ -n "$left" ] || exit 0
		exec 9>&-
		sleep 1 8>&-
	done
	;;
esac
