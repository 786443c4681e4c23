#!/bin/sh
# apt-install.sh PACKAGE…: installs packages (NAME or NAME=VERSION) and what
# an engine needs beside them on this node. As root.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
for package in "$@"; do
	# Debian 13 and Ubuntu 24.10 keep the docker command in a package of its own.
	if [ "$package" = docker.io ] && apt-cache show docker-cli >/dev/null 2>&1; then set -- "$@" docker-cli; fi
done
# Without apparmor_parser no container starts on a kernel that enforces it.
if [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ]; then set -- "$@" apparmor; fi
apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::http::Timeout=20 -o Acquire::Retries=2 \
	-o Dpkg::Options::=--force-confold \
	install --no-install-recommends --allow-downgrades ca-certificates iptables "$@" 2>&1
