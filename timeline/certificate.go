package timeline

import (
	"context"
	"errors"
	"io/fs"
	"reflect"
	"time"

	"github.com/dcalab/dcalab/swarm"
	"github.com/dcalab/dcalab/swarm/raft"
)

const (
	// certificateEvery is between two looks at a node's certificate while nothing tells
	// that it may be another one.
	certificateEvery = time.Hour
	// certificateSoon is between the first two looks after something has, and twice as long
	// each time until it is, certificateTries times: a node fetches it some seconds later.
	certificateSoon  = 2 * time.Second
	certificateTries = 4
)

// watchCertificate tells when the swarm certificate of a node ends, whenever that is another
// time, until ctx ends.
func (l *listener) watchCertificate(ctx context.Context, name string, look func(context.Context) (swarm.Validity, error)) {
	renewed := make(chan struct{}, 1)
	l.mu.Lock()
	l.renewed[name] = renewed
	l.mu.Unlock()
	for tries := 0; ; tries++ {
		v, err := look(ctx)
		if ctx.Err() != nil {
			return
		}
		if l.certificate(name, v.Until, err) {
			tries = certificateTries
		}
		pause := certificateEvery
		if tries < certificateTries {
			pause = certificateSoon << tries
		}
		select {
		case <-ctx.Done():
			return
		case <-renewed:
			tries = -1
		case <-time.After(pause):
		}
	}
}

// certificate tells when a node's ends, where that is not what was told last. One that
// cannot be read is as it was.
func (l *listener) certificate(name string, until time.Time, err error) (isNew bool) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		until = time.Time{}
	case err != nil:
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.certified[name].Equal(until) {
		return false
	}
	l.certified[name] = until
	l.say(Event{Source: SourceEngine, Kind: KindCertificate, Node: name, Until: until})
	return true
}

// mayBeRenewed is that a node may have another certificate now. The caller holds the lock.
func (l *listener) mayBeRenewed(name string) {
	select {
	case l.renewed[name] <- struct{}{}:
	default:
	}
}

// entryChanged looks at a node's certificate where its entry in the swarm's list says that
// it may be another one: the node joins, leaves, is removed or gets another role; or nothing
// that is shown of it has changed, as when one was issued. Not where it only goes unknown
// and ready again, as all nodes do in an election. The caller holds the lock.
func (l *listener) entryChanged(c, before raft.Change) {
	if c.Kind != raft.KindNode || l.names[c.ID] == "" {
		return
	}
	known := before.ID != ""
	switch {
	case c.Action == raft.ActionRemove && !known: // another manager has told
	case c.Action == raft.ActionRemove:
		delete(l.certified, l.names[c.ID])
		l.mayBeRenewed(l.names[c.ID])
	case known && c.Version <= before.Version:
	case !known, c.Action != raft.ActionUpdate, c.State == "down", c.Role != before.Role, c.Desired != before.Desired, reflect.DeepEqual(c.Object, before.Object):
		l.mayBeRenewed(l.names[c.ID])
	}
}
