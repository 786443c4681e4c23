package vagrant

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcalab/dcalab/node"
)

// As Vagrant 2.3.4 prints it for two machines of the libvirt provider.
const vagrantOutput = `Host master
  HostName 192.168.121.27
  User vagrant
  Port 22
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  PasswordAuthentication no
  IdentityFile "/home/ana/my lab/.vagrant/machines/master/libvirt/private_key"
  IdentitiesOnly yes
  LogLevel FATAL

Host node01
  HostName 127.0.0.1
  User vagrant
  Port 2200
  IdentityFile /home/ana/.vagrant.d/insecure_private_keys/vagrant.key.ed25519
  IdentityFile /home/ana/.vagrant.d/insecure_private_keys/vagrant.key.rsa
  IdentitiesOnly yes

`

func TestParseSSHConfig(t *testing.T) {
	got, err := parseSSHConfig([]byte(vagrantOutput))
	if err != nil {
		t.Fatal(err)
	}
	want := []node.Endpoint{
		{Node: "master", Network: "tcp", Address: "192.168.121.27:22", User: "vagrant", IdentityFile: "/home/ana/my lab/.vagrant/machines/master/libvirt/private_key", HostKeyAlias: "master"},
		{Node: "node01", Network: "tcp", Address: "127.0.0.1:2200", User: "vagrant", IdentityFile: "/home/ana/.vagrant.d/insecure_private_keys/vagrant.key.ed25519", HostKeyAlias: "node01"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, text := range map[string]string{
		"no port":        "Host a\n HostName b\n User c\n Port x\n",
		"no host name":   "Host a\n User c\n",
		"no user":        "Host a\n HostName b\n",
		"another file":   "  Include /etc/passwd\nHost a\n",
		"a cut-off path": "Host a\n HostName b\n User c\n IdentityFile \"/c#/key\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parseSSHConfig([]byte(text)); err == nil {
				t.Errorf("read as %+v", got)
			}
		})
	}
}

func FuzzParseSSHConfig(f *testing.F) {
	f.Add([]byte(vagrantOutput))
	f.Add([]byte("Host a\n HostName ::1\n User c"))
	f.Add([]byte("Host *\n User c\nMatch all\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		endpoints, err := parseSSHConfig(text)
		if err != nil {
			return
		}
		for _, ep := range endpoints {
			if ep.Node == "" || ep.User == "" || ep.Address == "" {
				t.Fatalf("half an endpoint: %+v", ep)
			}
		}
	})
}
