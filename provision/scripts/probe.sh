#!/bin/sh
# probe.sh ADDRESS SOCKET: everything that dcalab wants to know of a node
# before it does anything to it, as key=value lines. It changes nothing, needs
# no rights, and starts as few programs as it can.
set -u
address=$1
socket=$2
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin

echo "uid=$(id -u)"
echo "groups=$(id -nG)"
echo "arch=$(uname -m)"
if command -v dockerd >/dev/null; then echo dockerd=1; fi

real=$(readlink -f "$socket")
# 00010000 is SO_ACCEPTCON: somebody listens (proc_net_unix(5)). A file alone
# may be what an engine that died left behind.
if grep -q -E "^[^ ]+ [^ ]+ [^ ]+ 00010000 .* ($socket|$real)\$" /proc/net/unix; then echo listening=1; fi
if [ -w "$socket" ]; then echo writable=1; fi
for comm in /proc/[0-9]*/comm; do
	# A process may be gone before it is read.
	if read -r name <"$comm" && [ "$name" = dockerd ]; then echo running=1; fi
done 2>/dev/null
if [ -d /run/systemd/system ]; then echo systemd=1; fi

# The host name as the kernel, and so the engine, has it. Not hostname -f,
# which may ask a name server that is not there.
read -r hostname </proc/sys/kernel/hostname && echo "hostname=$hostname"

if [ -n "$address" ] && command -v ip >/dev/null; then
	# 2: enp0s8    inet 10.20.20.100/24 brd … scope global enp0s8
	ip -o addr show 2>/dev/null | while read -r _ name _ cidr _; do
		if [ "${cidr%/*}" != "$address" ]; then continue; fi
		echo "interface=${name%@*}"
		# The last digit of its flags has IFF_UP, 1 (linux/if.h).
		read -r flags <"/sys/class/net/${name%@*}/flags" || continue
		case $flags in *[02468aceACE]) echo interface.down=1 ;; esac
	done
fi

if [ -r /etc/os-release ]; then
	while read -r line; do
		case $line in
		ID=* | ID_LIKE=* | VERSION_ID=* | VERSION_CODENAME=* | UBUNTU_CODENAME=* | DEBIAN_CODENAME=*) echo "os.$line" ;;
		esac
	done </etc/os-release
fi
for file in daemon.json daemon.json.dcalab; do
	if [ ! -s "/etc/docker/$file" ]; then continue; fi
	if [ -r "/etc/docker/$file" ]; then
		echo "$file=$(base64 "/etc/docker/$file" | tr -d '\n')"
	else
		echo "$file=$(sudo -n base64 "/etc/docker/$file" | tr -d '\n')"
	fi
done
