#!/bin/sh
# dnf-install.sh PACKAGE…: installs packages (NAME or NAME-VERSION). As root.
set -eu
export LC_ALL=C
dnf=dnf
command -v dnf >/dev/null || dnf=yum
$dnf -q -y --setopt=timeout=20 --setopt=retries=2 install "$@" 2>&1
# Fedora 41 and later keep the docker command in a package of its own.
if ! command -v docker >/dev/null; then $dnf -q -y install docker-cli 2>&1 || :; fi
