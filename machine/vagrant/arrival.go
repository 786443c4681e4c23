package vagrant

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/trouble"
)

// arrivalType is the type of the line that the Vagrantfile's trigger adds to
// the stream when a machine is up: the provider's id of it, and the host,
// port, user and private key with which it is reached.
const arrivalType = "dcalab-machine"

// arrival reads such a line; ok is false where it lacks something.
func (d *Driver) arrival(n lab.Node, e event) (ep node.Endpoint, id string, ok bool) {
	id, host, user, key := e.data(0), e.data(1), e.data(3), e.data(4)
	port, err := strconv.ParseUint(e.data(2), 10, 16)
	if err != nil || port == 0 || id == "" || host == "" || user == "" || key == "" {
		return node.Endpoint{}, "", false
	}
	return node.Endpoint{
		Node: n.Name, Network: "tcp", Address: net.JoinHostPort(host, strconv.FormatUint(port, 10)), User: user,
		IdentityFile: filepath.FromSlash(key), HostKeyAlias: d.cfg.Lab.Hostname(n),
	}, id, true
}

// askEndpoint starts Vagrant to learn how a machine is reached.
func (d *Driver) askEndpoint(ctx context.Context, n lab.Node) (node.Endpoint, string, error) {
	var text strings.Builder
	out, err := d.run(ctx, func(e event) {
		if e.Type == "ssh-config" {
			text.WriteString(e.data(0))
		}
	}, "ssh-config", n.Name)
	if errors.Is(err, errFailed) {
		for _, e := range out.Errors {
			if e.Class == "Vagrant::Errors::SSHNotReady" {
				return node.Endpoint{}, "", &trouble.Error{
					ID: "node-halted", Where: n.Name, Why: "its machine does not run, or has no address yet", Next: []string{"dcalab start " + n.Name},
				}
			}
		}
		return node.Endpoint{}, "", explain(out)
	}
	if err != nil {
		return node.Endpoint{}, "", err
	}
	endpoints, err := parseSSHConfig([]byte(text.String()))
	if err != nil {
		return node.Endpoint{}, "", err
	}
	ids, err := d.machineIDs()
	if err != nil {
		return node.Endpoint{}, "", err
	}
	for _, ep := range endpoints {
		if ep.Node == n.Name && ids[n.Name] != "" {
			ep.HostKeyAlias = d.cfg.Lab.Hostname(n)
			return ep, ids[n.Name], nil
		}
	}
	return node.Endpoint{}, "", fmt.Errorf("%s: Vagrant does not tell how to reach it", n.Name)
}
