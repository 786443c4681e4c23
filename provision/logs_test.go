//go:build linux

package provision

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/node/nodetest"
)

// engineLog is like dockerd's file: lines with a time, and some without.
const engineLogFile = `{ d() { date -d "@$(($(date +%s) - $1))" +%Y-%m-%dT%H:%M:%S.123456789%:z; }
echo "time=\"$(d 7200)\" level=info msg=old"
echo "goroutine 1 of old"
echo "time=\"$(d 300)\" level=info msg=young"
echo "goroutine 1 of young"
echo "time=\"$(d 5)\" level=info msg=now"; } >/var/log/docker.log`

func TestEngineLogOfAFile(t *testing.T) {
	b := newBox(t)
	n := b.dial(t)
	_, err := b.logged(n, LogOptions{Lines: 10})
	nodetest.WantTrouble(t, err, "engine-log-absent")

	b.MustRoot(engineLogFile + "; chmod 600 /var/log/docker.log")
	for name, c := range map[string]struct {
		o    LogOptions
		want string
	}{
		"all":               {LogOptions{Lines: -1}, "old,of old,young,of young,now"},
		"two lines":         {LogOptions{Lines: 2}, "of young,now"},
		"none":              {LogOptions{Lines: 0}, ""},
		"ten minutes":       {LogOptions{Lines: -1, Since: 10 * time.Minute}, "young,of young,now"},
		"of these, one":     {LogOptions{Lines: 1, Since: 10 * time.Minute}, "now"},
		"of three hours, 4": {LogOptions{Lines: 4, Since: 3 * time.Hour}, "of old,young,of young,now"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.logged(n, c.o)
			if got != c.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// logged gives the ends of the lines of a log.
func (b *box) logged(n *node.Conn, o LogOptions) (string, error) {
	var out bytes.Buffer
	err := EngineLog(b.t.Context(), n, o, &out)
	var ends []string
	for line := range strings.Lines(out.String()) {
		_, end, ok := strings.Cut(strings.TrimSpace(line), "msg=")
		if !ok {
			_, end, _ = strings.Cut(strings.TrimSpace(line), "1 ")
		}
		ends = append(ends, end)
	}
	return strings.Join(ends, ","), err
}

// following lists what runs in the box for somebody who follows a log.
func (b *box) following() []string {
	b.t.Helper()
	mine, err := os.Readlink("/proc/" + b.PID + "/ns/mnt")
	if err != nil {
		b.t.Fatal(err)
	}
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if ns, err := os.Readlink(dir + "/ns/mnt"); err != nil || ns != mine {
			continue
		}
		text, _ := os.ReadFile(dir + "/cmdline")
		line := strings.ReplaceAll(string(text), "\x00", " ")
		for _, word := range []string{"logs.sh", "tail ", "journalctl ", "cat "} {
			if strings.Contains(line, word) {
				found = append(found, line)
				break
			}
		}
	}
	return found
}

func TestFollowingLeavesNothingRunning(t *testing.T) {
	for name, prepare := range map[string]string{
		"a file": engineLogFile,
		// systemd's journal is stood in for: what matters is how it is asked,
		// and that it ends. Unlike tail, it does not see that nobody reads.
		"the journal": `mkdir -p /run/systemd/system
cat >/usr/local/sbin/journalctl <<'END'
#!/bin/sh
echo "$*" >/run/asked
seen=$(wc -l </var/log/docker.log)
printf 'time msg=now\n'
case "$*" in *-f*) ;; *) exit ;; esac
while sleep 0.05; do
	now=$(wc -l </var/log/docker.log)
	[ "$now" = "$seen" ] || echo 'time msg=later'
	seen=$now
done
END
chmod 755 /usr/local/sbin/journalctl
: >/var/log/docker.log
mount --bind /usr/local/sbin /usr/local/bin`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.MustRoot(prepare)
			for _, how := range []string{"Ctrl-C", "the connection is cut"} {
				n := b.dial(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var s nodetest.Screen
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				go s.Follow(r)
				done := make(chan error, 1)
				go func() { done <- EngineLog(ctx, n, LogOptions{Lines: 1, Follow: true}, w) }()
				nodetest.Eventually(t, "what was there", s.Shows("msg=now"))
				nodetest.Eventually(t, "the follower", func() bool { return len(b.following()) > 2 })
				b.MustRoot("echo 'time msg=later' >>/var/log/docker.log")
				nodetest.Eventually(t, "what comes", s.Shows("msg=later"))
				if how == "Ctrl-C" {
					cancel()
					if err := <-done; err != nil {
						t.Errorf("%s: %v", how, err)
					}
				} else {
					_ = n.Close()
					nodetest.WantTrouble(t, <-done, "connection-lost")
				}
				nodetest.Eventually(t, how+": nothing runs on", func() bool { return len(b.following()) == 0 })
				_ = w.Close()
				b.MustRoot("echo 'time msg=now' >>/var/log/docker.log")
			}
			if name == "the journal" {
				n := b.dial(t)
				if _, err := b.logged(n, LogOptions{Lines: 7, Since: 90 * time.Second}); err != nil {
					t.Error(err)
				}
				if got, want := b.MustRoot("cat /run/asked"), "--no-pager -q -u docker.service -o short-iso -n 7 --since=-90s"; got != want {
					t.Errorf("it was asked %q, want %q", got, want)
				}
			}
		})
	}
}
