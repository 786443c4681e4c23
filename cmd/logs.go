package cmd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/trouble"
	"github.com/dcalab/dcalab/ui"
)

// defaultLines is how much of a log is shown where nobody says.
const defaultLines = 100

func (a *app) logs() *cobra.Command {
	var follow bool
	var lines, bundle string
	var since time.Duration
	c := &cobra.Command{
		Use:   "logs NODE | logs --bundle FILE.tar.gz",
		Short: "Show the log of a node's engine, or create a support bundle",
		Long: `Show the log of a node's engine: systemd's journal of it, or the file that
it writes where there is no systemd. It is shown as it is.

With --bundle, what somebody who helps you needs is packed into one file: the
versions, labs.yaml in force, the answers of status, status --view and doctor,
dcalab's own log with the outcome of its commands, and of every node the end of
the engine's log, its daemon.json, docker info, node ls, service ls, service ps,
container ls, network ls and image ls, addresses, /etc/hosts, disks, memory and
kernel. Join tokens, unlock keys, private keys and passwords in addresses are
masked. What was packed is listed; a file that is there is never overwritten.`,
		Example: "  dcalab logs node01\n  dcalab logs node01 -f\n  dcalab logs node01 --since 10m\n  dcalab logs --bundle lab.tar.gz",
		Args: func(c *cobra.Command, args []string) error {
			if bundle != "" {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		ValidArgsFunction: a.completeOne,
		RunE: func(c *cobra.Command, args []string) error {
			if bundle != "" {
				if follow || lines != "" || since != 0 {
					return usage("--bundle packs all that is needed: --follow, --lines and --since do not go with it")
				}
				return a.bundle(c.Context(), bundle)
			}
			o := provision.LogOptions{Lines: defaultLines, Since: since, Follow: follow}
			if since < 0 {
				return usage("--since "+since.String()+" is in the future", "the last ten minutes: --since 10m")
			}
			switch n, err := strconv.Atoi(lines); {
			case lines == "" && since > 0, lines == "all":
				o.Lines = -1
			case lines == "":
			case err != nil || n < 0:
				return usage(fmt.Sprintf("--lines %s is no number of lines", lines), "--lines 20, or --lines all")
			default:
				o.Lines = n
			}
			s, err := a.existing()
			if err != nil {
				return err
			}
			nodes, err := s.pick(args)
			if err != nil {
				return err
			}
			if stop, err := s.announce(provision.ExplainLog(nodes[0].Name, o, s.systemd())); stop || err != nil {
				return err
			}
			conn, err := s.Conn(c.Context(), nodes[0].Name)
			if err != nil {
				return err
			}
			defer conn.Close()
			return provision.EngineLog(c.Context(), conn, o, a.streams.Out)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written, until Ctrl-C")
	c.Flags().StringVarP(&lines, "lines", "n", "", "how many lines at the end, or all (default: 100; with --since, all)")
	c.Flags().DurationVar(&since, "since", 0, "leave out what is older than this: 10m, 2h")
	c.Flags().StringVar(&bundle, "bundle", "", "write a support bundle to this file (.tar.gz)")
	return explained(c)
}

const (
	// bundleLines is how much of an engine's log is packed, and bundleBytes
	// how much of any text: the end of it.
	bundleLines = 5000
	bundleBytes = 4 << 20
	// askPatience is for one question to a node; docker node ls takes 20 s
	// where the quorum is lost.
	askPatience = 30 * time.Second
)

// questions are what the bundle asks of every node.
func questions() []struct{ file, command string } {
	return []struct{ file, command string }{
		{"docker-info.txt", "docker info"},
		{"docker-version.txt", "docker version"},
		{"docker-node-ls.txt", "docker node ls"},
		{"docker-services.txt", "docker service ls"},
		{"docker-tasks.txt", "docker service ls -q | xargs -r docker service ps --no-trunc"},
		{"docker-containers.txt", "docker ps -a"},
		{"docker-networks.txt", "docker network ls"},
		{"docker-images.txt", "docker image ls"},
		{"daemon.json", "cat /etc/docker/daemon.json"},
		{"ip-addr.txt", "ip addr"},
		{"hosts.txt", "cat /etc/hosts"},
		{"df.txt", "df -h"},
		{"free.txt", "free -m"},
		{"kernel.txt", "uname -a; cat /etc/os-release; uptime"},
	}
}

// parcel is what will be packed; its methods may be called from several
// goroutines.
type parcel struct {
	limit int // of a text, in bytes
	mu    sync.Mutex
	files map[string][]byte
	notes []string
}

// put takes a whole text, masks what is secret in it, and keeps its end.
func (p *parcel) put(name, text string) {
	text = cleaned(text)
	if cut := len(text) - p.limit; cut > 0 {
		if i := strings.IndexByte(text[cut:], '\n'); i >= 0 {
			cut += i + 1
		}
		text = text[cut:]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[name] = []byte(text)
}

func (p *parcel) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notes = append(p.notes, trouble.Redact(fmt.Sprintf(format, args...)))
}

// cleaned masks secrets in a text that may be the end of a longer one: a
// private key whose beginning was cut off is masked from where the text begins.
// So are passwords in addresses (those of proxies and mirrors).
func cleaned(text string) string {
	text = trouble.Redact(text)
	keyEnd := regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----`)
	if all := keyEnd.FindAllStringIndex(text, -1); len(all) > 0 {
		text = "-----PRIVATE KEY REMOVED-----" + text[all[len(all)-1][1]:]
	}
	return regexp.MustCompile(`(://)[^/\s:@"']*:[^/\s@"']+@`).ReplaceAllString(text, "$1***@")
}

// bundle writes a support bundle to a new file.
func (a *app) bundle(ctx context.Context, file string) (err error) {
	if !strings.HasSuffix(file, ".tar.gz") && !strings.HasSuffix(file, ".tgz") {
		return usage("--bundle "+file+": it makes a .tar.gz", "dcalab logs --bundle "+file+".tar.gz")
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	exists := func(err error) error {
		return &trouble.Error{
			ID: "bundle-exists", What: "make " + file, Why: "it is there already, and is not overwritten",
			Next: []string{"name another file, or remove this one"}, Exit: trouble.ExitRefused, Err: err,
		}
	}
	if a.dryRun() {
		if _, err := os.Lstat(file); err == nil {
			return exists(fs.ErrExist)
		}
		r := s.bundleRunbook()
		return s.rehearse(append(r.plan, "pack it into "+file), r.runbook)
	}
	// Made now, so that nobody waits for a file that cannot be.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return exists(err)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EROFS) {
		return &trouble.Error{
			ID: "bundle-place", What: "make " + file, Why: "nothing can be written there",
			Next: []string{"a folder that is there, and yours: dcalab logs --bundle " + filepath.Base(file)}, Err: err,
		}
	}
	if err != nil {
		return fmt.Errorf("make the bundle: %w", err)
	}
	packed := false // from then on it stays, whatever cannot be told of it
	defer func() {
		if closing := f.Close(); closing != nil {
			packed, err = false, errors.Join(err, closing)
		}
		if !packed {
			_ = os.Remove(file)
		}
	}()
	if o := s.Owner(); o.UID != 0 {
		if err := f.Chown(o.UID, o.GID); err != nil {
			return fmt.Errorf("make the bundle: %w", err)
		}
	}

	p := &parcel{limit: bundleBytes, files: map[string][]byte{}}
	var all sync.WaitGroup
	for _, part := range []struct {
		file string
		args []string
	}{
		{"version.txt", []string{"version"}},
		{"labs.yaml", []string{"config", "view"}},
		{"status.json", []string{"status", "-o", "json"}},
		{"status-view.txt", []string{"status", "--view"}},
		{"doctor.json", []string{"doctor", "-o", "json"}},
	} {
		all.Go(func() { a.packAnswer(ctx, p, part.file, part.args) })
	}
	all.Go(func() {
		log := tail{limit: bundleBytes}
		if err := endOf(s.State().Log(), bundleBytes, &log); err != nil {
			p.note("dcalab.log is missing: %v", err)
			return
		}
		p.put("dcalab.log", log.String())
	})
	s.packNodes(ctx, p)
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	slices.Sort(p.notes)
	p.put("README.txt", s.bundleReadme(p.notes))
	folder := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".gz"), ".tar")
	folder = strings.TrimSuffix(folder, ".tgz")
	if err := p.write(f, folder, time.Now()); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	packed = true
	s.warn(p.notes...)
	if err := p.list(a.streams.Out); err != nil {
		return err
	}
	s.note("packed into %s; secrets are masked, but look into it before you send it: tar xzf %s", file, file)
	return s.recount(s.bundleRunbook().runbook)
}

// bundleRunbook is what the bundle asks of the nodes.
func (s *session) bundleRunbook() (r rehearsal) {
	for _, n := range s.Lab().Nodes {
		for _, q := range questions() {
			r.add("%s: ask %s", n.Name, q.command)
			r.types(onEach([]lab.Node{n}, q.command))
		}
		r.add("%s: read the engine's log", n.Name)
		r.types(provision.ExplainLog(n.Name, provision.LogOptions{Lines: bundleLines}, s.systemd()))
	}
	return r
}

// packAnswer packs what another command of dcalab says, on this lab.
func (a *app) packAnswer(ctx context.Context, p *parcel, file string, args []string) {
	// Whatever the environment says: it is asked in earnest.
	args = append(args, "--dry-run=false", "--explain=false")
	for _, flag := range []string{"config", "lab", "driver", "provider"} {
		if value := a.settings.GetString(flag); value != "" {
			args = append(args, "--"+flag+"="+value)
		}
	}
	var out, story bytes.Buffer
	streams := ui.Streams{In: strings.NewReader(""), Out: &out, Err: &story, Environ: a.streams.Environ}
	Run(ctx, streams, a.embedded, args)
	p.put(file, out.String())
	if story.Len() > 0 {
		p.put(file+".errors.txt", story.String())
	}
}

// packNodes asks every node of the lab at once.
func (s *session) packNodes(ctx context.Context, p *parcel) {
	have := s.NewPool()
	defer func() { have.Close() }()
	nodes := s.Lab().Nodes
	have.Reach(ctx, nodes, func(i int, n *node.Conn, err error) {
		name := nodes[i].Name
		if err != nil {
			p.note("%s did not answer: %s", name, strings.TrimPrefix(err.Error(), name+": "))
			return
		}
		var asked sync.WaitGroup
		for _, q := range questions() {
			asked.Go(func() { packQuestion(ctx, p, n, "nodes/"+name+"/"+q.file, q.command) })
		}
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askPatience)
			defer cancel()
			log := tail{limit: bundleBytes}
			if err := provision.EngineLog(ctx, n, provision.LogOptions{Lines: bundleLines}, &log); err != nil {
				p.note("%s: the engine's log is not whole: %v", name, err)
			}
			p.put("nodes/"+name+"/engine.log", log.String())
		})
		asked.Wait()
	})
}

