package main

import "time"

// length is the value of a flag that says for how long. Zero means that it was not
// given: what is given has to be longer than nothing, because "for 0s" would
// otherwise be taken for "for ever".
type length struct {
	flag string // its name, for complaints
	to   *time.Duration
}

// String returns the length as it is written, or nothing.
func (l length) String() string {
	if l.to == nil || *l.to == 0 {
		return ""
	}
	return l.to.String()
}

// Set reads a length. The error is one of wrong input.
func (l length) Set(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return wrongf("a number with its unit: 90s, 30m, 2h", "--%s: %q is no duration", l.flag, text)
	case d <= 0:
		return wrongf("", "--%s is not positive", l.flag)
	}
	*l.to = d
	return nil
}

// Type is what help calls such a value.
func (length) Type() string { return "duration" }
