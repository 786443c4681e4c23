// Package release tests what a release is made of: that the licences are those of
// the modules that are in the program, that two builds of one commit are equal,
// that the module can be installed from a proxy, and that the Debian package makes
// a lab on a fresh Debian. It holds tests only. Those that take longer than some
// seconds do nothing without -release.run; "make test-release" gives it.
package release
