package sim

import "time"

// item is something that happens at a moment of simulated time.
type item struct {
	at  time.Duration
	seq uint64 // of two at the same moment, the one that was planned first comes first
	do  func()

	on   *node // nil: on no machine
	life int   // of its daemon, unless that ends first
	loop *loop // unless it is stopped first; nil: it is no loop's
}

func (i item) before(j item) bool { return i.at < j.at || i.at == j.at && i.seq < j.seq }

// happens does it, unless what it belongs to has ended. On a machine that stands
// still it waits.
func (i item) happens() {
	switch {
	case i.on == nil:
		i.do()
	case i.life != i.on.life:
	case i.on.frozen:
		i.on.waiting = append(i.on.waiting, i)
	case i.loop == nil || !i.loop.stopped:
		i.do()
	}
}

// queue is what is to happen: a binary heap, the next one first.
type queue struct {
	items []item
	seq   uint64
}

func (q *queue) push(at time.Duration, it item) {
	q.seq++
	it.at, it.seq = at, q.seq
	q.items = append(q.items, it)
	i := len(q.items) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !it.before(q.items[up]) {
			break
		}
		q.items[i] = q.items[up]
		i = up
	}
	q.items[i] = it
}

func (q *queue) pop() item {
	first := q.items[0]
	n := len(q.items) - 1
	it := q.items[n]
	q.items[n] = item{}
	q.items = q.items[:n]
	if n == 0 {
		return first
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && q.items[down+1].before(q.items[down]) {
			down++
		}
		if !q.items[down].before(it) {
			break
		}
		q.items[i] = q.items[down]
		i = down
	}
	q.items[i] = it
	return first
}
