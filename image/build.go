package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dcalab/dcalab/trouble"
)

// DemoName is the name of the demo image, without a tag. "localhost" in front
// makes it nobody's on a public registry: an engine looks for an image before
// each task, and shall find no stranger's.
const DemoName = "localhost/demo"

// DemoPort is where the demo answers HTTP, in the container.
const DemoPort = "8080"

// DemoBroken is the version of the demo whose health check fails.
const DemoBroken = "broken"

// DemoCommand is the hidden command of dcalab that is the demo's server.
const DemoCommand = "demo-server"

// DemoVersions are the tags of the demo image.
func DemoVersions() []string { return []string{"1", "2", DemoBroken} }

// module is what a dcalab is built from.
const module = "github.com/dcalab/dcalab"

// Program is a dcalab for Linux.
type Program struct {
	Path   string
	Arch   string // in Go's terms: amd64
	Static bool   // needs no shared libraries
}

// OpenProgram looks whether the program at path runs in an image that holds
// nothing else. goos is the system that dcalab itself runs on, for the advice.
//
// Errors: trouble.Error "demo-program-unfit".
func OpenProgram(path, goos string) (Program, error) {
	unfit := func(err error, why string, next ...string) (Program, error) {
		return Program{}, &trouble.Error{
			ID: "demo-program-unfit", What: "build the demo image from " + path, Why: why,
			Next: next, Exit: trouble.ExitRequirement, Err: err,
		}
	}
	another := "give a static dcalab for the nodes: CGO_ENABLED=0 GOOS=linux go build -o dcalab-static . && dcalab image load demo --binary dcalab-static"
	p, why, err := LookAtProgram(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return unfit(err, "", "give the path of a dcalab for Linux: --binary PATH")
	case why == notELF && goos != "linux":
		return unfit(err, why+": the nodes run Linux, and this dcalab runs on "+goos, another)
	case p.Arch != "" && !p.Static:
		return unfit(nil, "it is linked with the shared libraries of this system, which the image does not have", another)
	case why != "":
		return unfit(err, why, another)
	}
	return p, nil
}

const notELF = "it is no Linux program (ELF)"

// LookAtProgram reads what the program at path is, and tells why it is no dcalab
// for Linux, where it is not.
func LookAtProgram(path string) (p Program, why string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return p, "it cannot be read", err
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return p, notELF, err
	}
	p = Program{Path: path, Arch: goarch(e)}
	if p.Arch == "" {
		return p, "it is for a processor that dcalab does not know: " + e.Machine.String(), nil
	}
	p.Static = static(e)
	info, err := buildinfo.Read(f)
	if err != nil || info.Main.Path != module {
		return p, "it is not dcalab", err
	}
	return p, "", nil
}

// static tells a program that starts without a dynamic loader.
func static(e *elf.File) bool {
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	libraries, err := e.ImportedLibraries()
	return err == nil && len(libraries) == 0
}

// goarch names the processor of a program as Go does; empty for one that
// engines are not made for.
func goarch(e *elf.File) string {
	little := e.ByteOrder.String() == "LittleEndian"
	switch e.Machine {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_386:
		return "386"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_RISCV:
		return "riscv64"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_PPC64:
		if little {
			return "ppc64le"
		}
	}
	return ""
}

// health is Docker's HEALTHCHECK; times in ns
// (https://github.com/moby/docker-image-spec).
type health struct {
	Test     []string
	Interval time.Duration
	Timeout  time.Duration
	Retries  int
}

// imageConfig is the configuration of an image: the OCI one with Docker's
// Healthcheck.
type imageConfig struct {
	Architecture string          `json:"architecture"`
	Config       containerConfig `json:"config"`
	Created      string          `json:"created"`
	History      []history       `json:"history"`
	OS           string          `json:"os"`
	RootFS       rootFS          `json:"rootfs"`
}

type containerConfig struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	WorkingDir   string
	Labels       map[string]string
	Healthcheck  health
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// epoch is the time of everything in the image: the same program makes the
// same image.
const epoch = "1970-01-01T00:00:00Z"

