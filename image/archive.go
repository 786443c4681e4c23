// Package image knows container images as files: what a tar of images holds
// (docker save's format and the OCI image layout), and how to build the demo
// image with neither Docker nor a registry. It knows neither engines nor labs.
package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// maxDocument bounds the JSON documents of an archive, in bytes. Manifests of
// real images have some kilobytes; registries refuse more than 4 MiB.
const maxDocument = 4 << 20

// maxEntries bounds the files of an archive.
const maxEntries = 100_000

// ErrNotAnArchive is for a tar of something else, and for what is no tar.
var ErrNotAnArchive = errors.New("it holds no images: neither a manifest.json (docker save) nor an index.json (OCI layout)")

// Image is one image of an archive.
type Image struct {
	// IDs are the digests ("sha256:…") that an engine may call the image by: of
	// its configuration, and of its manifests and index, which are the ID where
	// the engine keeps images in containerd.
	IDs []string
	// Tags as docker images shows them ("nginx:1.27"); none for an image
	// without a name.
	Tags []string
	// OS and Arch in Go's terms ("linux", "arm64"); empty where it does not say.
	OS, Arch string
}

// Name is the image's first tag, or the start of its ID.
func (i Image) Name() string {
	if len(i.Tags) > 0 {
		return i.Tags[0]
	}
	id := strings.TrimPrefix(i.IDs[0], "sha256:")
	return id[:min(12, len(id))]
}

// Archive is a tar of images.
type Archive struct {
	Images []Image

	tar    io.ReaderAt
	size   int64
	prefix []byte
	// Of an OCI layout without a manifest.json: the entries of the one that is
	// put before it, image by image.
	missing []dockerManifest
}

// For gives the archive for engines of a processor, in Go's terms: of an OCI
// layout with an image for several, those that are made for it.
func (a *Archive) For(arch string) (*Archive, error) {
	other := func(i Image) bool { return i.Arch != arch }
	if a.missing == nil || !slices.ContainsFunc(a.Images, other) || !slices.ContainsFunc(a.Images, func(i Image) bool { return !other(i) }) {
		return a, nil
	}
	out := &Archive{tar: a.tar, size: a.size}
	for n, i := range a.Images {
		if !other(i) {
			out.Images, out.missing = append(out.Images, i), append(out.missing, a.missing[n])
		}
	}
	var err error
	out.prefix, err = manifestEntry(out.missing)
	return out, err
}

// Size is the number of bytes that Reader gives.
func (a *Archive) Size() int64 { return int64(len(a.prefix)) + a.size }

// Reader gives the archive as every engine loads it: its own bytes, with a
// manifest.json before them where it is an OCI layout without one, which
// engines that do not keep images in containerd would refuse. Each call gives
// a reader of its own, and they can be used at the same time.
func (a *Archive) Reader() io.Reader {
	return io.MultiReader(bytes.NewReader(a.prefix), io.NewSectionReader(a.tar, 0, a.size))
}