// endOf writes the last bytes of a file, or all of a shorter one.
func endOf(path string, bytes int64, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(f, max(0, info.Size()-bytes), bytes))
	return err
}

// packQuestion packs a command, what it said, and how it ended.
func packQuestion(ctx context.Context, p *parcel, n *node.Conn, file, command string) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	said := tail{limit: bundleBytes}
	both := &locked{w: &said}
	exit, err := n.Stream(ctx, command, nil, both, both)
	text := "$ " + command + "\n" + said.String()
	switch {
	case err != nil:
		text += fmt.Sprintf("(not whole: %v)\n", err)
	case exit != 0:
		text += fmt.Sprintf("(exit status %d)\n", exit)
	}
	p.put(file, text)
}

// tail keeps the end of what is written to it: at least the last limit bytes,
// and not more than twice as many.
type tail struct {
	limit int
	buf   []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.buf, t.cut = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...), true
	}
	return len(p), nil
}

// String gives whole lines only: half a token would not be known as one.
func (t *tail) String() string {
	if t.cut {
		_, rest, _ := strings.Cut(string(t.buf), "\n")
		return rest
	}
	return string(t.buf)
}

// locked lets two streams share a writer.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// bundleReadme tells the helper what this is.
func (s *session) bundleReadme(notes []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Lab %s (driver %s), packed by dcalab at %s.\n", s.Lab().Name, s.Driver().Name(), time.Now().UTC().Format(time.RFC3339))
	b.WriteString("Join tokens, unlock keys, private keys and passwords in addresses are masked.\n")
	b.WriteString("nodes/NODE/ holds what each node said; the first line of a file is the command.\n")
	if len(notes) > 0 {
		b.WriteString("\nNot in here:\n")
		for _, n := range notes {
			fmt.Fprintf(&b, "  %s\n", n)
		}
	}
	return b.String()
}

func (p *parcel) names() []string {
	names := make([]string, 0, len(p.files))
	for name := range p.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (p *parcel) write(w io.Writer, folder string, now time.Time) error {
	zip := gzip.NewWriter(w)
	t := tar.NewWriter(zip)
	for _, name := range p.names() {
		text := p.files[name]
		err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: folder + "/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: now})
		if err == nil {
			_, err = t.Write(text)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), zip.Close())
}

func (p *parcel) list(w io.Writer) error {
	var rows [][]string
	for _, name := range p.names() {
		rows = append(rows, []string{name, bytesText(int64(len(p.files[name])))})
	}
	return ui.Table(w, []string{"PACKED", "SIZE"}, rows, false)
}