func demoConfig(arch, version, diffID string) imageConfig {
	c := imageConfig{Architecture: arch, OS: "linux", Created: epoch}
	c.Config = containerConfig{
		User:         "65534:65534",
		ExposedPorts: map[string]struct{}{DemoPort + "/tcp": {}},
		Env:          []string{"PATH=/", "VERSION=" + version},
		Entrypoint:   []string{"/dcalab", DemoCommand},
		WorkingDir:   "/",
		Labels:       map[string]string{"org.opencontainers.image.title": DemoName, "org.opencontainers.image.version": version},
		// Short, for the sake of those who watch an update: the first look comes
		// after one interval, and a broken version is given up after three.
		Healthcheck: health{Test: []string{"CMD", "/dcalab", DemoCommand, "--check"}, Interval: 2 * time.Second, Timeout: 5 * time.Second, Retries: 3},
	}
	c.History = []history{{epoch, "dcalab image load demo"}}
	c.RootFS = rootFS{"layers", []string{diffID}}
	return c
}

// BuildDemo writes the demo image in all its versions to w, as docker save
// would (since Docker 25: an OCI layout with a manifest.json). All versions
// share the one layer, which holds the program and nothing else. The same
// program makes the same bytes.
func BuildDemo(w io.Writer, p Program) error {
	program, err := os.ReadFile(p.Path)
	if err != nil {
		return fmt.Errorf("build the demo image: %w", err)
	}
	layer, err := layerOf(program)
	if err != nil {
		return fmt.Errorf("build the demo image: %w", err)
	}
	files := map[string][]byte{}
	keep := func(mediaType string, content []byte) descriptor {
		sum := sha256.Sum256(content)
		d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content))}
		files[blob(d.Digest)] = content
		return d
	}
	ofLayer := keep(typeLayer, layer)
	top := index{SchemaVersion: 2, MediaType: typeIndex}
	var list []dockerManifest
	tops := map[string]string{} // of the old "repositories": tag to the last layer's folder
	for _, version := range DemoVersions() {
		ofConfig, err := document(keep, typeConfig, demoConfig(p.Arch, version, ofLayer.Digest))
		if err != nil {
			return err
		}
		ofManifest, err := document(keep, typeManifest, manifest{2, typeManifest, ofConfig, []descriptor{ofLayer}})
		if err != nil {
			return err
		}
		tag := DemoName + ":" + version
		ofManifest.Annotations = map[string]string{annotationName: tag, annotationRef: version}
		top.Manifests = append(top.Manifests, ofManifest)
		list = append(list, dockerManifest{blob(ofConfig.Digest), []string{tag}, []string{blob(ofLayer.Digest)}})
		tops[version] = strings.TrimPrefix(ofLayer.Digest, "sha256:")
	}
	for name, v := range map[string]any{
		"index.json": top, "manifest.json": list,
		"oci-layout":   map[string]string{"imageLayoutVersion": "1.0.0"},
		"repositories": map[string]map[string]string{DemoName: tops},
	} {
		if files[name], err = json.Marshal(v); err != nil {
			return fmt.Errorf("build the demo image: %s: %w", name, err)
		}
	}
	t := tar.NewWriter(w)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := write(t, name, 0o644, files[name]); err != nil {
			return fmt.Errorf("build the demo image: %w", err)
		}
	}
	return t.Close()
}

// document keeps v as JSON.
func document(keep func(string, []byte) descriptor, mediaType string, v any) (descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, fmt.Errorf("build the demo image: %w", err)
	}
	return keep(mediaType, text), nil
}

// layerOf is the layer with the program alone.
func layerOf(program []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(program) + 4096)
	t := tar.NewWriter(&b)
	err := errors.Join(write(t, "dcalab", 0o755, program), t.Close())
	return b.Bytes(), err
}

// write adds a file of root's, from the beginning of time.
func write(t *tar.Writer, name string, mode int64, content []byte) error {
	h := &tar.Header{Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := t.Write(content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
