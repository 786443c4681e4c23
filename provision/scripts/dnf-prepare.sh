#!/bin/sh
# dnf-prepare.sh SOURCE DISTRO RELEASE PACKAGE: makes the package known to dnf
# and prints the versions that can be had, newest first, after a line
# "versions:". SOURCE is distribution or docker; DISTRO (fedora, centos, rhel)
# and RELEASE (its major version) are for Docker's repository. As root.
set -eu
source=$1 distro=$2 release=$3 package=$4
export LC_ALL=C
dnf=dnf
command -v dnf >/dev/null || dnf=yum
if [ "$source" = docker ]; then
	# Not $releasever, which is 9.4 on some of them; the repository has 9.
	cat >/etc/yum.repos.d/docker-ce.repo <<-EOF
		[docker-ce-stable]
		name=Docker CE Stable
		baseurl=https://download.docker.com/linux/$distro/$release/\$basearch/stable
		enabled=1
		gpgcheck=1
		gpgkey=https://download.docker.com/linux/$distro/gpg
	EOF
fi
$dnf -q -y --setopt=timeout=20 --setopt=retries=2 makecache 2>&1
echo versions:
# docker-ce.x86_64    3:28.2.2-1.el9    docker-ce-stable
$dnf -q list --showduplicates "$package" 2>/dev/null | while read -r name version _; do
	case $name in
	"$package".*) printf '%s\n' "$version" ;;
	esac
done | sort -V -r
