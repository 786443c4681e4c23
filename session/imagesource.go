package session

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/dcalab/dcalab/engine"
	"github.com/dcalab/dcalab/image"
	"github.com/dcalab/dcalab/lab"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/trouble"
)

// ImageSource is where images to load come from: DemoImage, StandardInput, an
// archive (a path), or the name of an image of this machine's Docker.
type ImageSource string

// Sources that are neither a path nor an image's name.
const (
	DemoImage     ImageSource = "demo" // a file of this name is ./demo
	StandardInput ImageSource = "-"    // which cannot be read again
)

// file tells whether a file is meant.
func (s ImageSource) file() bool {
	if s == DemoImage || s == StandardInput {
		return false
	}
	info, err := os.Stat(string(s))
	return err == nil && !info.IsDir() || strings.ContainsAny(string(s), `\`) ||
		strings.HasPrefix(string(s), ".") || strings.HasPrefix(string(s), "/") ||
		slices.ContainsFunc([]string{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"}, func(end string) bool { return strings.HasSuffix(string(s), end) })
}

// Plan says how the images come into nodes, a line a node, and what a person
// types for it with ssh and the lab's ssh_config.
func (s ImageSource) Plan(nodes []lab.Node, sshConfig string) (lines []string, typed runbook.Runbook) {
	from, into := "docker save "+runbook.Line(string(s))+" | ", ""
	switch {
	case s == DemoImage:
		typed = runbook.Local("# dcalab itself builds the demo image; of another one of yours, IMAGE:")
		from = "# docker save IMAGE | "
	case s == StandardInput:
		from, into = "", " <FILE.tar"
	case s.file():
		from, into = "", " <"+runbook.Line(string(s))
	}
	for _, n := range nodes {
		lines = append(lines, n.Name+": load "+string(s)+", where it is not there")
		typed = append(typed, runbook.Command{Text: from + runbook.Line("ssh", "-F", sshConfig, n.Name, "docker load") + into})
	}
	return lines, typed
}

// Check refuses, before a dry run, a file that is no archive of images. Other
// sources are not looked at.
func (s ImageSource) Check(ctx context.Context) error {
	if !s.file() {
		return nil
	}
	f, err := s.openFile(ctx)
	if err != nil {
		return err
	}
	return f.Close()
}

// Open reads the images. in is standard input; program is the dcalab that is put
// into the demo image, this one where it is empty. local is told when this
// machine's Docker is asked.
func (s ImageSource) Open(ctx context.Context, in io.Reader, program string, local func()) (*image.File, error) {
	switch {
	case s == DemoImage:
		return buildDemo(ctx, program)
	case s == StandardInput:
		return image.ReadFile(ctx, "the standard input", in)
	case s.file():
		return s.openFile(ctx)
	}
	name := string(s)
	if _, err := os.Stat(name); err == nil {
		return nil, trouble.Usage(name+" is a folder",
			"an archive of images is a file: docker save -o FILE.tar IMAGE", "or load the image that needs nothing: dcalab image load demo")
	}
	local()
	if docker, err := exec.LookPath("docker"); err == nil {
		return image.SaveWithDocker(ctx, docker, name)
	}
	const socket = "/var/run/docker.sock"
	if _, err := os.Stat(socket); err != nil {
		return nil, &trouble.Error{
			ID: "local-docker-missing", What: "take the image " + name + " from the local Docker",
			Why: "this machine has neither the docker program nor an engine's socket, and there is no file " + name,
			Next: []string{
				"on a machine that has the image: docker save -o FILE.tar " + name + "; then here: dcalab image load FILE.tar",
				"or load the image that needs nothing: dcalab image load demo",
			},
			Exit: trouble.ExitRequirement,
		}
	}
	engine, err := engine.New("this machine", func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	return image.Save(ctx, name, func(w io.Writer) error { return engine.Images.Save(ctx, w, name) })
}

// openFile opens an archive, and advises somebody whose file is absent.
func (s ImageSource) openFile(ctx context.Context) (*image.File, error) {
	f, err := image.OpenFile(ctx, string(s))
	var t *trouble.Error
	if !errors.As(err, &t) || len(t.Next) > 0 {
		return f, err
	}
	t.Next = []string{"write one: docker save -o " + string(s) + " IMAGE", "or load the image that needs nothing: dcalab image load demo"}
	var archives []string
	entries, _ := os.ReadDir(filepath.Dir(string(s)))
	for _, e := range entries {
		if strings.Contains(e.Name(), ".tar") || strings.HasSuffix(e.Name(), ".tgz") {
			archives = append(archives, e.Name())
		}
	}
	if near := lab.Nearest(filepath.Base(string(s)), archives); near != "" {
		t.Next = append([]string{"did you mean " + near + "?"}, t.Next...)
	}
	return f, err
}

func buildDemo(ctx context.Context, program string) (*image.File, error) {
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		program = self
	}
	binary, err := image.OpenProgram(program, runtime.GOOS)
	if err != nil {
		return nil, err
	}
	return image.Save(ctx, image.DemoName, func(w io.Writer) error { return image.BuildDemo(w, binary) })
}
