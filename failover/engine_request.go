package failover

import (
	"time"

	"github.com/reattach/reattach/policy"
)

// retryAfter spaces what is sent again because no answer came.
const retryAfter = time.Second

// request is a transaction whose answer is awaited.
type request struct {
	purpose   Purpose
	resource  string
	sweep     []string
	defs      []*policy.Resource // what a sweep reads, one for each of its names
	order     uint64             // the command to answer; 0: none
	text      string             // what to answer when it is done
	command   *Command           // what a person asked for; nil: nobody did
	shown     string             // what to tell when it is done, where nobody asked
	rec       *Record
	reading   *Reading
	ops       []Op
	ballot    *ballot
	index     uint64     // of the ballot that is closed
	unsure    bool       // sent before, and not answered
	taint     string     // of the endpoint that is adopted
	rewound   string     // what the store had forgotten when an adopt was begun
	acked     string     // by whom, and why
	step      *Operation // as it is written, or as it was before it is over
	starts    bool       // it claims a step: run it
	ended     bool       // it records how one ended
	over      bool       // it ends the operation
	confirms  bool       // it reads what became of it
	sentAt    time.Time  // first
	after     *AfterRun
	afterRead Entry
	then      func(time.Time, Answered) // goes on with the answer; nil: its purpose says who does
}

// voteMargin is what is left of a ballot's time for its commit or its closing.
const voteMargin = 200 * time.Millisecond
