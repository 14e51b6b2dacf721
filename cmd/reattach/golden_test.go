package main

import "flag"

// update writes golden files and scripts anew: review what changes.
var update = flag.Bool("update", false, "write golden files anew")
