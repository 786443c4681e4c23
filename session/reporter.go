package session

// Reporter is told how work on the nodes goes, while it goes; *ui.Progress is
// one. An empty node means the lab as a whole. Its methods may be called from
// several goroutines at once.
type Reporter interface {
	// Step: a node begins something, in the present participle.
	Step(node, text string)
	// Done: a node is through, and this is what it came to.
	Done(node, text string)
	// Fail: a node is not.
	Fail(node string, err error)
	// Note is worth telling beside it; Detail only to who asked for more.
	Note(text string)
	Detail(node, text string)
}
