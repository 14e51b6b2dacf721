// Package notify keeps what people are to hear of, and hands it on.
//
// An [Outbox] is a [failover.Journal]: a file in which every notice stands, with
// what became of it on its way to each destination. A notice is on disk before
// anybody is told, and each destination has a queue of its own: one that is gone,
// or accepts and never answers, delays neither the others nor a failover.
//
// The first notice of a quiet time goes at once. What follows within half a
// second of another waits until that is over: if more than five matters wait
// then, or behind an attempt that failed, they are handed over as one message, a
// storm. Its end is one message, too, when the last of its matters is over; until
// then, the ends that came stand as "waiting". A matter's end goes to those who
// were told of its beginning, and to nobody else.
//
// An attempt that fails is made again after a second, then at growing intervals
// up to five minutes, or as the destination asks. A refusal, and 24 hours without
// success, make the notice dead for that destination: it stays in the file with
// its error. One message that is never taken does not keep back the others.
//
// A notice is delivered at least once. What may be doubled, after a kill between
// the delivery and its record, has the same [Message.Matter], by which PagerDuty,
// Alertmanager and most receivers tell doubles. The same notice again, of what is
// active, is told to nobody twice: see [Outbox].
//
// While the disk is full, notices are shown and handed on from memory, and written
// once there is room.
//
// Not guaranteed: that the order holds between destinations or between matters,
// that a notice arrives if the process is killed while the disk is full, and that
// anybody is told while the disk hangs, for the file comes first.
package notify
