// Package trouble is how dcalab says that something went wrong: what failed,
// where, why, and what to do now. It owns the exit statuses and the shape of
// an error that a person reads; it knows nothing of labs, engines or
// terminals, so that every other package can import it.
package trouble

import (
	"errors"
	"strings"
)

// The exit statuses of dcalab, documented in docs/reference.md.
const (
	ExitOK          = 0
	ExitFailure     = 1   // something failed; the message says what
	ExitUsage       = 2   // the command line could not be understood
	ExitConfig      = 3   // labs.yaml is not valid; nothing was touched
	ExitRequirement = 4   // this machine lacks something that the command needs; nothing was touched
	ExitRefused     = 5   // refused to protect the lab (quorum, foreign swarm, another dcalab at work)
	ExitUnfinished  = 6   // the command did what it could, and the lab is not yet what was asked
	ExitInterrupted = 130 // Ctrl-C, or SIGTERM
)

// Error is an error that its reader can act on. Printed, it reads
//
//	What: Why
//	  Next[0]
//	  Next[1]
//
// with Where (a node's name, or file:line:column) in front where there is one.
type Error struct {
	// ID names the kind of trouble: stable, lower case, with dashes
	// ("quorum-would-be-lost"). Tests and the catalogue refer to it.
	ID string
	// Where it happened: a node's short name, or file:line:column. May be empty.
	Where string
	// What was being done, or was refused, in a few words.
	What string
	// Why it failed. Empty where Err says it.
	Why string
	// Next says what to do now, one action a line, commands as they are typed.
	Next []string
	// Exit is the status that the program ends with; 0 means ExitFailure.
	Exit int
	// Err is the cause, for errors.Is and errors.As. May be nil.
	Err error
}

// Usage is the error of a wrong command line.
func Usage(why string, next ...string) error {
	return &Error{ID: "usage", Why: why, Next: next, Exit: ExitUsage}
}

// Error gives the one-line form: where, what, why. Next is left to the printer.
func (e *Error) Error() string {
	var parts []string
	for _, p := range []string{e.Where, e.What, e.Why} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if e.Why == "" && e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitStatus is the status that a program that ends with err exits with:
// that of the first Error in err's chain, ExitOK for nil, else ExitFailure.
func ExitStatus(err error) int {
	if err == nil {
		return ExitOK
	}
	var e *Error
	if errors.As(err, &e) && e.Exit != 0 {
		return e.Exit
	}
	return ExitFailure
}

// Advice collects the Next lines of every Error in err's tree, in the order
// met, each once.
func Advice(err error) []string {
	var out []string
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if e, ok := err.(*Error); ok { //nolint:errorlint // the walk itself unwraps
			for _, n := range e.Next {
				if !seen[n] {
					seen[n] = true
					out = append(out, n)
				}
			}
		}
		switch u := err.(type) { //nolint:errorlint // the walk itself unwraps
		case interface{ Unwrap() error }:
			if in := u.Unwrap(); in != nil {
				walk(in)
			}
		case interface{ Unwrap() []error }:
			for _, in := range u.Unwrap() {
				walk(in)
			}
		}
	}
	if err != nil {
		walk(err)
	}
	return out
}

// OneLine is an error with the first thing to do about it, for a list.
func OneLine(err error) string {
	text := err.Error()
	var e *Error
	if errors.As(err, &e) && len(e.Next) > 0 {
		text += " (" + e.Next[0] + ")"
	}
	return text
}
