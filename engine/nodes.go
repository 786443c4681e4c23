package engine

import (
	"context"
	"errors"
	"maps"

	"github.com/docker/docker/api/types/swarm"
)

// Nodes gives the swarm's list of nodes; on managers only. An answer means
// that there is a quorum: every manager passes the question to the leader.
func (s Swarm) Nodes(ctx context.Context) ([]Node, error) {
	var out []Node
	err := s.call(ctx, "node list", infoTimeout, func(ctx context.Context) error {
		list, err := s.api.NodeList(ctx, swarm.NodeListOptions{})
		if err != nil {
			return err
		}
		out = make([]Node, 0, len(list))
		for _, n := range list {
			out = append(out, nodeFrom(n))
		}
		return nil
	})
	return out, err
}

func nodeFrom(in swarm.Node) Node {
	out := Node{
		ID:            in.ID,
		Version:       in.Version.Index,
		Hostname:      in.Description.Hostname,
		Role:          Role(in.Spec.Role),
		Addr:          in.Status.Addr,
		Availability:  Availability(in.Spec.Availability),
		Status:        NodeStatus(in.Status.State),
		StatusMessage: in.Status.Message,
		Labels:        in.Spec.Labels,
		EngineVersion: in.Description.Engine.EngineVersion,
	}
	if m := in.ManagerStatus; m != nil {
		out.Leader, out.ManagerAddr = m.Leader, m.Addr
		out.Reachability = Reachability(m.Reachability)
		if out.Reachability == "" {
			out.Reachability = ReachabilityUnknown
		}
	}
	return out
}

// UpdateNode changes what edit changes of the node with that id; labels and
// all else that edit leaves alone are kept. It starts again where somebody
// else changed the node meanwhile, so edit may be called more than once, and
// sends nothing where edit changes nothing. Promotion and demotion only set
// the node's desired role here; they take effect later.
func (s Swarm) UpdateNode(ctx context.Context, id string, edit func(*NodeSpec)) error {
	roleKept := false
	// A role that was changed between our read and our write reads like a wish
	// of ours to change it back, and swarmkit looks at that before it looks at
	// the version (controlapi, UpdateNode).
	again := func(err error) bool {
		return errors.Is(err, ErrOutOfSequence) ||
			roleKept && (errors.Is(err, ErrNotInRaft) || errors.Is(err, ErrQuorumLoss) || errors.Is(err, ErrLastManager))
	}
	return retry(ctx, s.caller, "node update", again, func(ctx context.Context) error {
		n, _, err := s.api.NodeInspectWithRaw(ctx, id)
		if err != nil {
			return err
		}
		spec := NodeSpec{
			Role:         Role(n.Spec.Role),
			Availability: Availability(n.Spec.Availability),
			Labels:       maps.Clone(n.Spec.Labels),
		}
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		edit(&spec)
		roleKept = spec.Role == Role(n.Spec.Role)
		if spec.Role == Role(n.Spec.Role) && spec.Availability == Availability(n.Spec.Availability) && maps.Equal(spec.Labels, n.Spec.Labels) {
			return nil
		}
		n.Spec.Role = swarm.NodeRole(spec.Role)
		n.Spec.Availability = swarm.NodeAvailability(spec.Availability)
		n.Spec.Labels = spec.Labels
		return s.api.NodeUpdate(ctx, id, n.Version, n.Spec)
	})
}

// RemoveNode removes the node with that id from the swarm's list. A manager
// must be demoted first; force skips only the check that the node is down.
func (s Swarm) RemoveNode(ctx context.Context, id string, force bool) error {
	return s.call(ctx, "node rm", changeTimeout, func(ctx context.Context) error {
		return s.api.NodeRemove(ctx, id, swarm.NodeRemoveOptions{Force: force})
	})
}
