package consul_test

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/test/lab"
)

// TestWatchOutlivesLeader: a watch that a follower has handed on to a leader who
// hangs is not deaf for longer than it would have waited: without a limit of ours
// Consul gives that leader up after half a minute and more, and so long nobody who
// watches would vote, or hear of a pause.
func TestWatchOutlivesLeader(t *testing.T) {
	lab.NeedConsul(t)
	cluster := lab.NewConsulCluster(t, 3, lab.ConsulOptions{})
	leader := cluster.Leader()
	follower := cluster.Servers[(leader+1)%3]
	s := store(t, consul.Config{Address: follower.URL()})
	if _, err := follower.Client("").KV().Put(&api.KVPair{Key: "hang/first"}, nil); err != nil {
		t.Fatal(err)
	}
	_, index, err := s.Watch(t.Context(), "hang/", 0)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan error, 1)
	go func() { // as the daemon watches
		for {
			entries, next, err := s.Watch(t.Context(), "hang/", index)
			switch {
			case t.Context().Err() != nil:
				heard <- err
				return
			case err != nil:
				index = 0
			case len(entries) > 1:
				heard <- nil
				return
			default:
				index = next
			}
		}
	}()
	<-time.After(time.Second) // the watch is with the leader
	t.Cleanup(cluster.Servers[leader].Unpause)
	cluster.Servers[leader].Pause()
	second := cluster.Leader()
	cluster.Servers[second].WaitReady()
	if _, err := cluster.Servers[second].Client("").KV().Put(&api.KVPair{Key: "hang/second"}, nil); err != nil {
		t.Fatal(err)
	}
	wrote := time.Now()
	select {
	case err := <-heard:
		t.Logf("heard %v after it was written (%v)", time.Since(wrote).Round(time.Millisecond), err)
	case <-time.After(15 * time.Second):
		t.Error("15 s after another leader took a write, the watch has not heard of it")
	}
}
