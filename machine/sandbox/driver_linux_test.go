package sandbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/machine"
	"github.com/dcalab/dcalab/machine/machinetest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == initCommand {
		if err := Init(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "sandbox-service" {
		state, err := Service(os.Args[2], os.Args[3])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(state)
		return
	}
	if status, done := machinetest.Isolate(); done {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

func TestDev(t *testing.T) {
	pub, _, _ := ed25519.GenerateKey(rand.Reader)
	key, _ := ssh.NewPublicKey(pub)
	l := &lab.Lab{Name: "t", Domain: "t.example", Subnet: netip.MustParsePrefix("10.20.20.0/24"), Interface: "enp0s8",
		Nodes: []lab.Node{
			{Name: "master", IP: netip.MustParseAddr("10.20.20.100"), CPUs: 2, Memory: 1024},
			{Name: "node01", IP: netip.MustParseAddr("10.20.20.110"), CPUs: 1, Memory: 1024},
			{Name: "node02", IP: netip.MustParseAddr("10.20.20.120"), CPUs: 1, Memory: 1024},
		}}
	exe, _ := os.Executable()
	d := New(Config{Lab: l, ID: "0123456789ab", Dir: t.TempDir() + "/sandbox", Executable: exe, AuthorizedKey: func() (ssh.PublicKey, error) { return key, nil },
		PinHostKey: func(string, ssh.PublicKey) error { return nil }, ForgetHostKey: func(string) error { return nil }, Log: os.Stderr})
	ctx := context.Background()
	t0 := time.Now()
	tick := func(what string) { t.Logf("%7.3f %s", time.Since(t0).Seconds(), what) }
	defer func() {
		if err := d.Destroy(ctx, machine.Observer{}); err != nil {
			t.Error(err)
		}
		tick("destroyed")
	}()
	err := d.Up(ctx, machine.Observer{Step: func(n, s string) { tick(n + " " + s) }, Ready: func(e machine.Endpoint) { tick(e.Node + " ready") }})
	if err != nil {
		t.Fatal(err)
	}
	tick("up")
	if os.Getenv("HOLD") != "" {
		time.Sleep(60 * time.Second)
	}
	st, _ := d.Status(ctx)
	t.Log(st)
	if err := d.Halt(ctx, machine.Observer{}); err != nil {
		t.Fatal(err)
	}
	tick("halted")
	st, _ = d.Status(ctx)
	t.Log(st)
}
