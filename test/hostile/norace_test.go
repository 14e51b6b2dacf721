//go:build !race

package hostile

// raced says that the race detector is there, which allocates for itself.
const raced = false
