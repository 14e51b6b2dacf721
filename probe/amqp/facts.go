package amqp

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/reattach/reattach/probe"
)

// The facts that are learnt only if they are wanted: the first two take a name, the
// last is that the probe's own queue takes messages.
const (
	queue    = "queue"
	exchange = "exchange"
	confirms = "confirms"
)

// firstAsked is the channel of the first question; the conversation has channel 1.
const firstAsked = 2

// named splits a fact with an argument: "queue(orders)" is queue and orders.
func named(fact string) (kind, name string) {
	kind, name, _ = strings.Cut(fact, "(")
	return kind, strings.TrimSuffix(name, ")")
}

// ask learns whether the queues and exchanges exist whose facts are wanted, by a
// passive declare for each. A name that is missing closes its channel, so each
// has one of its own, and all are asked at once. One that does not answer within
// half of the time that is left, as a classic queue of a node that is gone, stays
// unknown, and its channel open: the broker reads nothing on it till it gives up.
func (s *session) ask(ctx context.Context) error {
	var e encoder
	s.asked = map[uint16]string{}
	for _, fact := range s.t.Wanted {
		kind, name := named(fact)
		channel := uint16(firstAsked + len(s.asked))
		if kind != queue && kind != exchange || len(name) > shortLimit || s.channels != 0 && channel > s.channels {
			continue
		}
		s.asked[channel] = fact
		e.begin(channel, channelOpen).short("").end()
		const passive = 1
		if kind == queue {
			e.begin(channel, queueDeclare).u16(0).short(name)
		} else {
			e.begin(channel, exchangeDeclare).u16(0).short(name).short("direct") // no type is compared
		}
		e.u8(passive).u32(0).end()
	}
	if len(s.asked) == 0 {
		return nil
	}
	s.c.Enter(probe.PhaseRole)
	if err := s.send(e.b); err != nil {
		return err
	}
	_, err := s.within(ctx, s.answers)
	s.asked = nil
	return err
}

// answers reads until there is nothing left that was asked.
func (s *session) answers() error {
	for len(s.asked) > 0 {
		f, err := readFrame(s.c.Reader(), heldLimit)
		if err != nil {
			return err
		}
		if err := s.heard(f); err != nil {
			return err
		}
	}
	return nil
}

// answered takes in what comes on the channel of a question, which may be long
// after it was given up. It never ends the conversation.
func (s *session) answered(f frame) error {
	fact, asked := s.asked[f.channel]
	switch f.method {
	case queueDeclareOk, exchangeDeclareOk:
		var e encoder
		_, err := s.c.Write(e.begin(f.channel, channelClose).u16(200).short("goodbye").u16(0).u16(0).end().b)
		if err != nil {
			return err
		}
		if asked {
			s.c.Learn(fact, true)
		}
	case channelClose:
		s.bye(f.channel, channelCloseOk)
		said, _ := errors.AsType[probe.Failure](failure(f.args))
		switch {
		case !asked:
		case said.Code == "404":
			s.c.Learn(fact, false)
		case said.Code == "403":
			_, name := named(fact)
			s.lacks(anyRight + name)
		}
	default: // channel.open-ok, channel.close-ok
		return nil
	}
	delete(s.asked, f.channel)
	return nil
}

// The rights that an account may lack.
const (
	writeDefault = "write on amq.default"
	anyRight     = "any right on "
)

// lacks keeps what the account would need a right for.
func (s *session) lacks(right string) {
	s.missing = append(s.missing, right)
	s.c.Learn("missing_privilege", strings.Join(s.missing, " and "))
}

// within has part of a conversation, which may take half of the time that is
// left. That it took longer is no error, but late.
func (s *session) within(ctx context.Context, part func() error) (late bool, err error) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = time.Now().Add(s.t.Timeout)
	}
	half, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
	defer cancel()
	s.c.Bind(half)
	err = part()
	s.c.Bind(ctx)
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		return true, nil
	}
	return false, err
}

// readable returns the pattern of a permission that has all wanted names.
func readable(wanted []string) string {
	var names []string
	for _, fact := range wanted {
		if kind, name := named(fact); (kind == queue || kind == exchange) && !slices.Contains(names, name) {
			names = append(names, regexp.QuoteMeta(name))
		}
	}
	if names == nil {
		return ""
	}
	return "^(" + strings.Join(names, "|") + ")$"
}
