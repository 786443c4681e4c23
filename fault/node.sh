#!/bin/sh
# node.sh keeps faults on a node. As root.
#
#   apply ID SECONDS KIND TEXT   a fault that heals by itself after SECONDS (0: never).
#                                KIND is net (lines of iptables-restore on stdin),
#                                freeze, stop-engine, disk:PERCENT or
#                                clock:SECONDS; TEXT is this text
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

# others of a kind, beside this one, are on this node.
others() { # KIND ID
	for f in "$dir"/*.fault; do
		[ "$f" != "$dir/$2.fault" ] && grep -qs " $1\$" "$f" && return 0
	done
	return 1
}

# epoch is what the clock shows, less the time since boot: another one where the
# clock was set.
epoch() { echo $(($(date +%s) - $(now))); }

filled=/var/lib/docker/DCALAB- boot=/etc/tmpfiles.d/dcalab-

# fill makes a file so large that a share of its file system is used.
fill() { # FILE PERCENT
	kib=$(df -P -k "$(dirname "$1")" | awk -v p="$2" 'NR == 2 { printf "%d", ($3 + $4) * p / 100 - $3 }')
	if [ "$kib" -le 0 ]; then
		echo "more than $2% of the file system are used already" >&2
		return 1
	fi
	fallocate -l "${kib}KiB" "$1"
}

# start starts the engine. A lock ends with the last who holds it.
start() {
	if [ -d /run/systemd/system ]; then
		systemctl start docker.service
	else
		service docker start 8>&- 9>&-
	fi >/dev/null
}

# record tells the kind of the fault that there is, or writes its end and its kind.
record() { # ID [END KIND]
	if [ $# = 1 ]; then
		[ -f "$dir/$1.fault" ] && read -r _ kept <"$dir/$1.fault" && echo "$kept"
	else
		echo "$2 $3" >"$dir/$1.new" && mv "$dir/$1.new" "$dir/$1.fault"
	fi
}

# forget removes what is kept of a fault.
forget() { rm -f "$dir/$1.fault" "$dir/$1.rules" "$dir/$1.clock"; }

# heal undoes a fault, and then forgets it: what dies in between is done again.
heal() { # ID
	was=$(record "$1") || return 0
	case $was in
	net)
		while ipt -D PREROUTING -j "DCALAB-$1" 2>/dev/null; do :; done
		ipt -F "DCALAB-$1" 2>/dev/null
		ipt -X "DCALAB-$1" 2>/dev/null
		if ipt -S "DCALAB-$1" >/dev/null 2>&1; then
			echo "the chain DCALAB-$1 in the table raw cannot be removed" >&2
			return 1
		fi
		forget "$1"
		;;
	freeze)
		if ! others freeze "$1" && pid=$(engine); then kill -CONT "$pid"; fi
		forget "$1"
		;;
	stop-engine)
		others stop-engine "$1" || engine >/dev/null || start || return 1
		forget "$1"
		;;
	disk:*)
		rm -f "$filled$1" "$boot$1.conf" && forget "$1"
		;;
	clock:*)
		# What it was, and not the difference: somebody may have put it right.
		if right=$(cat "$dir/$1.clock" 2>/dev/null); then date -s "@$(($(now) + right))" >/dev/null || return 1; fi
		forget "$1"
		;;
	*)
		echo "$dir/$1.fault: no kind of fault is called $was" >&2
		return 1
		;;
	esac
}

# is tells whether a fault is there as it should be.
is() { # ID
	has=$(record "$1") || return 1
	case $has in
	net) ipt -C PREROUTING -j "DCALAB-$1" 2>/dev/null ;;
	freeze) pid=$(engine) && grep -q '^State:[[:space:]]*T' "/proc/$pid/status" ;;
	stop-engine) ! engine >/dev/null ;;
	disk:*) [ -f "$filled$1" ] ;;
	clock:*)
		right=$(cat "$dir/$1.clock" 2>/dev/null) || return 1
		wrong=$(($(epoch) - right - ${has#clock:}))
		[ "${wrong#-}" -le 5 ]
		;;
	esac
}

case $1 in
apply)
	id=$2 seconds=$3 kind=$4 text=$5
	rules=
	[ "$kind" != net ] || rules=$(cat) # before others have to wait
	lock || exit 1
	if [ "$kind" = net ] && ! [ -f "$dir/$id.fault" ] && ipt -S "DCALAB-$id" >/dev/null 2>&1; then
		echo "a chain DCALAB-$id is in the table raw already, and nothing tells whose it is" >&2
		exit 3
	fi
	if [ "${kind%:*}" = clock ] && others 'clock:.*' "$id"; then
		echo "its clock is set wrong by another fault already" >&2
		exit 1
	fi
	end=0
	[ "$seconds" = 0 ] || end=$(($(now) + seconds + 1)) # now is up to a second late
	# The keeper is there before the record, for whose lock it waits, and the record
	# before the fault: whatever dies here, the end comes.
	if [ "$end" != 0 ]; then
		printf '%s\n' "$text" >"$dir/new.sh" && mv "$dir/new.sh" "$dir/node.sh" || exit 1
		if ! [ -d /run/systemd/system ] || ! systemd-run --quiet --collect --unit="dcalab-faults-$id-$end" sh "$dir/node.sh" keep 9>&-; then
			setsid sh "$dir/node.sh" keep </dev/null >/dev/null 2>&1 9>&- &
		fi
		tries=0
		while flock -n "$dir/keeper" true; do
			tries=$((tries + 1))
			[ "$tries" -lt 100 ] || { echo "the process that would end it does not start" >&2; exit 1; }
			sleep 0.1
		done
	fi
	if [ "$(record "$id")" = "$kind" ] && [ "$rules" = "$(cat "$dir/$id.rules" 2>/dev/null)" ] && is "$id"; then
		record "$id" "$end" "$kind" # it is there already, and has a new end
		exit $?
	fi
	heal "$id" || exit 1
	printf '%s' "$rules" >"$dir/$id.rules" && record "$id" "$end" "$kind" || exit 1
	case $kind in
	net)
		{
			printf '*raw\n:DCALAB-%s - [0:0]\n%s\n' "$id" "$rules"
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
		for _ in 1 2 3 4 5 6 7 8 9 10; do # it stops when it gets the processor
			is "$id" && break
			sleep 0.5
		done
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
	disk:*)
		# What is in /run is gone with a reboot, and a file is not: it goes with the next boot.
		mkdir -p "${boot%/*}" && echo "r! $filled$id" >"$boot$id.conf"
		fill "$filled$id" "${kind#disk:}" || { heal "$id"; exit 1; }
		;;
	clock:*)
		if ! epoch >"$dir/new.clock" || ! mv "$dir/new.clock" "$dir/$id.clock"; then
			heal "$id"
			exit 1
		fi
		date -s "@$(($(date +%s) + ${kind#clock:}))" >/dev/null || { heal "$id"; exit 1; }
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
		[ "$end" = 0 ] || left=$((end - 1 - $(now)))
		if is "$id"; then state=applied; else state=missing; fi
		echo "$id $kind $left $state"
	done
	;;
keep)
	mkdir -p "$dir"
	# There is one keeper. Its own lock ends before that of the folder does, so that
	# whoever adds a fault then finds none at work, and starts another.
	exec 8>"$dir/keeper" && flock -w 2 8 || exit 0 # for a moment, whoever looks for one has it
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
