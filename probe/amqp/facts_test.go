package amqp

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/reattach/reattach/probe"
)

// asking is a probe that wants facts of a server which goes through the first
// ping and then does rest.
func asking(t *testing.T, rest func(*fake), wanted ...string) probe.Target {
	t.Helper()
	tg := serve(t, func(f *fake) {
		if f.ready(60) {
			rest(f)
		}
	})
	tg.Wanted = wanted
	return tg
}

// question hears one passive declare.
func (f *fake) question(m method) bool { return f.hear(channelOpen) && f.hear(m) }

// TestNoRightToAsk: newer brokers tell only those who have a right on a queue
// whether it is there; the account's own statement gives it.
func TestNoRightToAsk(t *testing.T) {
	tg := asking(t, func(f *fake) {
		f.question(queueDeclare)
		f.question(exchangeDeclare)
		f.method(2, channelOpenOk, func(e *encoder) { e.long("") })
		f.method(2, channelClose, closing(403, "ACCESS_REFUSED - access to queue 'orders' refused"))
		f.hear(channelCloseOk)
		f.method(3, channelClose, closing(403, "ACCESS_REFUSED - access to exchange 'a.b' refused"))
		f.hear(channelCloseOk)
		f.bye()
	}, "queue(orders)", "exchange(a.b)")
	r := probe.Once(t.Context(), Protocol, tg)
	if r.Class != probe.OK || r.Facts["queue(orders)"] != nil || r.Facts["missing_privilege"] != "any right on orders and any right on a.b" {
		t.Errorf("%+v", r)
	}
	tg.Username = "watcher"
	if got := Protocol.Grant(tg, r.Facts); got != `rabbitmqctl set_permissions --vhost orders watcher '' 'amq\.default' '^(orders|a\.b)$'` {
		t.Errorf("advised: %s", got)
	}
}

// TestLateAnswer: what does not answer in half of the time is unknown, and when it
// does in the end, the held session goes on.
func TestLateAnswer(t *testing.T) {
	late, closed := make(chan bool), make(chan bool)
	answer := sync.OnceFunc(func() { close(late) })
	tg := asking(t, func(f *fake) {
		f.question(queueDeclare)
		f.question(queueDeclare)
		f.question(queueDeclare)
		f.method(4, channelOpenOk, func(e *encoder) { e.long("") })
		f.method(4, queueDeclareOk, func(e *encoder) { e.short("c").u32(0).u32(0) })
		f.hear(channelClose)
		<-late
		f.method(4, channelCloseOk, nil)
		f.method(2, channelClose, closing(404, "NOT_FOUND - failed to perform operation on queue 'a' due to timeout"))
		f.hear(channelCloseOk)
		f.method(3, queueDeclareOk, func(e *encoder) { e.short("b").u32(0).u32(0) })
		f.hear(channelClose)
		close(closed)
		f.pong()
		f.bye()
	}, "queue(a)", "queue(b)", "queue(c)")
	t.Cleanup(answer) // or the server waits for ever where this test fails
	tg.Timeout = 4 * time.Second
	began := time.Now()
	held, r := probe.Open(t.Context(), Protocol, tg)
	if took := time.Since(began); r.Class != probe.OK || took >= tg.Timeout {
		t.Fatalf("after %v: %+v", took, r)
	}
	defer held.Close(t.Context())
	maps.DeleteFunc(r.Facts, func(name string, _ any) bool { kind, _ := named(name); return kind != "queue" })
	if !maps.Equal(r.Facts, probe.Facts{"queue(c)": true}) {
		t.Errorf("learnt %v", r.Facts)
	}
	answer()
	ctx, enough := context.WithTimeout(t.Context(), 20*time.Second)
	defer enough()
	go func() { <-closed; enough() }()
	fine(t, held.Wait(ctx))
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("the channel of the late answer stays open")
	}
	ping := held.Ping(contextFor(t, 5*time.Second))
	fine(t, ping)
	if ping.Facts["queue(b)"] != nil || ping.Facts["queue(c)"] != nil {
		t.Errorf("a held session tells what held at another time: %v", ping.Facts)
	}
}

// TestChannelLimit: no more is asked than there are channels for.
func TestChannelLimit(t *testing.T) {
	tg := asking(t, func(f *fake) {
		for channel := uint16(firstAsked); channel <= fakeChannels; channel++ {
			f.question(queueDeclare)
			f.method(channel, queueDeclareOk, func(e *encoder) { e.short("q").u32(0).u32(0) })
		}
		for range fakeChannels - 1 {
			f.hear(channelClose)
		}
		f.bye()
	}, "queue(a)", "queue(b)", "queue(c)", "queue(d)")
	r := probe.Once(t.Context(), Protocol, tg)
	if r.Class != probe.OK || r.Facts["queue(c)"] != true || r.Facts["queue(d)"] != nil {
		t.Errorf("%+v", r)
	}
}

// TestNotStored: the probe's own queue cannot take a message, or says nothing, or
// the connection ends: only the last is a failure of the conversation.
func TestNotStored(t *testing.T) {
	for name, c := range map[string]struct {
		rest  func(*fake)
		class probe.Class
		fact  any
	}{
		"nack":   {func(f *fake) { f.method(1, basicNack, func(e *encoder) { e.u32(0).u32(2).u8(0) }); f.bye() }, probe.OK, false},
		"silent": {func(f *fake) { f.bye() }, probe.OK, false},
		"gone":   {func(*fake) {}, probe.Reset, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tg := asking(t, func(f *fake) {
				f.hear(confirmSelect)
				f.method(1, confirmSelectOk, nil)
				f.hear(basicPublish)
				f.method(1, basicReturn, closing(312, "NO_ROUTE"))
				f.method(1, basicAck, func(e *encoder) { e.u32(0).u32(1).u8(0) })
				f.hear(basicPublish)
				c.rest(f)
			}, confirms)
			tg.Depth, tg.Timeout = probe.PhaseWrite, 4*time.Second
			r := probe.Once(t.Context(), Protocol, tg)
			if r.Class != c.class || r.Facts[confirms] != c.fact || r.Phase != probe.PhaseWrite {
				t.Errorf("%+v", r)
			}
		})
	}
}
