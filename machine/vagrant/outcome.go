package vagrant

// outcome is what a run of Vagrant left behind, for the explanation of its
// failure.
type outcome struct {
	// Args of the run, without the program and --machine-readable.
	Args []string
	// Provider that the lab's machines have or were to have.
	Provider string
	// Exit status of Vagrant.
	Exit int
	// Errors are the error-exit lines: Vagrant's class of error and its
	// message as a person would see it.
	Errors []vagrantError
	// Said is the end of what Vagrant told people, oldest first: the data of
	// its ui lines, and what it or its plugins printed past the stream, on
	// standard output and standard error. Each may have several lines.
	Said []said
	// Log is the path of the file that has all of it.
	Log string
}

type vagrantError struct {
	// Node is the short name of the machine; empty where Vagrant did not say.
	Node string
	// Class of the error in Ruby ("Vagrant::Errors::ProviderNotUsable").
	Class   string
	Message string
}

type said struct {
	Node string // empty where it was about no machine
	// Kind is the ui's ("output", "info", "detail", "warn", "error"), or
	// "stdout" and "stderr" for what came past the stream.
	Kind string
	Text string
}
