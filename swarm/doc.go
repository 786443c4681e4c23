// Package swarm is the cluster of a lab: what every engine says of it
// (Observe), what has to be done (MakePlan, a pure function), the doing of it
// (Apply), and the arithmetic of the quorum. It knows engines, not machines:
// a Target holds an engine to ask, or says why it cannot be asked.
//
// The truth is in the engines, never in a journal of ours: after an
// interruption anywhere, the same call finishes the work.
package swarm
