package raft

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// manager answers the call of Watch with these bytes, and then with a status.
func manager(t *testing.T, status string, answers ...[]byte) func(context.Context) (net.Conn, error) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := unframe(r.Body)
		if err != nil || r.URL.Path != "/docker.swarmkit.v1.Watch/Watch" || r.Header.Get("Te") != "trailers" ||
			strings.Contains(string(asked), "secret") || strings.Contains(string(asked), "config") {
			t.Errorf("it asks %s for %q: %v", r.URL, asked, err)
		}
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		for _, a := range answers {
			_, _ = w.Write(a)
			_ = http.NewResponseController(w).Flush()
		}
		if status == "" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", "it was asked to")
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.Listener.Addr().String())
	}
}

// told is a WatchMessage with one event: action, and an object of a number.
func told(action, number int, object []byte) []byte {
	fields := make([]any, number)
	for i := range fields {
		fields[i] = []any(nil)
	}
	fields[number-1] = object
	return frame(pack(pack(action, pack(fields...))))
}

func TestWatch(t *testing.T) {
	meta := pack(pack(77), pack(1, 2))
	env := "PASSWORD=hunter2"
	task := pack("id-t", meta, pack(pack("image", nil, env)), "id-s", 3, "id-n", nil, pack("web"), pack(nil, 512, "started", ""), 512)
	node := pack("id-n", meta, pack(nil, 0, 1, 2), pack("a.lab.example"), pack(1, "heartbeat failure"), nil, nil, nil, 1)
	service := pack("id-s", meta, pack(pack("web"), pack(pack("image", nil, env)), pack(5)), nil, pack(2, nil, nil, "a task failed"))
	ports := pack("id-p", meta, pack(pack("dns")), slices.Concat(pack(nil, pack("", 1, 53, 5353, 1)), pack(nil, pack("", nil, 80, 8080))))
	network := pack("id-net", meta, pack(pack("net1")))
	dial := manager(t, "14", frame(nil), told(1, 4, task), told(2, 1, node), told(4, 2, service), told(1, 3, network), told(1, 2, ports))
	subscribed := 0
	var got []Change
	err := watch(t.Context(), dial, func() { subscribed++ }, func(c Change) { got = append(got, c) })
	five := uint64(5)
	want := []Change{
		{77, ActionCreate, Object{Kind: KindTask, ID: "id-t", Name: "web.3", State: "running", Desired: "running", Service: "id-s", Node: "id-n"}},
		{77, ActionUpdate, Object{Kind: KindNode, ID: "id-n", Name: "a.lab.example", State: "down", Message: "heartbeat failure", Role: "manager", Desired: "worker", Availability: "drain"}},
		{77, ActionRemove, Object{Kind: KindService, ID: "id-s", Name: "web", State: "paused", Message: "a task failed", Replicas: &five}},
		{77, ActionCreate, Object{Kind: KindNetwork, ID: "id-net", Name: "net1"}},
		{77, ActionCreate, Object{Kind: KindService, ID: "id-p", Name: "dns", Ports: []Port{{"udp", 53, 5353, true}, {"tcp", 80, 8080, false}}}},
	}
	if !reflect.DeepEqual(got, want) || subscribed != 1 {
		t.Errorf("subscribed %d times; got\n%+v, want\n%+v", subscribed, got, want)
	}
	if err == nil || !strings.Contains(err.Error(), "status 14: it was asked to") {
		t.Errorf("its end: %v", err)
	}
}

func TestWatchOfWhatIsNoManager(t *testing.T) {
	for name, dial := range map[string]func(context.Context) (net.Conn, error){
		"cut off":    manager(t, "0", frame(nil), []byte{0, 0, 0, 0, 9, 1}),
		"compressed": manager(t, "0", []byte{1, 0, 0, 0, 0}),
		"too much":   manager(t, "0", []byte{0, 255, 255, 255, 255}),
		"no message": manager(t, "0", frame([]byte{0xff, 0xff})),
		"not there":  func(context.Context) (net.Conn, error) { return nil, errors.New("not there") },
		"it hangs up": func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			return here, there.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := watch(t.Context(), dial, func() {}, func(Change) { t.Error("it tells a change") }); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("its end: %v", err)
			}
		})
	}
}

// TestWatchEnds: the connection is closed with the context, so that nothing is left
// on the node.
func TestWatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dial := manager(t, "", frame(nil))
	closed := make(chan struct{})
	err := watch(ctx, func(ctx context.Context) (net.Conn, error) {
		c, err := dial(ctx)
		return closing{c, closed}, err
	}, cancel, func(Change) {})
	if err == nil {
		t.Error("it ended by itself")
	}
	<-closed
}

type closing struct {
	net.Conn
	closed chan struct{}
}

func (c closing) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return c.Conn.Close()
}
