package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dcalab/dcalab/engine"
)

// The token and key have the shape of swarmkit's, and are nobody's.
const (
	token = "SWMTKN-1-5l3x2m8q0c7a9f4k6j1h2g3d4s5a6p7o8i9u0y1t2r3e4w5q6-b7n8m9v0c1x2z3l4k5j6h7g8f"
	key   = "SWMKEY-1-Zk3vQ0pXw8Yb1nT5rS7uL2mC4dF6gH9jK0aE1iO3sU8"
)

// fakeEngine answers on a unix socket like dockerd: the version in the ping's
// headers, errors as JSON.
type fakeEngine struct {
	mux     *http.ServeMux
	version string

	mu   sync.Mutex
	seen []string // "METHOD /path"
}

func (f *fakeEngine) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

func fake(t *testing.T, version string) (*fakeEngine, *engine.Client) {
	t.Helper()
	f := &fakeEngine{mux: http.NewServeMux(), version: version}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Method+" "+r.URL.Path)
		f.mu.Unlock()
		w.Header().Set("Api-Version", f.version)
		if r.URL.Path == "/_ping" {
			return
		}
		f.mux.ServeHTTP(w, r)
	}))
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	c, err := engine.New("node01", func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return f, c
}

func (f *fakeEngine) answer(pattern string, status int, body any) {
	f.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { reply(w, status, body) })
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if s, ok := body.(string); ok && status >= 400 {
		body = map[string]string{"message": s}
	}
	_ = json.NewEncoder(w).Encode(body)
}

// The texts are the engines' own: moby daemon/cluster/errors.go, swarm.go,
// helpers.go and swarmkit manager/controlapi, with the status they come with.
func TestErrorsAreToldApartByTheEnginesOwnTexts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		text   string
		want   error
	}{
		{"exists", 503, `This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.`, engine.ErrAlreadyInSwarm},
		{"no swarm on leave", 503, "This node is not part of a swarm", engine.ErrNotInSwarm},
		{"no swarm on a manager's call", 503, `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`, engine.ErrNotInSwarm},
		{"worker", 503, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.", engine.ErrNotManager},
		{"preparing", 503, "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.", engine.ErrPreparing},
		{"locked", 503, `Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.`, engine.ErrLocked},
		{"leave while locked", 503, "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.", engine.ErrLocked},
		{"wrong key", 401, "swarm could not be unlocked: invalid key provided", engine.ErrWrongKey},
		{"not locked", 409, "swarm is not locked", engine.ErrNotLocked},
		{"expired", 503, "Swarm certificates have expired. To replace them, leave the swarm and join again.", engine.ErrCertExpired},
		{"join timeout", 503, `Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the "docker info" command to see the current swarm status of your node.`, engine.ErrJoinTimeout},
		{"bad token", 400, "invalid join token", engine.ErrBadToken},
		{"token of the other role rotated", 500, "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster", engine.ErrBadToken},
		{"another swarm's CA", 500, "remote CA does not match fingerprint. Expected: 2c1a", engine.ErrBadToken},
		{"no leader", 500, "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.", engine.ErrNoLeader},
		{"waited for a leader", 500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded", engine.ErrNoLeader},
		{"quorum", 400, "rpc error: code = FailedPrecondition desc = can't remove member from the raft: this would result in a loss of quorum", engine.ErrQuorumLoss},
		{"last manager", 400, "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm", engine.ErrLastManager},
		{"remove a manager", 400, "rpc error: code = FailedPrecondition desc = node pq8 is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal", engine.ErrStillManager},
		{"remove a living node", 400, "rpc error: code = FailedPrecondition desc = node pq8 is not down and can't be removed", engine.ErrNotDown},
		{"promotion not come true", 404, "rpc error: code = NotFound desc = can't find manager in raft memberlist", engine.ErrNotInRaft},
		{"ambiguous", 400, "node node02 is ambiguous (2 matches found)", engine.ErrAmbiguous},
		{"out of sequence", 500, "rpc error: code = Unknown desc = update out of sequence", engine.ErrOutOfSequence},
		{"unknown node", 404, "node node09 not found", engine.ErrNotFound},
		{"anything else", 500, "must specify a listening address because the address to advertise is not recognized as a system address", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, c := fake(t, "1.41")
			f.answer("/v1.41/nodes/x", tt.status, tt.text)
			err := c.Swarm.RemoveNode(t.Context(), "x", true)
			var e *engine.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %T %v, want an *engine.Error", err, err)
			}
			if !errors.Is(e.Kind, tt.want) {
				t.Errorf("kind %v, want %v", e.Kind, tt.want)
			}
			if !strings.HasPrefix(err.Error(), "node01: node rm: ") || strings.Contains(err.Error(), "rpc error") || strings.Contains(err.Error(), "daemon") {
				t.Errorf("reads %q", err)
			}
		})
	}
}

