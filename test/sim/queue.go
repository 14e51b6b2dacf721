package sim

import "time"

// item is something that happens at a moment of simulated time.
type item struct {
	at  time.Duration
	seq uint64 // of two at the same moment, the one that was planned first comes first
	do  func()
}

func (i item) before(j item) bool { return i.at < j.at || i.at == j.at && i.seq < j.seq }

// queue is what is to happen: a binary heap, the next one first.
type queue struct {
	items []item
	seq   uint64
}

func (q *queue) push(at time.Duration, do func()) {
	q.seq++
	it := item{at, q.seq, do}
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
