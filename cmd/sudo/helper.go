package sudo

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/dcalab/dcalab/web"
)

// request is a command, by its words: one a line. Several are under way at a time: heal ends
// what another one waits for.
type request struct {
	ID    int      `json:"id"`
	Words []string `json:"words"`
}

// answer is what became of a request: one a line, first one of no request, when the helper
// is ready.
type answer struct {
	ID int `json:"id"`
	web.Done
}

// requestMax is more than any request takes, in bytes.
const requestMax = 16 << 10

// errEnded tells that the helper is gone.
var errEnded = errors.New("the helper of --power has ended")

// Helper is the way to a process that does commands.
type Helper struct {
	in    io.WriteCloser
	ended chan struct{} // closed when it is gone

	mu      sync.Mutex
	next    int
	waiting map[int]chan web.Done
}

// Start starts a helper with what Command gave, for which sudo may ask for a password on the terminal. It is told
// to end when ctx does.
func Start(ctx context.Context, cmd *exec.Cmd) (*Helper, error) {
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
	return connect(ctx, in, out, cmd.Wait)
}

// connect waits until the helper is ready that reads in and writes out, and ends with wait.
func connect(ctx context.Context, in io.WriteCloser, out io.Reader, wait func() error) (*Helper, error) {
	h := &Helper{in: in, ended: make(chan struct{}), waiting: map[int]chan web.Done{}}
	_, ready := h.expect()
	var failed error
	go func() {
		h.listen(out)
		failed = wait()
		close(h.ended)
	}()
	context.AfterFunc(ctx, func() { _ = in.Close() })
	select {
	case <-ready:
		return h, nil
	case <-h.ended:
		return nil, cmp.Or(failed, errEnded)
	case <-ctx.Done(): // sudo may still ask, and is no process of this user's
		return nil, ctx.Err()
	}
}

// expect gives the next request's number, and where its answer comes.
func (h *Helper) expect() (int, <-chan web.Done) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id, c := h.next, make(chan web.Done, 1)
	h.waiting[id] = c
	h.next++
	return id, c
}

// listen passes answers on until there are no more.
func (h *Helper) listen(out io.Reader) {
	for d := json.NewDecoder(bufio.NewReader(out)); ; {
		var a answer
		if err := d.Decode(&a); err != nil {
			_ = h.in.Close() // whatever it was: it is not talked to any more
			_, _ = io.Copy(io.Discard, out)
			return
		}
		h.mu.Lock()
		c := h.waiting[a.ID]
		delete(h.waiting, a.ID)
		h.mu.Unlock()
		if c != nil {
			c <- a.Done
		}
	}
}

// Do has a command done, and waits for what became of it. It is not cancelled alone: End,
// or the end of Start's ctx, ends it with all others.
func (h *Helper) Do(words []string) (web.Done, error) {
	id, answer := h.expect()
	h.mu.Lock()
	err := json.NewEncoder(h.in).Encode(request{ID: id, Words: words})
	h.mu.Unlock()
	if err == nil {
		select {
		case done := <-answer:
			return done, nil
		case <-h.ended:
			select {
			case done := <-answer: // it was its last
				return done, nil
			default:
			}
		}
	}
	return web.Done{}, errEnded
}

// End tells the helper to end, and waits until it is gone.
func (h *Helper) End() {
	_ = h.in.Close()
	<-h.ended
}

// Serve is what a helper does: it has act do what it is asked for until in ends, or ctx;
// what is under way then ends gracefully.
func Serve(ctx context.Context, in io.Reader, out io.Writer, act web.Actor) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var answers sync.Mutex
	to := json.NewEncoder(out)
	tell := func(id int, done web.Done) {
		answers.Lock()
		defer answers.Unlock()
		if to.Encode(answer{ID: id, Done: done}) != nil {
			cancel() // nobody listens any more
		}
	}
	signal.Ignore(syscall.SIGPIPE) // an answer that nobody reads ends what is under way gracefully
	tell(0, web.Done{})
	requests := make(chan request)
	go func() {
		defer cancel()
		lines := bufio.NewScanner(in)
		lines.Buffer(nil, requestMax)
		for lines.Scan() {
			var r request
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	var underWay sync.WaitGroup
	defer underWay.Wait()
	for {
		select {
		case r := <-requests:
			underWay.Go(func() { tell(r.ID, act(ctx, r.Words)) })
		case <-ctx.Done():
			return
		}
	}
}