func TestNoSecretIsInAnError(t *testing.T) {
	f, c := fake(t, "1.44")
	f.answer("/v1.44/swarm/join", 400, "invalid join token "+token)
	f.answer("/v1.44/swarm/unlock", 400, "invalid key: '"+key+"'")
	for op, err := range map[string]error{
		"join":   c.Swarm.Join(t.Context(), engine.JoinOptions{Token: token, Managers: []string{"10.20.20.100:2377"}}),
		"unlock": c.Swarm.Unlock(t.Context(), key),
	} {
		if err == nil {
			t.Fatalf("%s succeeded", op)
		}
		var all strings.Builder
		walk(err, func(err error) { fmt.Fprintf(&all, "%s %+v %#v\n", err, err, err) })
		for _, secret := range []string{token, key, "5l3x2m8q", "Zk3vQ0p"} {
			if strings.Contains(all.String(), secret) {
				t.Errorf("%s: %q is in %s", op, secret, all.String())
			}
		}
		if !strings.Contains(err.Error(), "***") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func walk(err error, f func(error)) {
	f(err)
	switch u := err.(type) { //nolint:errorlint // it walks the whole tree
	case interface{ Unwrap() error }:
		if in := u.Unwrap(); in != nil {
			walk(in, f)
		}
	case interface{ Unwrap() []error }:
		for _, in := range u.Unwrap() {
			walk(in, f)
		}
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	s := engine.Secret(token)
	type holder struct {
		S engine.Secret
		L []engine.Secret
		M map[string]engine.Secret
	}
	h := holder{s, []engine.Secret{s}, map[string]engine.Secret{"x": s}}
	js, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		s.String(), fmt.Sprint(s, h, &h), fmt.Sprintf("%s %v %q %x %X %d %+v %#v", s, s, s, s, s, s, h, h), string(js),
		fmt.Errorf("join: %w, %s", errors.New("x"), s).Error(), fmt.Sprint(engine.JoinOptions{Token: s}),
	} {
		if strings.Contains(out, "5l3x2m8q") || strings.Contains(out, "SWMTKN") {
			t.Errorf("printed %q", out)
		}
	}
	if s.Reveal() != token {
		t.Errorf("Reveal gives %q", s.Reveal())
	}
}

func TestTheVersionIsNegotiatedOnce(t *testing.T) {
	for _, tt := range []struct{ engine, path string }{
		{"1.41", "/v1.41/info"}, // 20.10
		{"1.44", "/v1.44/info"}, // 25
		{"1.99", "/v1.51/info"}, // newer than this client: its own newest
	} {
		f, c := fake(t, tt.engine)
		f.answer(tt.path, 200, map[string]any{"ServerVersion": "x"})
		for range 2 {
			if _, err := c.Swarm.Info(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"HEAD /_ping", "GET " + tt.path, "GET " + tt.path}
		if got := f.requests(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("engine %s: got %v, want %v", tt.engine, got, want)
		}
	}
}

func TestInfoOfAManagerWithoutAQuorum(t *testing.T) {
	f, c := fake(t, "1.41")
	// As Debian's 20.10.24 answered (ids changed).
	f.answer("/v1.41/info", 200, json.RawMessage(`{"Name":"node01.docker-dca.example","ServerVersion":"20.10.24+dfsg1","Swarm":{
		"NodeID":"r895x7","NodeAddr":"10.20.20.100","LocalNodeState":"active","ControlAvailable":true,
		"Error":"rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online.",
		"RemoteManagers":[{"NodeID":"r895x7","Addr":"10.20.20.100:2377"},{"NodeID":"506eci","Addr":"10.20.20.110:2377"}],
		"Cluster":{"ID":"","Version":{}}}}`))
	in, err := c.Swarm.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if in.State != engine.StateActive || !in.Control || in.NodeID != "r895x7" || in.ClusterID != "" || in.Settings != nil {
		t.Errorf("got %+v", in)
	}
	if len(in.Remotes) != 2 || in.Remotes[1] != (engine.Peer{ID: "506eci", Addr: "10.20.20.110:2377"}) {
		t.Errorf("remotes %v", in.Remotes)
	}
	if in.Error != "The swarm does not have a leader. It's possible that too few managers are online." {
		t.Errorf("error %q", in.Error)
	}
}

func TestNodesTellWhoIsAManager(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("/v1.41/nodes", 200, json.RawMessage(`[
		{"ID":"a","Spec":{"Role":"manager","Availability":"active","Labels":{"Disk":"ssd"}},"Description":{"Hostname":"master"},"Status":{"State":"ready","Addr":"10.0.0.1"},"ManagerStatus":{"Leader":true,"Reachability":"reachable","Addr":"10.0.0.1:2377"}},
		{"ID":"b","Spec":{"Role":"manager","Availability":"drain"},"Description":{"Hostname":"node01"},"Status":{"State":"down","Message":"heartbeat failure"}}]`))
	got, err := c.Swarm.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, b := got[0], got[1]
	if !a.IsManager() || !a.Leader || a.Reachability != engine.ReachabilityReachable || a.Labels["Disk"] != "ssd" || a.ManagerAddr != "10.0.0.1:2377" {
		t.Errorf("got %+v", a)
	}
	// Promoted, and not in raft yet.
	if b.IsManager() || b.Role != engine.RoleManager || b.Status != engine.NodeDown || b.StatusMessage != "heartbeat failure" {
		t.Errorf("got %+v", b)
	}
}

func TestUpdateSwarmSendsTheWholeSpecBack(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("GET /v1.41/swarm", 200, json.RawMessage(`{"ID":"c","Version":{"Index":7},"Spec":{"Name":"default","Labels":{"a":"b"},
		"Orchestration":{"TaskHistoryRetentionLimit":5},"Raft":{"SnapshotInterval":10000,"ElectionTick":10,"HeartbeatTick":1},
		"Dispatcher":{"HeartbeatPeriod":5000000000},"CAConfig":{"NodeCertExpiry":7776000000000000},"EncryptionConfig":{"AutoLockManagers":true}}}`))
	var sent map[string]any
	var query string
	f.mux.HandleFunc("POST /v1.41/swarm/update", func(_ http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		_ = json.NewDecoder(r.Body).Decode(&sent)
	})
	if err := c.Swarm.UpdateSwarm(t.Context(), func(s *engine.SwarmSettings) { s.TaskHistory = 3 }); err != nil {
		t.Fatal(err)
	}
	js, _ := json.Marshal(sent)
	for _, want := range []string{`"AutoLockManagers":true`, `"TaskHistoryRetentionLimit":3`, `"NodeCertExpiry":7776000000000000`, `"SnapshotInterval":10000`, `"HeartbeatPeriod":5000000000`, `"a":"b"`} {
		if !strings.Contains(string(js), want) {
			t.Errorf("sent %s, which lacks %s", js, want)
		}
	}
	if !strings.Contains(query, "version=7") || !strings.Contains(query, "rotateWorkerToken=false") {
		t.Errorf("query %s", query)
	}
	sent = nil
	if err := c.Swarm.UpdateSwarm(t.Context(), func(*engine.SwarmSettings) {}); err != nil || sent != nil {
		t.Errorf("no change: sent %v, %v", sent, err)
	}
	if err := c.Swarm.RotateToken(t.Context(), engine.RoleManager); err != nil || !strings.Contains(query, "rotateManagerToken=true") || !strings.Contains(query, "rotateWorkerToken=false") {
		t.Errorf("rotate: %v, query %s", err, query)
	}
	js, _ = json.Marshal(sent)
	if !strings.Contains(string(js), `"AutoLockManagers":true`) {
		t.Errorf("rotating a token sent %s", js)
	}
}

func TestUpdateNodeStartsAgainAndKeepsLabels(t *testing.T) {
	f, c := fake(t, "1.41")
	version := 10
	f.mux.HandleFunc("GET /v1.41/nodes/id1", func(w http.ResponseWriter, _ *http.Request) {
		version++
		reply(w, 200, json.RawMessage(fmt.Sprintf(`{"ID":"id1","Version":{"Index":%d},"Spec":{"Name":"n","Role":"worker","Availability":"drain","Labels":{"Kept":"1"}}}`, version)))
	})
	tries := 0
	var sent map[string]any
	f.mux.HandleFunc("POST /v1.41/nodes/id1/update", func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries < 4 {
			reply(w, 500, "rpc error: code = Unknown desc = update out of sequence")
			return
		}
		if got := r.URL.Query().Get("version"); got != fmt.Sprint(version) {
			t.Errorf("version %s, want that of the last read, %d", got, version)
		}
		_ = json.NewDecoder(r.Body).Decode(&sent)
	})
	err := c.Swarm.UpdateNode(t.Context(), "id1", func(s *engine.NodeSpec) { s.Labels["Disk"] = "ssd"; s.Role = engine.RoleManager })
	if err != nil {
		t.Fatal(err)
	}
	js, _ := json.Marshal(sent)
	want := `{"Availability":"drain","Labels":{"Disk":"ssd","Kept":"1"},"Name":"n","Role":"manager"}`
	if string(js) != want {
		t.Errorf("sent %s, want %s", js, want)
	}
	tries = 0
	if err := c.Swarm.UpdateNode(t.Context(), "id1", func(s *engine.NodeSpec) { s.Availability = engine.AvailabilityDrain }); err != nil || tries != 0 {
		t.Errorf("no change: %d updates sent, %v", tries, err)
	}
}

// As 20.10 answered when a label was set while the node was being promoted.
func TestUpdateNodeStartsAgainWhenTheRoleChangedMeanwhile(t *testing.T) {
	f, c := fake(t, "1.41")
	role := "worker"
	f.mux.HandleFunc("GET /v1.41/nodes/id1", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, json.RawMessage(`{"ID":"id1","Spec":{"Role":"`+role+`"}}`))
	})
	var sent map[string]any
	f.mux.HandleFunc("POST /v1.41/nodes/id1/update", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		if sent["Role"] == "worker" {
			role = "manager"
			reply(w, 404, "rpc error: code = NotFound desc = can't find manager in raft memberlist")
		}
	})
	label := func(s *engine.NodeSpec) { s.Labels["Disk"] = "ssd" }
	if err := c.Swarm.UpdateNode(t.Context(), "id1", label); err != nil || sent["Role"] != "manager" {
		t.Errorf("sent %v, %v", sent, err)
	}
	demote := func(s *engine.NodeSpec) { s.Role = engine.RoleWorker }
	if err := c.Swarm.UpdateNode(t.Context(), "id1", demote); !errors.Is(err, engine.ErrNotInRaft) {
		t.Errorf("a demotion that is refused: %v", err)
	}
}

