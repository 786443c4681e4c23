// Package bundle packs what somebody who helps needs to know of a lab into one
// file, without secrets: what its nodes say, dcalab's own log, and parts that the
// caller has.
package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dcalab/dcalab/node"
	"github.com/dcalab/dcalab/provision"
	"github.com/dcalab/dcalab/runbook"
	"github.com/dcalab/dcalab/session"
	"github.com/dcalab/dcalab/trouble"
)

const (
	// logLines is how much of an engine's log is packed, and textLimit how much
	// of any text, in bytes: the end of it.
	logLines  = 5000
	textLimit = 4 << 20
	// questionTimeout is for one question to a node; docker node ls takes 20 s
	// where the quorum is lost.
	questionTimeout = 30 * time.Second
)

// Part is a file that the caller packs.
type Part struct {
	Name string
	// Write gives its text, and what there is to say beside it, which is packed as
	// NAME.errors.txt. Parts are written at once.
	Write func(ctx context.Context, text, story io.Writer)
}

// File is one that was packed, with its size in bytes.
type File struct {
	Name string
	Size int64
}

// Packed is what a bundle holds.
type Packed struct {
	Files []File // by name
	// Notes are sentences on what is not in it.
	Notes []string
}

type question struct{ file, command string }

// questions are what is asked of every node.
func questions() []question {
	return []question{
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

// Plan is what Make asks of the nodes, a line each, and as a person types it.
func Plan(s *session.Session) (lines []string, typed runbook.Runbook) {
	for _, n := range s.Lab().Nodes {
		for _, q := range questions() {
			lines = append(lines, n.Name+": ask "+q.command)
			typed = append(typed, runbook.Command{Node: n.Name, Text: q.command})
		}
		lines = append(lines, n.Name+": read the engine's log")
		typed = append(typed, provision.ExplainLog(n.Name, provision.LogOptions{Lines: logLines}, s.Driver().Traits().Systemd)...)
	}
	return lines, typed
}

// Absent refuses a file that is there: no bundle overwrites it.
func Absent(file string) error {
	if _, err := os.Lstat(file); err == nil {
		return exists(file, fs.ErrExist)
	}
	return nil
}

func exists(file string, err error) error {
	return &trouble.Error{
		ID: "bundle-exists", What: "make " + file, Why: "it is there already, and is not overwritten",
		Next: []string{"name another file, or remove this one"}, Exit: trouble.ExitRefused, Err: err,
	}
}

// Make writes a bundle to a new file, which only its owner can read. Nodes that
// do not answer are noted. Where it fails or is interrupted, there is no file.
func Make(ctx context.Context, s *session.Session, file string, parts []Part) (packed Packed, err error) {
	// Created first, so that a file that cannot be written fails before any waiting.
	f, err := create(file)
	if err != nil {
		return packed, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(file)
		}
	}()
	if o := s.Owner(); o.UID != 0 {
		if err := f.Chown(o.UID, o.GID); err != nil {
			return packed, fmt.Errorf("make the bundle: %w", err)
		}
	}

	a := newArchive(textLimit)
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(func() {
			var text, story bytes.Buffer
			part.Write(ctx, &text, &story)
			a.put(part.Name, text.String())
			if story.Len() > 0 {
				a.put(part.Name+".errors.txt", story.String())
			}
		})
	}
	all.Go(func() {
		log := tail{limit: textLimit}
		if err := endOf(s.State().Log(), textLimit, &log); err != nil {
			a.note("dcalab.log is missing: %v", err)
			return
		}
		a.put("dcalab.log", log.String())
	})
	askNodes(ctx, s, a)
	all.Wait()
	if ctx.Err() != nil {
		return packed, context.Cause(ctx)
	}
	slices.Sort(a.notes)
	a.put("README.txt", readme(s, a.notes))
	folder := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".gz"), ".tar")
	if err := a.write(f, strings.TrimSuffix(folder, ".tgz"), time.Now()); err != nil {
		return packed, fmt.Errorf("write the bundle: %w", err)
	}
	return Packed{a.list(), a.notes}, nil
}

func create(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, exists(file, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS):
		return nil, &trouble.Error{
			ID: "bundle-place", What: "make " + file, Why: "nothing can be written there",
			Next: []string{"a folder that is there, and yours: dcalab logs --bundle " + filepath.Base(file)}, Err: err,
		}
	case err != nil:
		return nil, fmt.Errorf("make the bundle: %w", err)
	}
	return f, nil
}

// askNodes asks every node of the lab at once.
func askNodes(ctx context.Context, s *session.Session, a *archive) {
	conns := s.NewPool()
	defer conns.Close()
	nodes := s.Lab().Nodes
	conns.Reach(ctx, nodes, func(i int, n *node.Conn, err error) {
		name := nodes[i].Name
		if err != nil {
			a.note("%s did not answer: %s", name, strings.TrimPrefix(err.Error(), name+": "))
			return
		}
		var asked sync.WaitGroup
		for _, q := range questions() {
			asked.Go(func() { a.put("nodes/"+name+"/"+q.file, ask(ctx, n, q.command)) })
		}
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, questionTimeout)
			defer cancel()
			log := tail{limit: textLimit}
			if err := provision.EngineLog(ctx, n, provision.LogOptions{Lines: logLines}, &log); err != nil {
				a.note("%s: the engine's log is not whole: %v", name, err)
			}
			a.put("nodes/"+name+"/engine.log", log.String())
		})
		asked.Wait()
	})
}

// ask gives a command, what it said, and how it ended.
func ask(ctx context.Context, n *node.Conn, command string) string {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	said := tail{limit: textLimit}
	exit, err := n.Stream(ctx, command, nil, &said, &said)
	text := "$ " + command + "\n" + said.String()
	switch {
	case err != nil:
		text += fmt.Sprintf("(not whole: %v)\n", err)
	case exit != 0:
		text += fmt.Sprintf("(exit status %d)\n", exit)
	}
	return text
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

// readme tells whoever opens the bundle what it is.
func readme(s *session.Session, notes []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Lab %s (driver %s), packed by dcalab at %s.\n", s.Lab().Name, s.Driver().Name(), time.Now().UTC().Format(time.RFC3339))
	b.WriteString("Join tokens, unlock keys, private keys and passwords in URLs are masked.\n")
	b.WriteString("nodes/NODE/ holds what each node said; the first line of a file is the command.\n")
	if len(notes) > 0 {
		b.WriteString("\nNot in here:\n")
		for _, n := range notes {
			fmt.Fprintf(&b, "  %s\n", n)
		}
	}
	return b.String()
}
