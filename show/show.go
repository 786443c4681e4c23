// Package show draws in a terminal what is known of a lab: tables, and the live view.
package show

// Style is how it is drawn.
type Style struct {
	Color bool
	Wide  bool                // all that is known, in lines as long as they get
	Width int                 // of the terminal, in columns; 0 is any
	Hint  func(string) string // words the commands that a text advises as the user types them
}
