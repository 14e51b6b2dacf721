package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/consul"
	"github.com/reattach/reattach/failover/embedded"
	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// errNoFile means that the embedded store was never created.
var errNoFile = errors.New("the store's file does not exist")

// opened is an open store.
type opened struct {
	failover.Store
	embedded *embedded.Store // nil if it is another
	close    func() error
}

// openStore opens the store that conf names. A file is created only if create
// is set; token is asked before each call, because it may be renewed.
func openStore(conf *configs.Config, token func() probe.Secret, create bool) (*opened, error) {
	if conf.Store.Kind == configs.Embedded {
		return openEmbedded(conf.Store.Embedded.Path, create)
	}
	c := conf.Store.Consul
	store, err := consul.New(consul.Config{
		Address: c.Address, Datacenter: c.Datacenter, Namespace: c.Namespace, Partition: c.Partition,
		Token: func() (string, error) { return token().Reveal(), nil },
		TLS:   consul.TLS{CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, ServerName: c.TLS.ServerName},
	})
	if err != nil {
		return nil, err
	}
	return &opened{Store: store, close: store.Close}, nil
}

func openEmbedded(path string, create bool) (*opened, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !create {
		return nil, fmt.Errorf("%w: %s", errNoFile, path)
	}
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("the store's directory: %w", err)
		}
	}
	store, err := embedded.Open(path)
	if err != nil {
		return nil, err
	}
	return &opened{Store: store, embedded: store, close: store.Close}, nil
}

// engineConfig is what the engine needs of a configuration.
func engineConfig(conf *configs.Config) failover.Config {
	out := failover.Config{Observer: conf.Observer.Name, Zone: conf.Observer.Zone, Observers: conf.Observers()}
	out.Resources = make([]*policy.Resource, len(conf.Resources))
	for i := range conf.Resources {
		out.Resources[i] = &conf.Resources[i]
	}
	return out
}
