// Package engine is the Docker Engine API of one node, in dcalab's own terms.
// It is the only package that touches Docker's client library, so that moving
// to that library's successor is an afternoon's work. It knows neither SSH
// nor labs: it is given a way to dial the engine's socket.
package engine
