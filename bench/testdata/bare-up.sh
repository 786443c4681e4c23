#!/usr/bin/env bash
# bare-up.sh up DIR NAME:IP:CPUS:MIB... | bare-up.sh down DIR: nodes with the
# least that makes them: for each an overlay over the host's root, a container of runc's
# with the namespaces and limits that dcalab gives it, an interface on a
# bridge, an sshd and an engine. No preflight, no users, no keys of a client's,
# nothing hidden, nobody to restart what dies. up ends when all engines and all
# sshd answer.
set -euo pipefail
verb=$1 dir=$2
nodes=("${@:3}")
bridge=dcabare0

if [ "$verb" = down ]; then
	for node in "$dir"/runc/*/; do
		runc --root "$dir/runc" delete --force "$(basename "$node")" 2>/dev/null || true
	done
	ip link delete $bridge 2>/dev/null || true
	rm -rf "$dir"
	exit
fi

# The overlays are mounted where only the nodes see them, and go with them.
if [ -z "${BARE_MOUNTS:-}" ]; then
	exec env BARE_MOUNTS=own unshare --mount --propagation slave bash "$0" "$@"
fi

# runc gives only what this process has itself.
all=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
	PERFMON BPF CHECKPOINT_RESTORE)
while read -r key value; do
	if [ "$key" = CapEff: ]; then effective=$((16#$value)); fi
done </proc/self/status
caps=
for i in "${!all[@]}"; do
	if ((effective >> i & 1)); then caps+=",\"CAP_${all[i]}\""; fi
done
caps=${caps#,}

disks=$dir/disks
mkdir -p "$disks"
if ! { mkdir "$disks"/{u,w,m} && mount -t overlay overlay -o "lowerdir=/,upperdir=$disks/u,workdir=$disks/w" "$disks/m" && umount "$disks/m"; } 2>/dev/null; then
	mount -t tmpfs -o mode=711 tmpfs "$disks"
fi

ip link add $bridge type bridge
first=${nodes[0]#*:} # of a /24
ip address add "${first%.*}.1/24" dev $bridge
ip link set $bridge up

start() {
	local name=$1 ip=$2 cpus=$3 memory=$4 disk=$disks/$1 pid
	trap 'exit 1' TERM # once what runs has ended
	mkdir -p "$disk"/{upper/etc/ssh,upper/etc/docker,work,docker,root}
	ssh-keygen -q -t ed25519 -N '' -f "$disk/upper/etc/ssh/bare_key"
	printf 'HostKey /etc/ssh/bare_key\nUsePAM no\nUseDNS no\n' >"$disk/upper/etc/ssh/bare_config"
	echo '{}' >"$disk/upper/etc/docker/daemon.json"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
	cat >"$disk/config.json" <<-JSON
		{"ociVersion": "1.0.2", "hostname": "$name.docker-dca.example", "root": {"path": "$disk/root"},
		 "process": {"cwd": "/", "user": {"uid": 0, "gid": 0},
		  "args": ["/bin/sh", "-c", "mkdir /run/sshd && /usr/sbin/sshd -f /etc/ssh/bare_config && exec dockerd >/run/docker.log 2>&1"],
		  "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "GOMAXPROCS=2", "GOGC=50"],
		  "capabilities": {"bounding": [$caps], "effective": [$caps], "permitted": [$caps]}},
		 "mounts": [
		  {"destination": "/proc", "type": "proc", "source": "proc"},
		  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
		  {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
		  {"destination": "/sys", "type": "sysfs", "source": "sysfs"},
		  {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]},
		  {"destination": "/run", "type": "tmpfs", "source": "run", "options": ["nosuid", "nodev", "mode=755"]},
		  {"destination": "/tmp", "type": "tmpfs", "source": "tmp", "options": ["nosuid", "nodev", "mode=1777"]},
		  {"destination": "/var/lib/docker", "type": "bind", "source": "$disk/docker", "options": ["rbind"]}],
		 "linux": {"cgroupsPath": "/dcalab-bare-$name",
		  "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}, {"type": "cgroup"}],
		  "resources": {"devices": [{"allow": true, "access": "rwm"}], "memory": {"limit": $((memory << 20))},
		   "cpu": {"quota": $((cpus * 100000)), "period": 100000}}}}
	JSON
	runc --root "$dir/runc" run --detach --bundle "$disk" --pid-file "$disk/pid" "dcalab-bare-$name" </dev/null >"$disk/log" 2>&1
	pid=$(<"$disk/pid")
	ip link add "dcabare${ip##*.}" master $bridge up type veth peer name enp0s8 netns "$pid"
	nsenter --net --target "$pid" sh -c "ip link set lo up && ip address add $ip/24 dev enp0s8 && ip link set enp0s8 up"
	until curl --silent --output /dev/null --unix-socket "/proc/$pid/root/run/docker.sock" http://engine/_ping; do
		kill -0 "$pid"
		sleep 0.01
	done
	until { exec 3<>"/dev/tcp/$ip/22" && read -r -t 5 _ <&3; } 2>/dev/null; do
		kill -0 "$pid"
		sleep 0.01
	done
}

# When one fails or this script is told to stop, the others end, too: what they
# would still make, nobody would remove.
waiting=()
stop() {
	for pid in "${waiting[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
}
trap stop EXIT
trap 'exit 1' INT TERM HUP
for node in "${nodes[@]}"; do
	IFS=: read -r name ip cpus memory <<<"$node"
	start "$name" "$ip" "$cpus" "$memory" &
	waiting+=($!)
done
for _ in "${waiting[@]}"; do wait -n; done
