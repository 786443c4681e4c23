package placement

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/dcalab/dcalab/engine"
)

// constraint is one of --constraint.
type constraint struct {
	text, key, value string
	not              bool
}

const (
	nodeLabels   = "node.labels."
	engineLabels = "engine.labels."
)

// parse reads constraints as SwarmKit does: the first == splits, else the first !=.
// Where one of them is not understood, none is applied.
func parse(texts []string) ([]constraint, bool) {
	keys := regexp.MustCompile(`^(?i)[a-z_][a-z0-9\-_.]+$`)
	values := regexp.MustCompile(`^(?i)[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+$`)
	var out []constraint
	for _, text := range texts {
		c := constraint{text: text}
		key, value, found := strings.Cut(text, "==")
		if !found {
			key, value, found = strings.Cut(text, "!=")
			c.not = true
		}
		c.key, c.value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !found || !keys.MatchString(c.key) || !values.MatchString(c.value) {
			return nil, false
		}
		out = append(out, c)
	}
	return out, true
}

// nodeLabel is the label of nodes that it is about. The prefix is read in any
// case, the label itself is not.
func (c constraint) nodeLabel() (string, bool) { return cutPrefixFold(c.key, nodeLabels) }

func cutPrefixFold(text, prefix string) (string, bool) {
	if len(text) > len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
		return text[len(prefix):], true
	}
	return "", false
}

// of gives what a node has there; known is false where no such thing exists, which
// fits no node.
func (c constraint) of(n Node) (value string, known bool) {
	if label, ok := c.nodeLabel(); ok {
		return n.Labels[label], true
	}
	if label, ok := cutPrefixFold(c.key, engineLabels); ok {
		return n.EngineLabels[label], true
	}
	switch strings.ToLower(c.key) {
	case "node.id":
		return n.ID, true
	case "node.hostname":
		return n.Hostname, true
	case "node.ip":
		return n.Addr, true
	case "node.role":
		// A manager that is being demoted is one until it has left raft.
		if n.IsManager() {
			return string(engine.RoleManager), true
		}
		return string(n.Role), true
	case "node.platform.os":
		return n.Platform.OS, true
	case "node.platform.arch":
		return n.Platform.Arch, true
	}
	return "", false
}

func (c constraint) matches(n Node) bool {
	has, known := c.of(n)
	if !known {
		return false
	}
	if !strings.EqualFold(c.key, "node.ip") {
		return strings.EqualFold(c.value, has) != c.not
	}
	addr, _ := netip.ParseAddr(has)
	if ip, err := netip.ParseAddr(c.value); err == nil {
		return (ip.Unmap() == addr.Unmap()) != c.not
	}
	if subnet, err := netip.ParsePrefix(c.value); err == nil {
		return subnet.Contains(addr.Unmap()) != c.not
	}
	return false
}

// against says what the node has instead.
func (c constraint) against(n Node) string {
	has, known := c.of(n)
	label, labelled := c.nodeLabel()
	if !labelled {
		label, labelled = cutPrefixFold(c.key, engineLabels)
	}
	switch {
	case !known:
		return ": there is nothing of that name, so that no node fits"
	case labelled && has == "":
		return fmt.Sprintf(": it has no label %s", label)
	case labelled:
		return fmt.Sprintf(": its label is %s=%s", label, has)
	}
	return fmt.Sprintf(": it is %q", has)
}
