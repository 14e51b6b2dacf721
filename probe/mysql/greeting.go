package mysql

import "bytes"

// Capabilities, as both sides announce them.
const (
	capLongPassword = 1 << 0
	capLongFlag     = 1 << 2
	capProtocol41   = 1 << 9
	capTLS          = 1 << 11
	capTransactions = 1 << 13
	capSecureAuth   = 1 << 15
	capPluginAuth   = 1 << 19
	capAttributes   = 1 << 20

	capNeeded = capProtocol41 | capSecureAuth
	capOurs   = capNeeded | capLongPassword | capLongFlag | capTransactions | capPluginAuth | capAttributes
)

// greeting is what the server says first: protocol 10.
type greeting struct {
	version string
	caps    uint32
	plugin  string
	seed    []byte // a copy: 20 bytes
}

// parseGreeting reads the server's first packet. An error packet in its place
// is a serverError.
func parseGreeting(p []byte) (greeting, error) {
	if p[0] == 0xff {
		return greeting{}, parseError(p)
	}
	c := cursor{b: p}
	if v := c.byte(); v != 10 {
		return greeting{}, garbled("a greeting of version %d", v)
	}
	g := greeting{version: string(c.text())}
	c.take(4) // connection id
	g.seed = append(g.seed, c.take(8)...)
	c.take(1)
	g.caps = uint32(c.uint16())
	c.take(3) // character set, status
	g.caps |= uint32(c.uint16()) << 16
	c.take(1 + 10) // length of the seed, which is always 20 and a zero; reserved
	g.seed = append(g.seed, c.take(12)...)
	if c.bad {
		return greeting{}, garbled("a greeting cut short")
	}
	c.take(1)
	if g.caps&capNeeded != capNeeded {
		return greeting{}, garbled("a server older than MySQL 4.1")
	}
	g.plugin = pluginNative
	if g.caps&capPluginAuth != 0 {
		if i := bytes.IndexByte(c.b, 0); i >= 0 {
			c.b = c.b[:i]
		}
		if len(c.b) > 0 {
			g.plugin = string(c.b)
		}
	}
	return g, nil
}
