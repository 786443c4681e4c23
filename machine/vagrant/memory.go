package vagrant

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
)

// memoryFile is where the driver keeps what it has learnt about the machines.
const memoryFile = "machines.json"

// remembered is what is known of one machine.
type remembered struct {
	// ID that the provider gave the machine: another id is another machine, and
	// everything else here is invalid.
	ID string `json:"id"`
	// Endpoint of its present boot; nil if it was halted since.
	Endpoint *node.Endpoint `json:"endpoint,omitempty"`
	// Names is what the machine's own names and /etc/hosts were set to.
	Names string `json:"names,omitempty"`
}

// memory is machines.json in the lab's folder. Everything in it could be asked of
// Vagrant again.
type memory struct{ state *lab.State }

func (m *memory) read() (map[string]remembered, error) {
	data, err := m.state.ReadFile(memoryFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return recall(data), nil
}

// recall reads machines.json; what cannot be read is asked for again.
func recall(data []byte) map[string]remembered {
	var all map[string]remembered
	if json.Unmarshal(data, &all) != nil || all == nil {
		return map[string]remembered{}
	}
	return all
}

// edit changes what is known of one machine; a change to nothing forgets it.
func (m *memory) edit(node string, change func(remembered) remembered) error {
	return m.state.Edit(memoryFile, func(data []byte) ([]byte, error) {
		all := recall(data)
		old, known := all[node]
		changed := change(old)
		if changed == (remembered{}) {
			if !known {
				return data, nil
			}
			delete(all, node)
		} else {
			all[node] = changed
		}
		data, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("remember %s: %w", node, err)
		}
		return append(data, '\n'), nil
	})
}

func (m *memory) get(node string) (remembered, error) {
	all, err := m.read()
	return all[node], err
}

// endpoint gives that of the machine with this id, if it is known. One whose key
// is no longer where it was (Vagrant's folder has moved) is not.
func (m *memory) endpoint(name, id string) (node.Endpoint, bool, error) {
	r, err := m.get(name)
	if err != nil || r.Endpoint == nil || r.ID != id {
		return node.Endpoint{}, false, err
	}
	if _, err := os.Stat(r.Endpoint.IdentityFile); errors.Is(err, fs.ErrNotExist) {
		return node.Endpoint{}, false, nil
	}
	return *r.Endpoint, true, nil
}

func (m *memory) dropEndpoint(node string) error {
	return m.edit(node, func(r remembered) remembered { r.Endpoint = nil; return r })
}

func (m *memory) forget(node string) error {
	return m.edit(node, func(remembered) remembered { return remembered{} })
}
