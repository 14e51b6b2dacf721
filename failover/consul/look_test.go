package consul_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/test/lab"
)

// TestLook: with the policy that we ship, Consul's version, leader and clock can
// be read, and each right that the policy gives is seen, and no other.
func TestLook(t *testing.T) {
	lab.NeedConsul(t)
	server := lab.NewConsul(t, lab.ConsulOptions{ACL: true})
	s := store(t, consul.Config{Address: server.URL(), Token: token(server.CreateToken(policy(t)))})
	look, err := s.Look(t.Context())
	if err != nil || !strings.HasPrefix(look.Version, "1.") || look.Leader == "" || look.Latency <= 0 || time.Since(look.Date).Abs() > 5*time.Second {
		t.Errorf("%+v, %v", look, err)
	}
	allowed, err := s.Allowed(t.Context(), []consul.Right{
		{Key: failover.Prefix, Access: "write-prefix"}, {Key: handle, Access: "write"},
		{Key: "production/OTHER", Access: "read"}, {Key: "", Access: "write-prefix"},
	})
	if err != nil || !slices.Equal(allowed, []bool{true, true, false, false}) {
		t.Errorf("%v, %v", allowed, err)
	}
	s = store(t, consul.Config{Address: server.URL(), Token: token("11111111-2222-3333-4444-555555555555")})
	if _, err := s.Allowed(t.Context(), []consul.Right{{Key: handle, Access: "write"}}); !errors.Is(err, failover.ErrDenied) {
		t.Errorf("a token that is unknown: %v", err)
	}
}

// TestLookWithoutACLs: where everybody may do everything, that is said.
func TestLookWithoutACLs(t *testing.T) {
	lab.NeedConsul(t)
	s := store(t, consul.Config{Address: lab.NewConsul(t, lab.ConsulOptions{}).URL()})
	if _, err := s.Allowed(t.Context(), []consul.Right{{Key: handle, Access: "write"}}); !errors.Is(err, consul.ErrNoACLs) {
		t.Errorf("%v", err)
	}
}
