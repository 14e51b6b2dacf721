// Package hostile holds every protocol's room against servers that mean harm:
// that fall silent, send a byte now and then, a gigabyte, a length of 4 GiB, a
// greeting without end, or a TLS handshake that stalls, at each step of a
// conversation, be it a login, a fact, a canary or a write, and to a session that
// is held.
//
// None may cost more than its timeout and a short farewell, the bytes of one
// reply ([probe.ReadLimit]) and what memory they need, nor leave a goroutine.
package hostile
