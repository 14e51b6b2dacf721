// Package configs reads reattach's configuration: HCL, or its JSON form, from
// one file or from all files of a directory read as one.
//
// Its contract: [Load] reports every mistake at once, each with its place, the
// line, and what to do about it; a configuration with an error yields no
// [Config], so that a running daemon keeps the one it has. Nothing that is
// written is ever ignored: unknown names are errors, and what only a later
// version can do is refused in one sentence. No output of this package holds a
// secret. Every default stands in one place (see [Schema] for the list).
//
// Not its business: whether servers can be reached, and whether a handle in
// the store is ours. It opens no connection and resolves no name.
//
// The files beside this package are samples; each is a test case.
package configs

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/reattach/reattach/policy"
	"github.com/reattach/reattach/probe"
)

// Config is a whole configuration with its defaults filled in.
type Config struct {
	Observer  Observer
	Store     Store
	Listen    Listen
	Resources []policy.Resource // in the order of files and lines
	Notifiers []Notifier        // in the order of files and lines
	// Routes names the notifiers of each resource, and, under "", of what
	// concerns no resource. Who is not named anywhere is told nothing.
	Routes map[string][]string
	// Runbook is the page to which notices link; the event is the anchor.
	Runbook string
	Files   Files // what file() and token_file read

	sources []*source // the text that it was made of
}

// Observer is this running reattach, and who else watches.
type Observer struct {
	Name     string
	Zone     string // may be empty
	StateDir string // directory for what was seen last
	// Peers lists every observer, this one included, in the order in which
	// they are written. Without peers it holds this observer alone, and no URL.
	Peers []Peer
}

// Peer is one observer as the others reach it.
type Peer struct {
	Name string
	URL  string // of its API; empty for an observer that watches alone
}

// StoreKind says where handles and state are kept.
type StoreKind string

// The kinds of store.
const (
	Consul   StoreKind = "consul"
	Embedded StoreKind = "embedded"
)

// Store says where handles and state are kept. What belongs to the other kind
// holds its defaults.
type Store struct {
	Kind     StoreKind
	Consul   ConsulStore
	Embedded EmbeddedStore
}

// ConsulStore says how to reach Consul.
type ConsulStore struct {
	Address    string // http://, https:// or unix://
	Token      probe.Secret
	TokenFile  string // where Token was read, if it was a file
	Datacenter string
	Namespace  string
	Partition  string
	TLS        TLSFiles
}

// TLSFiles are the PEM files of a TLS client. All may be empty.
type TLSFiles struct{ CAFile, CertFile, KeyFile, ServerName string }

// EmbeddedStore says where the store's file is.
type EmbeddedStore struct{ Path string }

// Listen names the daemon's own doors.
type Listen struct {
	HTTP      string       // host:port, or empty for none
	Socket    string       // path of the unix socket
	Token     probe.Secret // what readers of an embedded store must send; empty for nothing
	TokenFile string       // where Token was read, if it was a file
	Pprof     bool
}

// Observers returns the names of all observers, in the order of the peers.
func (c *Config) Observers() []string {
	out := make([]string, len(c.Observer.Peers))
	for i, p := range c.Observer.Peers {
		out[i] = p.Name
	}
	return out
}

// Resource returns the resource of that name, or nil.
func (c *Config) Resource(name string) *policy.Resource {
	i := slices.IndexFunc(c.Resources, func(r policy.Resource) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Resources[i]
}

// Options are what Load needs from outside.
type Options struct {
	// Protocols are those that endpoints may speak.
	Protocols []probe.Protocol
	// Events are the kinds of notice, by name, that notifiers may be told of.
	Events []string
	// CheckBody says what is wrong with the template of a webhook's body. It
	// does not repeat the template. Nil takes any.
	CheckBody func(string) error
	// Env looks up an environment variable. Nil knows none.
	Env func(string) (string, bool)
	// Hostname is the observer's name where none is given.
	Hostname string
	// ReadFile reads the files that the configuration names: those of file(),
	// token_file, and certificates, which are only checked. Nil reads from
	// disk, at most 1 MiB each.
	ReadFile func(string) ([]byte, error)
}

// OS returns the options of a real process: its environment and host name.
func OS(protocols []probe.Protocol) Options {
	host, _ := os.Hostname() // without one, observer.name must be given, and the report says so
	return Options{Protocols: protocols, Env: os.LookupEnv, Hostname: host}
}

// Load reads the configuration that paths name: files, and directories whose
// *.hcl and *.json files are read as one. The Config is nil if, and only if,
// the diagnostics hold an error; they may hold warnings beside it.
func Load(paths []string, opts Options) (*Config, Diagnostics) {
	r := &report{}
	sources := r.gather(paths)
	return load(sources, r, opts)
}

// Parse reads a configuration from memory, as if it stood in a file of that
// name; a name that ends in .json says that it is JSON.
func Parse(name string, text []byte, opts Options) (*Config, Diagnostics) {
	r := &report{}
	if len(text) > maxFile {
		r.errorf(at(name), "", "the file is larger than %d bytes", maxFile)
		return nil, r.diagnostics()
	}
	return load([]*source{{name: name, bytes: text, json: filepath.Ext(name) == ".json"}}, r, opts)
}
