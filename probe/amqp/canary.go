package amqp

import (
	"context"
	"errors"
	"slices"

	"github.com/reattach/reattach/probe"
)

// nobody is the routing key of the message that must not reach a queue; ownQueue
// is the queue that a person made for the probe, and the only one it writes to.
const (
	nobody   = "reattach.probe.no-such-queue"
	ownQueue = "reattach.canary"
)

// publish sends an empty message that no queue receives, and waits until the
// broker has returned and confirmed it. Where the fact confirms is wanted, a
// second one goes to the probe's own queue.
func (s *session) publish(ctx context.Context) error {
	s.c.Enter(probe.PhaseWrite)
	var e encoder
	if err := s.send(e.begin(1, confirmSelect).u8(0).end().b); err != nil {
		return err
	}
	if _, err := s.expect(confirmSelectOk); err != nil {
		return err
	}
	err := s.confirmed(nobody)
	if f, ok := errors.AsType[probe.Failure](err); ok && f.Code == "403" && !s.closed {
		s.lacks(writeDefault)
		return nil
	}
	if err != nil {
		return err
	}
	if s.blocked != nil {
		return *s.blocked
	}
	if !slices.Contains(s.t.Wanted, confirms) {
		return nil
	}
	return s.store(ctx)
}

// confirmed publishes an empty message and waits for its confirmation. Being
// empty, it ends with its header: a body would never be read while an alarm is on.
func (s *session) confirmed(key string) error {
	s.returned = false
	var e encoder
	e.begin(1, basicPublish).u16(0).short("").short(key).u8(1).end()
	e.b = append(e.b, frameHeader, 0, 1, 0, 0, 0, 14)
	e.u16(60).u16(0).u32(0).u32(0).u16(0).u8(frameEnd)
	if err := s.send(e.b); err != nil {
		return err
	}
	_, err := s.expect(basicAck)
	return err
}

// store learns whether the probe's own queue confirms a message, which a quorum
// queue does once a majority of its members has it. Nothing else that a client
// can do without a trace tells: a passive declare of a queue that has lost its
// majority is answered as ever. A queue that is missing makes it unknown.
func (s *session) store(ctx context.Context) error {
	late, err := s.within(ctx, func() error { return s.confirmed(ownQueue) })
	f, said := errors.AsType[probe.Failure](err)
	switch {
	case late, said && f.Code == nack:
		s.c.Learn(confirms, false)
	case err != nil:
		return err
	case !s.returned:
		s.c.Learn(confirms, true)
	}
	return nil
}
