package storetest_test

import (
	"testing"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/storetest"
)

func TestModel(t *testing.T) {
	storetest.Run(t, func(*testing.T) failover.Store { return storetest.NewModel(0) })
}
