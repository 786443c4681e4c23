package relay

import (
	"container/heap"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pulse is how often the folder is read, whatever comes.
const pulse = 200 * time.Millisecond

// relay is one at work.
type relay struct {
	q *queue
	// kick wakes who lets packets go: there is an earlier one.
	kick chan struct{}

	mu      sync.Mutex
	shapes  shapes
	waiting waiting
	held    int // bytes that wait
	nth     uint64
}

// Run relays until no fault in the folder needs it. As long as it does, it has the
// file "relay" there locked.
func Run(dir string) error {
	q, err := openQueue(Queue)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EBUSY) {
		if os.Geteuid() == 0 {
			return errors.New("another program has the queue")
		}
	}
	if err != nil {
		return err
	}
	// It stays open, and locked, until this process ends. For a moment, whoever looks
	// for a relay may have it locked.
	fd, err := unix.Open(filepath.Join(dir, "relay"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		return err
	}
	r := &relay{q: q, kick: make(chan struct{}, 1), shapes: shapes{dir: dir}}
	r.shapes.look(true)
	broken := make(chan error, 1)
	go func() { broken <- r.receive() }()
	return r.release(broken)
}

// receive takes packets as they come.
func (r *relay) receive() error {
	for {
		n, err := r.q.read()
		if err != nil {
			return err
		}
		for m := range messages(r.q.buf[:n]) {
			if p, ok := m.packet(); ok {
				if err := r.take(p, time.Now()); err != nil {
					return err
				}
			}
		}
	}
}

// take decides what becomes of a packet.
func (r *relay) take(p arrived, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shapes.look(false)
	at, kept := r.shapes.through(p.from, now, p.size)
	switch {
	case !kept || r.held+p.size > heldBytes:
		return r.q.verdict(p.id, drop)
	case !at.After(now):
		return r.q.verdict(p.id, accept)
	}
	r.nth++
	r.held += p.size
	heap.Push(&r.waiting, packet{p.id, p.size, at, r.nth})
	if r.waiting[0].id == p.id {
		select {
		case r.kick <- struct{}{}:
		default:
		}
	}
	return nil
}

// release lets packets go when their time has come, and ends when there is nothing
// left to do.
func (r *relay) release(broken <-chan error) error {
	timer := time.NewTimer(0)
	tick := time.NewTicker(pulse)
	for {
		looks := false
		select {
		case err := <-broken:
			return err
		case <-r.kick:
		case <-timer.C:
		case <-tick.C:
			looks = true
		}
		next, err := r.let(time.Now(), looks)
		if err != nil {
			return err
		}
		if looks && r.idle() && r.over() {
			return nil
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// let lets go what is due, or everything where no fault is left, and tells how long the
// next one waits; 0 where there is none.
func (r *relay) let(now time.Time, looks bool) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if looks {
		r.shapes.look(true)
	}
	for len(r.waiting) > 0 {
		if left := r.waiting[0].at.Sub(now); left > 0 && len(r.shapes.all) > 0 {
			return left, nil
		}
		p := heap.Pop(&r.waiting).(packet) //nolint:forcetypeassert // a heap of packets
		r.held -= p.size
		if err := r.q.verdict(p.id, accept); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (r *relay) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.shapes.all) == 0
}

// over tells whether no fault is there still, while node.sh, which has the folder's
// lock, is not about to add one. It is for the last time: with it the lock is kept
// until this process has ended.
func (r *relay) over() bool {
	fd, err := unix.Open(filepath.Join(r.shapes.dir, "lock"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		_ = unix.Close(fd)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shapes.look(true)
	if len(r.shapes.all) > 0 {
		_ = unix.Close(fd)
		return false
	}
	return true
}