// Read finds the images of an archive of size bytes, without a compression
// around it. A tar that holds no images is ErrNotAnArchive. r is kept for
// Reader.
//
// Formats: docker save's manifest.json
// (https://github.com/moby/docker-image-spec) and the OCI image layout
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
// Docker 25 and later write both into one tar.
func Read(r io.ReaderAt, size int64) (*Archive, error) {
	files, err := list(r, size)
	if err != nil {
		return nil, err
	}
	a := &Archive{tar: r, size: size}
	docker, hasDocker, err := files.manifests()
	if err != nil {
		return nil, err
	}
	_, hasOCI := files.at["index.json"]
	switch {
	case hasDocker:
		a.Images, err = files.docker(docker)
	case hasOCI:
		docker, a.Images, err = files.layout()
		if err == nil {
			a.missing = docker
			a.prefix, err = manifestEntry(docker)
		}
	default:
		return nil, ErrNotAnArchive
	}
	if err == nil && len(a.Images) == 0 {
		err = ErrNotAnArchive
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// contents are the files of a tar, by their cleaned names.
type contents struct {
	r  io.ReaderAt
	at map[string]extent
}

type extent struct{ offset, size int64 }

// list walks the tar without reading what its files hold.
func list(r io.ReaderAt, size int64) (contents, error) {
	c := contents{r, map[string]extent{}}
	section := io.NewSectionReader(r, 0, size)
	t := tar.NewReader(section) // seeks over the files, and reads not beyond their headers
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil && n == 0 {
			return c, ErrNotAnArchive // no tar at all
		}
		if err != nil {
			return c, fmt.Errorf("read the tar: %w", err)
		}
		if n == maxEntries {
			return c, fmt.Errorf("read the tar: it has more than %d files", maxEntries)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		offset, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return c, fmt.Errorf("read the tar: %w", err)
		}
		c.at[path.Clean(h.Name)] = extent{offset, h.Size}
	}
}

// read gives a small file of the tar whole, as JSON into v.
func (c contents) read(name string, v any) error {
	e, ok := c.at[path.Clean(name)]
	if !ok {
		return fmt.Errorf("the archive lacks %s", name)
	}
	if e.size > maxDocument {
		return fmt.Errorf("%s in the archive has %d bytes: too many", name, e.size)
	}
	text := make([]byte, e.size)
	if _, err := io.ReadFull(io.NewSectionReader(c.r, e.offset, e.size), text); err != nil {
		return fmt.Errorf("read %s of the archive: %w", name, err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read %s of the archive: %w", name, err)
	}
	return nil
}

// dockerManifest is an entry of docker save's manifest.json.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (c contents) manifests() ([]dockerManifest, bool, error) {
	if _, ok := c.at["manifest.json"]; !ok {
		return nil, false, nil
	}
	var list []dockerManifest
	err := c.read("manifest.json", &list)
	return list, true, err
}

// config is what dcalab wants to know of an image's configuration.
type config struct {
	OS   string `json:"os"`
	Arch string `json:"architecture"`
}

// docker gives the images of docker save's format. Where the tar has an OCI
// layout too, the digests of that are added.
func (c contents) docker(list []dockerManifest) ([]Image, error) {
	byConfig := map[string][]string{}
	if _, ok := c.at["index.json"]; ok {
		// Of use only for engines that keep images in containerd: whatever is
		// wrong with it is theirs to say.
		if _, oci, err := c.layout(); err == nil {
			for _, i := range oci {
				byConfig[i.IDs[0]] = i.IDs[1:]
			}
		}
	}
	var images []Image
	for _, m := range list {
		var conf config
		if err := c.read(m.Config, &conf); err != nil {
			return nil, err
		}
		// "<hex>.json" until Docker 24, "blobs/sha256/<hex>" since then.
		id := "sha256:" + strings.TrimSuffix(path.Base(m.Config), ".json")
		if !isDigest(id) {
			return nil, fmt.Errorf("manifest.json of the archive names the configuration %q, which is no digest", m.Config)
		}
		tags := make([]string, len(m.RepoTags))
		for i, t := range m.RepoTags {
			tags[i] = familiar(t)
		}
		images = append(images, Image{IDs: append([]string{id}, byConfig[id]...), Tags: tags, OS: conf.OS, Arch: conf.Arch})
	}
	return images, nil
}

// descriptor and index are those of the OCI image specification.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// Media types and annotations of the OCI image specification, and those of
// Docker that mean the same.
const (
	typeIndex      = "application/vnd.oci.image.index.v1+json"
	typeManifest   = "application/vnd.oci.image.manifest.v1+json"
	typeConfig     = "application/vnd.oci.image.config.v1+json"
	typeLayer      = "application/vnd.oci.image.layer.v1.tar"
	typeDockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

	annotationRef  = "org.opencontainers.image.ref.name"
	annotationName = "io.containerd.image.name"
)

// layout gives the images of an OCI layout, and the manifest.json that docker
// save would have written for them. Blobs that are not there (an index may
// speak of platforms that were not saved) are passed over.
func (c contents) layout() ([]dockerManifest, []Image, error) {
	var top index
	if err := c.read("index.json", &top); err != nil {
		return nil, nil, err
	}
	var list []dockerManifest
	var images []Image
	add := func(d descriptor, tags, above []string) error {
		var m manifest
		if err := c.read(blob(d.Digest), &m); err != nil {
			return err
		}
		var conf config
		readable := isDigest(m.Config.Digest) && c.read(blob(m.Config.Digest), &conf) == nil
		if !readable || conf.OS == "" || conf.OS == "unknown" {
			return nil // not an image: an attestation, for instance
		}
		ids := append([]string{m.Config.Digest, d.Digest}, above...)
		// The same image under one more name.
		for i := range images {
			if images[i].IDs[0] == ids[0] {
				images[i].Tags = union(images[i].Tags, tags)
				images[i].IDs = union(images[i].IDs, ids)
				list[i].RepoTags = images[i].Tags
				return nil
			}
		}
		dm := dockerManifest{Config: blob(m.Config.Digest), RepoTags: tags}
		for _, l := range m.Layers {
			if !isDigest(l.Digest) {
				return fmt.Errorf("the manifest %s names the layer %q, which is no digest", d.Digest, l.Digest)
			}
			dm.Layers = append(dm.Layers, blob(l.Digest))
		}
		list, images = append(list, dm), append(images, Image{IDs: ids, Tags: tags, OS: conf.OS, Arch: conf.Arch})
		return nil
	}
	for _, d := range top.Manifests {
		if !isDigest(d.Digest) {
			return nil, nil, fmt.Errorf("index.json of the archive names %q, which is no digest", d.Digest)
		}
		var tags []string
		if t := d.tag(); t != "" {
			tags = []string{t}
		}
		if d.MediaType != typeIndex && d.MediaType != typeDockerList {
			if err := add(d, tags, nil); err != nil {
				return nil, nil, err
			}
			continue
		}
		var nested index
		if err := c.read(blob(d.Digest), &nested); err != nil {
			return nil, nil, err
		}
		for _, in := range nested.Manifests {
			if _, saved := c.at[blob(in.Digest)]; isDigest(in.Digest) && saved {
				if err := add(in, tags, []string{d.Digest}); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	return list, images, nil
}

// tag is the full name of what a descriptor of index.json stands for. Many
// tools write no more than a tag into the annotation of the specification;
// that alone names nothing.
func (d descriptor) tag() string {
	for _, key := range []string{annotationName, annotationRef} {
		if name := d.Annotations[key]; strings.Contains(path.Base(name), ":") && !strings.Contains(name, "@") {
			return familiar(name)
		}
	}
	return ""
}

// manifestEntry is manifest.json as a tar without an end, to be put before
// another.
func manifestEntry(list []dockerManifest) ([]byte, error) {
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := write(w, "manifest.json", 0o644, text); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil { // pads; Close would end the tar
		return nil, err
	}
	return b.Bytes(), nil
}

// familiar shortens a reference as Docker shows it:
// docker.io/library/nginx:1.27 is nginx:1.27.
func familiar(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "index."), "docker.io/")
	if rest := strings.TrimPrefix(name, "library/"); !strings.Contains(rest, "/") {
		return rest
	}
	return name
}

// blob is where a layout keeps what has a digest.
func blob(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }

func isDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

func union(a, b []string) []string {
	a = slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}
