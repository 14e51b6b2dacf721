package consul_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/failover/storetest"
	"github.com/reattach/reattach/test/lab"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// store returns a store with config, which the end of the test closes.
func store(t testing.TB, config consul.Config) *consul.Store {
	t.Helper()
	s, err := consul.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// token is a Config.Token that stays the same.
func token(secret string) func() (string, error) {
	return func() (string, error) { return secret, nil }
}

func TestSuite(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{})
	storetest.Run(t, func(t *testing.T) failover.Store {
		return store(t, consul.Config{Address: server.URL()})
	})
}
