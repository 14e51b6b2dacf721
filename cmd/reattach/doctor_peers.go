package main

import (
	"context"
	"strings"
	"time"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/httpapi"
)

// peerTime bounds the question to another observer.
const peerTime = 2 * time.Second

// observers asks every observer of the configuration how he is, as they ask one
// another.
func (x *examination) observers(ctx context.Context, conf *configs.Config) {
	x.group = groupObservers
	if len(conf.Observer.Peers) < 2 {
		return
	}
	peers, answer := httpapi.NewPeers(), 0
	for _, p := range conf.Observer.Peers {
		asked, cancel := context.WithTimeout(ctx, peerTime)
		health, err := peers.Ask(asked, p.Name, p.URL)
		cancel()
		switch {
		case err != nil && p.Name == conf.Observer.Name:
			x.warn("is the daemon running here, and is this its listen.http? The others ask there", "%s, this observer, does not answer at %s: %v", p.Name, p.URL, err)
			continue
		case err != nil:
			x.warn("is the daemon running there, and can this host reach its listen.http?", "%s does not answer at %s: %v", p.Name, p.URL, err)
			continue
		}
		answer++
		x.observer(p.Name, health, conf)
	}
	need := len(conf.Observer.Peers)/2 + 1
	if answer < need {
		x.fail("start those that do not run: as long as too few can vote, nothing is switched by itself", "%d of %d observers answer, and %d are needed", answer, len(conf.Observer.Peers), need)
		return
	}
	x.ok("%d of %d observers answer; %d are needed", answer, len(conf.Observer.Peers), need)
}

// observer says what is odd about one who answers.
func (x *examination) observer(name string, health failover.Health, conf *configs.Config) {
	if health.Blind != "" {
		x.warn("reattach doctor on its host", "%s cannot judge: %s", name, health.Blind)
	}
	if health.Version != buildVersion() {
		x.warn("upgrade one after the other, and all of them", "%s is of version %s, and this is %s", name, health.Version, buildVersion())
	}
	var differ []string
	for i := range conf.Resources {
		if r := &conf.Resources[i]; health.Hashes[r.Name] != r.Hash(conf.Observers()) {
			differ = append(differ, r.Name)
		}
	}
	if len(differ) > 0 {
		x.warn("give it the same configuration, and reload it: its votes on these count for nothing", "%s has another configuration in force of %s", name, strings.Join(differ, ", "))
	}
}
