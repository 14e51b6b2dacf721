package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// part is one of the things that run side by side in the daemon. It runs until
// its context ends, or until it cannot go on.
type part struct {
	name string
	run  func(context.Context) error
}

// runAll runs all parts. When the first of them ends, for whatever reason, the
// context of all others ends; it returns after the last one, with what went
// wrong in each.
func runAll(ctx context.Context, parts []part) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(parts))
	var group sync.WaitGroup
	for i, p := range parts {
		group.Go(func() {
			defer cancel()
			if err := p.run(ctx); err != nil {
				errs[i] = fmt.Errorf("%s: %w", p.name, err)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
