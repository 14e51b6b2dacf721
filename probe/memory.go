package probe

import (
	"slices"
	"sync/atomic"
)

// Memory knows which of several passwords a server took last. Tried first, it
// spares the server a failed login, and its log a line, in each conversation
// while a password is rotated. It keeps the password itself, not its place, so
// that it outlives a list that changes.
//
// The zero value knows nothing. It may be used by several conversations at once.
type Memory struct{ last atomic.Pointer[Secret] }

// took notes that a password was taken.
func (m *Memory) took(password Secret) {
	if m != nil {
		m.last.Store(&password)
	}
}

// order returns the passwords with the one that was taken last in front. One
// that is not among them is not tried.
func (m *Memory) order(passwords []Secret) []Secret {
	if m == nil {
		return passwords
	}
	last := m.last.Load()
	if last == nil {
		return passwords
	}
	i := slices.Index(passwords, *last)
	if i <= 0 {
		return passwords
	}
	return slices.Concat([]Secret{*last}, passwords[:i], passwords[i+1:])
}
