#!/usr/bin/env bash
# by-hand.sh VAGRANTFILE: the class's evening by somebody who knows what to
# type and types without a pause: vagrant up, its ssh-config once, then plain
# ssh, the nodes at once wherever they can be. It ends where dcalab up --swarm
# does: three nodes Ready, the user in the docker group, every node knows the
# others' names.
set -euo pipefail
plain=$(dirname "$(realpath "$0")")/plain-ssh.sh
cp "$1" Vagrantfile
vagrant up >/dev/null
{
	printf 'Host *\n  ControlMaster auto\n  ControlPath %s/%%n.sock\n  ControlPersist 1m\n' "$PWD"
	vagrant ssh-config
} >config

ready() { # NODE
	ssh -F config "$1" sudo sh -eu -s "$1" <<-'E'
		echo "$1.docker-dca.example" >/etc/hostname
		hostname "$1.docker-dca.example"
		cat >>/etc/hosts <<-H
			10.20.20.100 master.docker-dca.example master
			10.20.20.110 node01.docker-dca.example node01
			10.20.20.120 node02.docker-dca.example node02
		H
		until docker version >/dev/null 2>&1; do sleep 0.1; done
		usermod -aG docker vagrant
	E
	ssh -F config -O exit "$1" 2>/dev/null # the group needs a new connection
}
pids=()
for node in master node01 node02; do
	ready $node &
	pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
bash "$plain" config
