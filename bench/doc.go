// Package bench measures dcalab against the least that the same work can
// cost, and against what people use instead, on real engines. It holds tests
// only, and they do nothing without -bench.run; "make bench" gives it.
// docs/benchmarks.md tells what is measured, and why that is fair.
package bench
