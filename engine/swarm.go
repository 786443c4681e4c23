package engine

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"reflect"
	"time"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
)

const defaultListen = "0.0.0.0:2377"

// Swarm is the swarm that one engine is in or can be in, by what that engine is asked
// and told about it.
type Swarm struct{ *caller }

// Info asks the engine what it is, and its place in a swarm. It answers in
// every state, but on a manager without a quorum only after the engine's own
// 20 s or this call's 5 s.
func (s Swarm) Info(ctx context.Context) (Info, error) {
	var out Info
	err := s.call(ctx, "info", infoTimeout, func(ctx context.Context) error {
		in, err := s.api.Info(ctx)
		if err != nil {
			return err
		}
		out = Info{
			EngineVersion: in.ServerVersion,
			Hostname:      in.Name,
			State:         LocalNodeState(in.Swarm.LocalNodeState),
			NodeID:        in.Swarm.NodeID,
			Addr:          in.Swarm.NodeAddr,
			Control:       in.Swarm.ControlAvailable,
			Error:         plain(in.Swarm.Error),
		}
		for _, p := range in.Swarm.RemoteManagers {
			out.Remotes = append(out.Remotes, Peer{ID: p.NodeID, Addr: p.Addr})
		}
		if cl := in.Swarm.Cluster; cl != nil && cl.ID != "" {
			s := settings(*cl)
			out.ClusterID, out.Settings = cl.ID, &s
		}
		return nil
	})
	return out, err
}

func settings(in swarm.ClusterInfo) SwarmSettings {
	out := SwarmSettings{
		ClusterID:    in.ID,
		Version:      in.Version.Index,
		SubnetSize:   int(in.SubnetSize),
		DataPathPort: int(in.DataPathPort),
		CertExpiry:   in.Spec.CAConfig.NodeCertExpiry,
		Autolock:     in.Spec.EncryptionConfig.AutoLockManagers,
		Rotating:     in.RootRotationInProgress,
	}
	if h := in.Spec.Orchestration.TaskHistoryRetentionLimit; h != nil {
		out.TaskHistory = int(*h)
	}
	for _, p := range in.DefaultAddrPool {
		if pool, err := netip.ParsePrefix(p); err == nil {
			out.Pools = append(out.Pools, pool)
		}
	}
	return out
}

// Init starts a new swarm with this node as its only manager and gives the
// node's id. What is wrong with the node's state, where the swarm is made from that,
// is ErrNotManager (the engine could not start with it) or ErrLocked (autolock is on:
// moby#36852).
func (s Swarm) Init(ctx context.Context, o InitOptions) (nodeID string, err error) {
	req := swarm.InitRequest{
		ListenAddr:       o.Listen,
		AdvertiseAddr:    o.Advertise,
		DataPathPort:     uint32(o.DataPathPort),
		AutoLockManagers: o.Autolock,
		Availability:     swarm.NodeAvailability(o.Availability),
		SubnetSize:       uint32(o.SubnetSize),
		ForceNewCluster:  o.FromState,
	}
	if req.ListenAddr == "" {
		req.ListenAddr = defaultListen
	}
	for _, p := range o.Pools {
		req.DefaultAddrPool = append(req.DefaultAddrPool, p.String())
	}
	req.Spec.CAConfig.NodeCertExpiry = o.CertExpiry
	// Given twice, as docker swarm init does: the request locks this node's
	// key, the spec those of the managers to come.
	req.Spec.EncryptionConfig.AutoLockManagers = o.Autolock
	if o.TaskHistory >= 0 {
		limit := int64(o.TaskHistory)
		req.Spec.Orchestration.TaskHistoryRetentionLimit = &limit
	}
	err = s.call(ctx, "swarm init", joinTimeout, func(ctx context.Context) error {
		nodeID, err = s.api.SwarmInit(ctx, req)
		return err
	})
	return nodeID, err
}

// Tokens gives the two join tokens; on managers only.
func (s Swarm) Tokens(ctx context.Context) (worker, manager Secret, err error) {
	err = s.call(ctx, "join tokens", infoTimeout, func(ctx context.Context) error {
		sw, err := s.api.SwarmInspect(ctx)
		worker, manager = Secret(sw.JoinTokens.Worker), Secret(sw.JoinTokens.Manager)
		return err
	})
	return worker, manager, err
}

// RotateToken makes a new join token for role; the old one is invalid at once.
func (s Swarm) RotateToken(ctx context.Context, role Role) error {
	flags := swarm.UpdateFlags{RotateWorkerToken: role == RoleWorker, RotateManagerToken: role == RoleManager}
	return s.updateSwarm(ctx, "rotate the join token", flags, nil)
}

// RotateUnlockKey makes a new unlock key; managers that do not run keep the old one
// until they are back. Autolock has to be on.
func (s Swarm) RotateUnlockKey(ctx context.Context) error {
	return s.updateSwarm(ctx, "rotate the unlock key", swarm.UpdateFlags{RotateManagerUnlockKey: true}, nil)
}

// RotateCA makes a new root certificate authority for the swarm, from which all nodes
// then get new certificates by themselves (OldCA tells how far that is). The join
// tokens are other ones afterwards.
func (s Swarm) RotateCA(ctx context.Context) error {
	return s.updateSpec(ctx, "rotate the CA", swarm.UpdateFlags{}, func(spec *swarm.Spec) bool {
		spec.CAConfig.SigningCACert, spec.CAConfig.SigningCAKey = "", ""
		spec.CAConfig.ForceRotate++
		return true
	})
}

