package machine

import "context"

// OrphanLister is a Driver that can tell of orphans: machines of the lab that exist,
// and that labs.yaml no longer has, because a node was taken out of it or got
// another name. Endpoint and Destroy take the names of orphans, too; all other
// methods know the lab's own nodes only. A Destroy that names no nodes removes
// orphans as well.
type OrphanLister interface {
	// Orphans gives the state of each by its short name: StatusUnknown where the
	// driver cannot tell without effort, or where only remains are left. It
	// changes nothing and needs no more rights than Status.
	Orphans(ctx context.Context) (map[string]Status, error)
}
