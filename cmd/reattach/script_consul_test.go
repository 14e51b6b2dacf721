package main

import (
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/reattach/reattach/test/lab"
)

// TestConsulScripts runs scripts on a real Consul, whose URL is $CONSUL. Besides what
// all scripts have there is
//
//	kv KEY VALUE    write a key
func TestConsulScripts(t *testing.T) {
	lab.NeedConsul(t)
	consul := lab.NewConsul(t, lab.ConsulOptions{})
	consul.Start()
	consul.WaitReady()
	p := scripts("testdata/consul", func(env *testscript.Env) { env.Setenv("CONSUL", consul.URL()) })
	p.Cmds["kv"] = func(ts *testscript.TestScript, _ bool, args []string) {
		_, err := consul.Client("").KV().Put(&api.KVPair{Key: args[0], Value: []byte(args[1])}, nil)
		ts.Check(err)
	}
	testscript.Run(t, p)
}
