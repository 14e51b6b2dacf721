package httpapi_test

import (
	"testing"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
	"github.com/reattach/reattach/policy"
)

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", time.Hour: "1 h", 3*time.Hour + 20*time.Minute: "3 h 20 min",
		53 * time.Hour: "2 d 5 h", 48 * time.Hour: "2 d", 200 * 24 * time.Hour: "200 d",
	} {
		if got := httpapi.Age(d); got != want {
			t.Errorf("Age(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		120 * time.Microsecond: "0.12 ms", 2100 * time.Microsecond: "2.1 ms", 45 * time.Millisecond: "45 ms", 2100 * time.Millisecond: "2.1 s",
	} {
		if got := httpapi.Millis(d); got != want {
			t.Errorf("Millis(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestAttention(t *testing.T) {
	calm := func() failover.ResourceStatus { return status().Resources[2] }
	for _, c := range []struct {
		name   string
		change func(*failover.ResourceStatus)
		want   httpapi.Attention
	}{
		{"calm", func(*failover.ResourceStatus) {}, httpapi.Calm},
		{"standby drained", func(r *failover.ResourceStatus) { r.Endpoints[1].Drained, r.Endpoints[1].State = "by ana", policy.Down }, httpapi.Calm},
		{"not protected", func(r *failover.ResourceStatus) { r.Protected = false }, httpapi.Watch},
		{"paused", func(r *failover.ResourceStatus) { r.Paused = "by ana" }, httpapi.Watch},
		{"outdated", func(r *failover.ResourceStatus) { r.Condition = "outdated" }, httpapi.Watch},
		{"tainted", func(r *failover.ResourceStatus) { r.Endpoints[1].Tainted = "left" }, httpapi.Watch},
		{"standby down", func(r *failover.ResourceStatus) { r.Endpoints[1].State = policy.Down }, httpapi.Watch},
		{"attached down", func(r *failover.ResourceStatus) { r.Endpoints[0].State = policy.Down }, httpapi.Alarm},
		{"foreign", func(r *failover.ResourceStatus) { r.Condition = "foreign" }, httpapi.Alarm},
		{"held", func(r *failover.ResourceStatus) { r.Hold = &failover.Hold{} }, httpapi.Alarm},
		{"outage", func(r *failover.ResourceStatus) { r.Outage = &failover.Outage{} }, httpapi.Alarm},
	} {
		r := calm()
		c.change(&r)
		if got := httpapi.AttentionOf(r); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
