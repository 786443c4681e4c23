# shellcheck shell=sh
# Gives a machine its own name: the first line of the input. As root.
set -eu
read -r full
if [ "$(cat /proc/sys/kernel/hostname)" != "$full" ] || [ "$(cat /etc/hostname 2>/dev/null || :)" != "$full" ]; then
	# Debian guests get only the part before the first dot from Vagrant.
	printf '%s\n' "$full" >/etc/hostname
	printf '%s' "$full" >/proc/sys/kernel/hostname
fi
