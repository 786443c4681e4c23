package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// transferTimeout bounds the sending of images in either direction: a big one
// over a slow network.
const transferTimeout = time.Hour

// Image is an image that an engine keeps.
type Image struct {
	// ID is "sha256:…": the digest of the image's configuration or, where the
	// engine keeps images in containerd, of its manifest or index.
	ID string
	// Tags are its names ("nginx:1.27"), sorted; none for one without a name.
	Tags []string
	// Size on the engine's disk in bytes, layers shared with others included.
	Size int64
}

// Images are those that one engine keeps.
type Images struct{ *caller }

// List gives the images that the engine keeps, but for those in between
// that only builds know of.
func (i Images) List(ctx context.Context) ([]Image, error) {
	var out []Image
	err := i.call(ctx, "image list", changeTimeout, func(ctx context.Context) error {
		list, err := i.api.ImageList(ctx, image.ListOptions{})
		if err != nil {
			return err
		}
		out = make([]Image, 0, len(list))
		for _, one := range list {
			tags := slices.DeleteFunc(slices.Clone(one.RepoTags), func(t string) bool { return strings.HasPrefix(t, "<none>") })
			slices.Sort(tags)
			out = append(out, Image{ID: one.ID, Tags: tags, Size: one.Size})
		}
		return nil
	})
	return out, err
}

// Load loads a tar of images, as docker load does. It is done when the
// engine has all of them. An error of reading tar is given as it is.
func (i Images) Load(ctx context.Context, tar io.Reader) error {
	source := &source{r: tar}
	return i.call(ctx, "image load", transferTimeout, func(ctx context.Context) error {
		resp, err := i.api.ImageLoad(ctx, source, client.ImageLoadWithQuiet(true))
		if err := source.failed(); err != nil {
			return &Error{Node: i.node, Op: "image load", Message: plain(err.Error()), cause: err}
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		// The status was sent before the work was done: a failure is told in the
		// stream of messages.
		for messages := json.NewDecoder(resp.Body); ; {
			var m struct {
				Error string `json:"error"`
			}
			err := messages.Decode(&m)
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return fmt.Errorf("read the engine's answer: %w", err)
			case m.Error != "":
				return errors.New(m.Error)
			}
		}
	})
}

// source remembers why it could not be read: Docker's client does not.
type source struct {
	r io.Reader

	mu  sync.Mutex
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return n, err
}

func (s *source) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Save writes images with these names or IDs as a tar to w, as docker
// save does. One that is not there is ErrNotFound.
func (i Images) Save(ctx context.Context, w io.Writer, names ...string) error {
	return i.call(ctx, "image save", transferTimeout, func(ctx context.Context) error {
		// The engine begins its answer before it looks for the images.
		for _, name := range names {
			if _, err := i.api.ImageInspect(ctx, name); err != nil {
				return err
			}
		}
		tar, err := i.api.ImageSave(ctx, names)
		if err != nil {
			return err
		}
		defer tar.Close()
		_, err = io.Copy(w, tar)
		return err
	})
}
