// Package swarm is the cluster of a lab: what every engine says of it
// (Cluster.Observe gives a View, which is plain data), what has to be done
// (PlanBootstrap, PlanPromote and the like, pure functions of a View), the doing
// of it (Cluster.Run, of steps that have a file each), what is waited for
// (Cluster.Await, of conditions), and the arithmetic of the quorum. It knows
// engines, not machines: a Target holds an engine to ask, or says why it cannot
// be asked.
//
// The truth is in the engines, never in a journal of ours: after an
// interruption anywhere, the same call finishes the work.
package swarm
