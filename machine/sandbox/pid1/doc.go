// Package pid1 is what dcalab is inside a node of the sandbox driver: its PID 1, and
// what `service` and `systemctl` call there. The program is the one that the package is
// linked into; a copy is mounted into each node, and knows by its arguments what it is.
package pid1
