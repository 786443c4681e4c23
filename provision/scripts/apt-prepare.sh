#!/bin/sh
# apt-prepare.sh SOURCE DISTRO CODENAME PACKAGE: makes the package known to
# apt and prints the versions that can be had (apt-cache madison), after a line
# "versions:". SOURCE is distribution or docker; DISTRO (debian, ubuntu) and
# CODENAME are for Docker's repository. As root.
set -eu
source=$1 distro=$2 codename=$3 package=$4
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# The lists have a lock of their own, for which older apt does not wait
# (DPkg::Lock::Timeout is for dpkg's): cloud images update in the background
# just after they boot.
update() {
	tries=0
	while :; do
		out=$(apt-get -o DPkg::Lock::Timeout=120 -o Acquire::http::Timeout=20 -o Acquire::Retries=1 update 2>&1) && break
		case $out in
		*"Could not get lock"*) ;;
		*) break ;;
		esac
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || break
		sleep 2
	done
	printf '%s\n' "$out"
}
update
if [ "$source" = docker ]; then
	apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends ca-certificates curl 2>&1
	mkdir -p /etc/apt/keyrings
	curl -fsSL --connect-timeout 20 --retry 2 "https://download.docker.com/linux/$distro/gpg" -o /etc/apt/keyrings/docker.asc.new 2>&1
	mv /etc/apt/keyrings/docker.asc.new /etc/apt/keyrings/docker.asc
	chmod a+r /etc/apt/keyrings/docker.asc
	cat >/etc/apt/sources.list.d/docker.list <<-EOF
		deb [arch=$(dpkg --print-architecture) signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/$distro $codename stable
	EOF
	update
fi
versions=$(apt-cache madison "$package" | while IFS='|' read -r _ version _; do printf '%s\n' "${version# }"; done)
# A repository that has nothing for this release would break every later update.
if [ "$source" = docker ] && [ -z "$versions" ]; then rm -f /etc/apt/sources.list.d/docker.list; fi
printf 'versions:\n%s\n' "$versions"