func TestUpdateNodeGivesUpWithTheContext(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("GET /v1.41/nodes/id1", 200, json.RawMessage(`{"ID":"id1","Spec":{"Role":"worker"}}`))
	f.answer("POST /v1.41/nodes/id1/update", 500, "rpc error: code = Unknown desc = update out of sequence")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Swarm.UpdateNode(ctx, "id1", func(s *engine.NodeSpec) { s.Role = engine.RoleManager }); err == nil {
		t.Error("succeeded")
	}
}

func TestInitSaysAutolockTwice(t *testing.T) {
	f, c := fake(t, "1.41")
	var sent map[string]any
	f.mux.HandleFunc("POST /v1.41/swarm/init", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		reply(w, 200, "nodeid")
	})
	id, err := c.Swarm.Init(t.Context(), engine.InitOptions{
		Advertise: "10.20.20.100", Pools: []netip.Prefix{netip.MustParsePrefix("10.200.0.0/16")}, SubnetSize: 24,
		DataPathPort: 7789, Autolock: true, Availability: engine.AvailabilityDrain, CertExpiry: time.Hour, TaskHistory: -1,
	})
	if err != nil || id != "nodeid" {
		t.Fatal(id, err)
	}
	js, _ := json.Marshal(sent)
	for _, want := range []string{`"AdvertiseAddr":"10.20.20.100"`, `"ListenAddr":"0.0.0.0:2377"`, `"AutoLockManagers":true,"Availability":"drain"`,
		`"EncryptionConfig":{"AutoLockManagers":true}`, `"DefaultAddrPool":["10.200.0.0/16"]`, `"SubnetSize":24`, `"DataPathPort":7789`, `"NodeCertExpiry":3600000000000`, `"Orchestration":{}`} {
		if !strings.Contains(string(js), want) {
			t.Errorf("sent %s, which lacks %s", js, want)
		}
	}
}

