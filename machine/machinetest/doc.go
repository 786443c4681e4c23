// Package machinetest is the contract of machine.Driver as a test suite, run
// against every driver, and the isolation in which such tests run.
package machinetest
