// Package raft shows what a manager's raft really does: its term, its vote, what is
// committed and where its log ends (Read, Follow), and each change of the cluster's
// state as that manager applies it (Watch). Neither needs a leader, so both go on
// through elections and where the quorum is lost.
//
// Both are read on the node itself, as root, over SSH; nothing is written there.
// Entries of the log are encrypted, and are passed over: only their terms and
// indexes, which are plain, are read. Of the watch stream no secrets and configs
// are asked for, and of what it tells only what Change has is kept.
package raft
