#!/bin/sh
# node.sh keeps faults on a node. As root.
#
#   apply ID SECONDS KIND TEXT   a fault that heals by itself after SECONDS (0: never).
#                                KIND is net (lines of iptables-restore on stdin),
#                                slow:DELAY:JITTER:RATE:SEED (ms, and bits a second;
#                                addresses on stdin), freeze, stop-engine,
#                                disk:PERCENT or clock:SECONDS; TEXT is this text.
#                                Of slow it tells the means: netem or relay
#   heal [ID...]                 heals these, or all that there are
#   list                         a line each: ID KIND SECONDS-LEFT applied|missing
#   keep                         heals what is due, until nothing is left
#   own-disk                     says "own" where a whole file system is mounted at
#                                /var/lib/docker, and not a folder of one
#
# What is here is in /run/dcalab-faults, gone with a reboot as what it tells of is.
# Times are of the kernel's clock since boot: no clock that is set changes them.
set -u
umask 077
dir=/run/dcalab-faults
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

now() { cut -d. -f1 /proc/uptime; }

# lock is held for as long as this process works: one at a time.
lock() {
	mkdir -p "$dir" && exec 9>"$dir/lock" && flock 9
}

ipt() { iptables -w -t raw "$@"; }

# pref is the place of the filter that leads to netem, and queue the relay's.
pref=20377 queue=20377

# means tells what can slow packets down here: netem, where the kernel has it, or the
# relay that is in nodes of the sandbox.
means() {
	modprobe -q ifb numifbs=0 2>/dev/null # else it comes with devices that nobody wants
	# Tried in a network of its own, which is gone with the process.
	if unshare -n sh -c 'ip link add try type ifb && tc qdisc add dev try root netem delay 1ms && tc qdisc add dev lo ingress' >/dev/null 2>&1; then
		echo netem
		return
	fi
	command -v dcalab-init >/dev/null || { echo "its kernel has no netem, and the node no relay" >&2; return 1; }
	echo relay
}

# relays tells whether a relay is at work.
relays() { ! flock -n "$dir/relay" true; }

# relay starts one where none is at work. It ends by itself.
relay() {
	relays && return
	setsid dcalab-init sandbox-relay "$dir" </dev/null >"$dir/relay.log" 2>&1 8>&- 9>&- &
	started=$! tries=0
	until relays; do
		tries=$((tries + 1))
		if [ "$tries" -gt 100 ] || ! kill -0 "$started" 2>/dev/null; then
			relays && return
			echo "the relay does not start: $(tail -n 1 "$dir/relay.log")" >&2
			return 1
		fi
		sleep 0.1
	done
}

