package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/dcalab/dcalab/web"
)

// powerHelper is the name of the command that dcalab serve --power runs through sudo. It
// reads a powerRequest a line, and writes a powerAnswer a line: first one of no request,
// when it is ready.
const powerHelper = "power-helper"

// powerRequest is a command of a page, by its words. Several are under way at a time:
// heal ends what another one waits for.
type powerRequest struct {
	ID    int      `json:"id"`
	Words []string `json:"words"`
}

// powerAnswer is what became of a request.
type powerAnswer struct {
	ID int `json:"id"`
	web.Done
}

var errHelperEnded = errors.New("the helper of --power has ended")

// power is the way to a helper that runs as root.
type power struct {
	in    io.Closer
	ended chan struct{} // closed when it is gone

	mu      sync.Mutex
	to      *json.Encoder
	last    int
	waiting map[int]chan web.Done
}

// helper starts the helper through sudo, which may ask for a password on the terminal.
// It is told to end when ctx does.
func (r asRoot) helper(ctx context.Context) (*power, error) {
	cmd, err := r.command(ctx, "what the page does to machines", slices.Concat(r.app.given, []string{powerHelper}))
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &power{in: in, ended: make(chan struct{}), to: json.NewEncoder(in), waiting: map[int]chan web.Done{}}
	ready := p.expect(0)
	var failed error
	go func() {
		p.listen(out)
		failed = cmd.Wait()
		close(p.ended)
	}()
	context.AfterFunc(ctx, func() { _ = in.Close() })
	select {
	case <-ready:
		return p, nil
	case <-p.ended:
		if err := r.outcomeOf(failed); err != nil {
			return nil, err
		}
		return nil, errHelperEnded
	case <-ctx.Done(): // sudo may still ask, and is no process of this user's
		return nil, ctx.Err()
	}
}

// expect gives where the answer to a request comes.
func (p *power) expect(id int) <-chan web.Done {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(chan web.Done, 1)
	p.waiting[id] = c
	return c
}

// listen passes answers on until there are no more.
func (p *power) listen(out io.Reader) {
	for d := json.NewDecoder(bufio.NewReader(out)); ; {
		var a powerAnswer
		if err := d.Decode(&a); err != nil {
			_ = p.in.Close() // whatever it was: it is not talked to any more
			_, _ = io.Copy(io.Discard, out)
			return
		}
		p.mu.Lock()
		c := p.waiting[a.ID]
		delete(p.waiting, a.ID)
		p.mu.Unlock()
		if c != nil {
			c <- a.Done
		}
	}
}

// do has a command done, and waits until it has ended: where it is to end earlier, the
// helper is told.
func (p *power) do(words []string) (web.Done, error) {
	p.mu.Lock()
	p.last++
	id := p.last
	p.mu.Unlock()
	answer := p.expect(id)
	p.mu.Lock()
	err := p.to.Encode(powerRequest{ID: id, Words: words})
	p.mu.Unlock()
	if err == nil {
		select {
		case done := <-answer:
			return done, nil
		case <-p.ended:
			select {
			case done := <-answer: // it was its last
				return done, nil
			default:
			}
		}
	}
	return web.Done{}, errHelperEnded
}

// end waits until the helper is gone.
func (p *power) end() {
	_ = p.in.Close()
	<-p.ended
}

// lendsPower starts the helper where pages need one; nil where they do not.
func (h pageHost) lendsPower(ctx context.Context) (*power, error) {
	switch {
	case !h.power || !lacksRoot(h.operator()):
		return nil, nil
	case h.app.read:
		return nil, usage("--power lets pages act, and they cannot: labs.yaml came through a pipe", "name a file: dcalab --config FILE serve --power")
	}
	return asRoot{h.session}.helper(ctx)
}