// OldCA gives the host names of the nodes that have a certificate of an older
// authority than the swarm's newest, or trust that one still.
func (s Swarm) OldCA(ctx context.Context) ([]string, error) {
	var old []string
	err := s.call(ctx, "look at the certificates", infoTimeout, func(ctx context.Context) error {
		sw, err := s.api.SwarmInspect(ctx)
		if err != nil {
			return err
		}
		nodes, err := s.api.NodeList(ctx, swarm.NodeListOptions{})
		for _, n := range nodes {
			have, want := n.Description.TLSInfo, sw.TLSInfo
			if have.TrustRoot != want.TrustRoot || !bytes.Equal(have.CertIssuerPublicKey, want.CertIssuerPublicKey) || !bytes.Equal(have.CertIssuerSubject, want.CertIssuerSubject) {
				old = append(old, n.Description.Hostname)
			}
		}
		return err
	})
	return old, err
}

// UpdateSwarm changes what edit changes of CertExpiry, Autolock and
// TaskHistory, and nothing else: the whole spec is read and sent back, because
// the engine takes what is left out as zero (and so would switch autolock
// off). It sends nothing where edit changes nothing.
func (s Swarm) UpdateSwarm(ctx context.Context, edit func(*SwarmSettings)) error {
	return s.updateSwarm(ctx, "swarm update", swarm.UpdateFlags{}, edit)
}

// updateSwarm with a nil edit changes no setting.
func (s Swarm) updateSwarm(ctx context.Context, op string, flags swarm.UpdateFlags, edit func(*SwarmSettings)) error {
	return s.updateSpec(ctx, op, flags, func(spec *swarm.Spec) bool {
		if edit == nil {
			return true
		}
		before := settings(swarm.ClusterInfo{Spec: *spec})
		after := before
		edit(&after)
		spec.CAConfig.NodeCertExpiry = after.CertExpiry
		spec.EncryptionConfig.AutoLockManagers = after.Autolock
		limit := int64(after.TaskHistory)
		spec.Orchestration.TaskHistoryRetentionLimit = &limit
		return !reflect.DeepEqual(before, after)
	})
}

// updateSpec sends the spec back where edit has changed it.
func (s Swarm) updateSpec(ctx context.Context, op string, flags swarm.UpdateFlags, edit func(*swarm.Spec) (changed bool)) error {
	again := func(err error) bool { return errors.Is(err, ErrOutOfSequence) }
	return retry(ctx, s.caller, op, again, func(ctx context.Context) error {
		sw, err := s.api.SwarmInspect(ctx)
		if err != nil || !edit(&sw.Spec) {
			return err
		}
		return s.api.SwarmUpdate(ctx, sw.Version, sw.Spec, flags)
	})
}

// UnlockKey gives the key that unlocks a manager after its engine was
// restarted, or an empty one where autolock is off; on managers only.
func (s Swarm) UnlockKey(ctx context.Context) (Secret, error) {
	var key Secret
	err := s.call(ctx, "unlock key", infoTimeout, func(ctx context.Context) error {
		resp, err := s.api.SwarmGetUnlockKey(ctx)
		key = Secret(resp.UnlockKey)
		return err
	})
	return key, err
}

// Unlock gives a locked manager its key. It returns once the manager is back
// in the swarm.
func (s Swarm) Unlock(ctx context.Context, key Secret) error {
	return s.call(ctx, "swarm unlock", joinTimeout, func(ctx context.Context) error {
		return s.api.SwarmUnlock(ctx, swarm.UnlockRequest{UnlockKey: key.Reveal()})
	})
}

// Join takes the node into a swarm. ErrJoinTimeout, and ErrUnreachable too,
// leave a join that may go on in the background: Info's state is pending then.
func (s Swarm) Join(ctx context.Context, o JoinOptions) error {
	req := swarm.JoinRequest{
		ListenAddr:    o.Listen,
		AdvertiseAddr: o.Advertise,
		RemoteAddrs:   o.Managers,
		JoinToken:     o.Token.Reveal(),
		Availability:  swarm.NodeAvailability(o.Availability),
	}
	if req.ListenAddr == "" {
		req.ListenAddr = defaultListen
	}
	return s.call(ctx, "swarm join", joinTimeout, func(ctx context.Context) error {
		return s.api.SwarmJoin(ctx, req)
	})
}

// OnIngress tells whether the node has its end of the ingress network. An engine
// begins with that when it has joined, and it is most of the work of joining.
func (s Swarm) OnIngress(ctx context.Context) (on bool, err error) {
	err = s.call(ctx, "network inspect", infoTimeout, func(ctx context.Context) error {
		n, err := s.api.NetworkInspect(ctx, "ingress", network.InspectOptions{})
		_, on = n.Containers["ingress-sbox"]
		return err
	})
	return on, err
}

// Leave takes the node out of its swarm and wipes its swarm state. A manager,
// and a locked node, leave only with force. The swarm's own list keeps the
// entry of the node.
func (s Swarm) Leave(ctx context.Context, force bool) error {
	return s.call(ctx, "swarm leave", joinTimeout, func(ctx context.Context) error {
		return s.api.SwarmLeave(ctx, force)
	})
}

// retry runs one read-change-write, again from the start for as long as
// somebody else's write comes in between (again tells by the error). Heartbeats
// alone bump a node's version, so this is ordinary.
func retry(ctx context.Context, c *caller, op string, again func(error) bool, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	wait := 5 * time.Millisecond
	for {
		err := c.call(ctx, op, changeTimeout, do)
		if err == nil || !again(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
			wait = min(2*wait, 200*time.Millisecond)
		}
	}
}