# netem leads what comes from addresses through a device of the fault's own.
netem() { # ID KIND ADDRESSES
	IFS=: read -r _ delay jitter rate _ <<END
$2
END
	set -- "$1" "$3"
	first=$(echo "$2" | head -n 1)
	lan=$(ip -o route get "$first" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
	if [ -z "$lan" ]; then
		echo "no interface leads to $first" >&2
		return 1
	fi
	if tc qdisc show dev "$lan" | grep -qE '^qdisc (ingress|clsact) '; then
		echo "$lan has a qdisc for what arrives already, which is not dcalab's, and stays as it is" >&2
		return 1
	fi
	echo "$lan" >"$dir/$1.new" && mv "$dir/$1.new" "$dir/$1.lan" || return 1
	ip link add "dcalab-$1" type ifb && ip link set "dcalab-$1" up || return 1
	if [ "$rate" != 0 ]; then
		tc qdisc add dev "dcalab-$1" root netem limit 10000 rate "${rate}bit"
	elif [ "$jitter" != 0 ]; then
		tc qdisc add dev "dcalab-$1" root netem limit 10000 delay "${delay}ms" "${jitter}ms"
	else
		tc qdisc add dev "dcalab-$1" root netem limit 10000 delay "${delay}ms"
	fi || return 1
	tc qdisc add dev "$lan" ingress || return 1
	for address in $2; do
		tc filter add dev "$lan" parent ffff: protocol ip pref "$pref" u32 match ip src "$address/32" action mirred egress redirect dev "dcalab-$1" || return 1
	done
}

# netless undoes that. The filter goes first: what it leads to nothing is lost.
netless() { # ID
	if lan=$(cat "$dir/$1.lan" 2>/dev/null) && ip link show dev "$lan" >/dev/null 2>&1; then
		tc filter del dev "$lan" parent ffff: pref "$pref" 2>/dev/null
		if tc filter show dev "$lan" parent ffff: 2>/dev/null | grep -qwF "dcalab-$1"; then
			echo "the filter of $lan that leads to dcalab-$1 cannot be removed" >&2
			return 1
		fi
		# Unless somebody has put something there meanwhile.
		[ -n "$(tc filter show dev "$lan" parent ffff: 2>/dev/null)" ] || tc qdisc del dev "$lan" ingress 2>/dev/null
	fi
	! ip link show dev "dcalab-$1" >/dev/null 2>&1 || ip link del "dcalab-$1"
}

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
	# Where all of it is to be used, the blocks that list those of the file are missing.
	for less in 0 64 1024 8192; do
		[ "$kib" -gt "$less" ] || break
		fallocate -l "$((kib - less))KiB" "$1" 2>/dev/null || continue
		[ "$less" = 0 ] || dd if=/dev/zero bs=4k count=$((less / 4)) >>"$1" 2>/dev/null || true
		return 0
	done
	fallocate -l "${kib}KiB" "$1" # which tells why
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
forget() { rm -f "$dir/$1.fault" "$dir/$1.rules" "$dir/$1.clock" "$dir/$1.lan"; }

# heal undoes a fault, and then forgets it: what dies in between is done again.
heal() { # ID
	was=$(record "$1") || return 0
	case $was in
	netem:*) netless "$1" && forget "$1" ;;
	net | relay:*)
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
	relay:*) ipt -C PREROUTING -j "DCALAB-$1" 2>/dev/null && relays ;;
	netem:*)
		lan=$(cat "$dir/$1.lan" 2>/dev/null) && tc qdisc show dev "dcalab-$1" 2>/dev/null | grep -q 'netem' &&
			tc filter show dev "$lan" parent ffff: 2>/dev/null | grep -qwF "dcalab-$1"
		;;
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
	rules='' means='' foreign=''
	case $kind in net | slow:*) rules=$(cat) ;; esac # before others have to wait
	lock || exit 1
	case $kind in
	slow:*)
		means=$(means) || exit 1
		kind=$means:${kind#slow:}
		if [ "$means" = netem ] && others 'netem:.*' "$id"; then
			echo "another delay or rate is on it already, and netem takes one: heal that first" >&2
			exit 1
		fi
		;;
	esac
	if ! [ -f "$dir/$id.fault" ]; then
		case $kind in
		net | relay:*) ! ipt -S "DCALAB-$id" >/dev/null 2>&1 || foreign="a chain DCALAB-$id is in the table raw" ;;
		netem:*) ! ip link show dev "dcalab-$id" >/dev/null 2>&1 || foreign="a device dcalab-$id is there" ;;
		esac
		if [ -n "$foreign" ]; then
			echo "$foreign already, and nothing tells whose it is" >&2
			exit 3
		fi
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
		record "$id" "$end" "$kind" || exit 1 # it is there already, and has a new end
		[ -z "$means" ] || echo "$means"
		exit 0
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
	relay:*)
		# The queue takes what no chain before it has dropped: what it has let go passes
		# the rest of the table by. Where no relay is, packets pass.
		relay || { heal "$id"; exit 1; }
		{
			printf '*raw\n:DCALAB-%s - [0:0]\n' "$id"
			for address in $rules; do
				printf -- '-A DCALAB-%s -s %s/32 -j NFQUEUE --queue-num %s --queue-bypass\n' "$id" "$address" "$queue"
			done
			printf -- '-A PREROUTING -j DCALAB-%s\nCOMMIT\n' "$id"
		} | iptables-restore -w --noflush || { heal "$id"; exit 1; }
		;;
	netem:*) netem "$id" "$kind" "$rules" || { heal "$id"; exit 1; } ;;
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
	[ -z "$means" ] || echo "$means"
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
own-disk)
	# Of a mount's lines the last one is what is seen; its fourth word is the folder.
	awk '$5 == "/var/lib/docker" { root = $4 } END { if (root == "/") print "own" }' /proc/self/mountinfo
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
