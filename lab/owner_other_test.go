//go:build !unix

package lab

import "testing"

func ownerOf(t *testing.T, _ string) (uid, gid int) {
	t.Skip("no owners by number")
	return 0, 0
}
