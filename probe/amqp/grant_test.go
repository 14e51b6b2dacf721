package amqp

import (
	"testing"

	"github.com/reattach/reattach/probe"
)

// TestGrant: a command that replaces all rights is given only for an account
// that no application uses.
func TestGrant(t *testing.T) {
	lacks := probe.Facts{"missing_privilege": "write on amq.default"}
	const shared = `add amq\.default to what it may write, by rabbitmqctl set_permissions, which replaces all three patterns of: rabbitmqctl list_user_permissions app`
	for _, test := range []struct {
		url, username, want string
		facts               probe.Facts
	}{
		{"amqp://app@mq1/orders", "probe", "", probe.Facts{"version": "4.0.5"}},
		{"amqp://app@mq1/orders", "probe", `rabbitmqctl set_permissions --vhost orders probe '' 'amq\.default' ''`, lacks},
		{"amqp://app@mq1", "it's me", `rabbitmqctl set_permissions --vhost / 'it'\''s me' '' 'amq\.default' ''`, lacks},
		{"amqp://app@mq1/orders", "", shared, lacks},
		{"amqp://app@mq1/orders", "app", shared, lacks},
	} {
		u, err := probe.ParseURL(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := Protocol.Grant(probe.Target{URL: u, Username: test.username}, test.facts); got != test.want {
			t.Errorf("%s as %q: %s, want %s", test.url, test.username, got, test.want)
		}
	}
}