func TestAnEngineThatCannotBeDialled(t *testing.T) {
	refused := errors.New("ssh: the socket is not there")
	c, err := engine.New("node01", func(context.Context) (net.Conn, error) { return nil, refused })
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Swarm.Info(t.Context())
	if !errors.Is(err, engine.ErrUnreachable) || !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if err.Error() != "node01: info: ssh: the socket is not there" {
		t.Errorf("reads %q", err)
	}
}

func TestAnEngineThatHangs(t *testing.T) {
	f, c := fake(t, "1.41")
	f.mux.HandleFunc("/v1.41/info", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Swarm.Info(ctx)
	if !errors.Is(err, engine.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline: got %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = c.Swarm.Info(ctx)
	if !errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("an interruption: got %v", err)
	}
}

func TestAnEngineThatComesBackIsNegotiatedWithThen(t *testing.T) {
	f, c := fake(t, "1.41")
	f.answer("/v1.41/info", 200, map[string]any{"ServerVersion": "20.10.24"})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Swarm.Info(gone); err == nil {
		t.Fatal("succeeded")
	}
	if in, err := c.Swarm.Info(t.Context()); err != nil || in.EngineVersion != "20.10.24" {
		t.Errorf("got %+v, %v", in, err)
	}
}

func TestCloseEndsADialUnderWay(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	c, err := engine.New("node01", func(ctx context.Context) (net.Conn, error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_ = c.Ping(ctx)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the dial goes on after Close")
	}
}
