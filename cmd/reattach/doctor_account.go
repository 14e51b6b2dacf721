package main

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/reattach/reattach/configs"
)

// daemonAccount is the account that the package makes, and that the unit names.
const daemonAccount = "reattach"

// Rights, as the last three bits of a mode.
const (
	mayRead fs.FileMode = 4
	mayPass fs.FileMode = 1
)

// account is somebody as the file system sees him.
type account struct {
	name string
	uid  uint32
	gids []uint32
}

// findAccount looks an account up by its name.
func findAccount(name string) (account, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, false
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, false
	}
	a := account{name: name, uid: uint32(uid)}
	groups, err := u.GroupIds()
	if err != nil {
		groups = []string{u.Gid}
	}
	for _, g := range groups {
		if gid, err := strconv.ParseUint(g, 10, 32); err == nil {
			a.gids = append(a.gids, uint32(gid))
		}
	}
	return a, true
}

// may reports whether owner, group and mode let the account in. Access lists are
// beyond it: what has one is taken to let it in.
func (a account) may(path string, info fs.FileInfo, right fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || a.uid == 0 {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case st.Uid == a.uid:
		mode >>= 6
	case slices.Contains(a.gids, st.Gid):
		mode >>= 3
	}
	if mode&right == right {
		return true
	}
	n, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

// obstacle returns what keeps the account from reading a file: the file itself, or
// a directory above it or above what it is a link to. Empty: nothing does, or the
// file is not there.
func (a account) obstacle(path string) (at string, info fs.FileInfo) {
	ways := []string{path}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		ways = append(ways, real)
	}
	for _, way := range ways {
		for _, dir := range above(way) {
			if info, err := os.Stat(dir); err == nil && !a.may(dir, info, mayPass) {
				return dir, info
			}
		}
	}
	if info, err := os.Stat(path); err == nil && !a.may(path, info, mayRead) {
		return path, info
	}
	return "", nil
}

// above lists the directories above an absolute path, the root first.
func above(path string) (dirs []string) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == filepath.Dir(dir) {
			slices.Reverse(dirs)
			return dirs
		}
	}
}

// readable says which files the daemon's account could not read, though root, who
// asks, can: the daemon would end at its next start. Whoever is not root, or has no
// such account, is told by the configuration itself.
func (x *examination) readable(name string, conf *configs.Config, paths []string) {
	x.group = groupHost
	if name == "" || os.Geteuid() != 0 {
		return
	}
	if a, ok := findAccount(name); ok {
		x.readableBy(a, slices.Concat(configFiles(paths), namedFiles(conf)))
	}
}

func (x *examination) readableBy(a account, files []string) {
	denied := 0
	for _, path := range files {
		at, info := a.obstacle(path)
		switch {
		case at == "":
			continue
		case at == path:
			x.fail("chown root:"+a.name+" "+shellWord(path)+" && chmod 0640 "+shellWord(path),
				"the daemon's account %s may not read %s (%v)", a.name, path, info.Mode())
		case at == defaultConfig || strings.HasPrefix(at, defaultConfig+"/"):
			x.fail("chown root:"+a.name+" "+shellWord(at)+" && chmod 0750 "+shellWord(at),
				"the daemon's account %s may not read %s: it may not enter %s (%v)", a.name, path, at, info.Mode())
		default:
			x.fail("install -o root -g "+a.name+" -m 0640 "+shellWord(path)+" "+defaultConfig+"/\nand name it there in the configuration",
				"the daemon's account %s may not read %s: it may not enter %s (%v)", a.name, path, at, info.Mode())
		}
		denied++
	}
	if denied == 0 && len(files) > 0 {
		x.ok("the daemon's account %s may read the configuration and the files that it names", a.name)
	}
}

// namedFiles lists the files that a configuration names, each once: those that its
// secrets are read from, and those of TLS.
func namedFiles(conf *configs.Config) (all []string) {
	add := func(files ...string) {
		for _, path := range files {
			if abs, err := filepath.Abs(path); path != "" && err == nil && !slices.Contains(all, abs) {
				all = append(all, abs)
			}
		}
	}
	for _, f := range conf.Files {
		add(f.Path)
	}
	c := conf.Store.Consul.TLS
	add(c.CAFile, c.CertFile, c.KeyFile)
	for _, n := range conf.Notifiers {
		add(n.TLS.CAFile, n.TLS.CertFile, n.TLS.KeyFile)
	}
	for _, r := range conf.Resources {
		for _, e := range r.Endpoints {
			add(e.Target.TLS.CAFile, e.Target.TLS.CertFile, e.Target.TLS.KeyFile)
		}
	}
	return all
}

// configFiles lists the files that a configuration is written in.
func configFiles(paths []string) (all []string) {
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			files = nil
			for _, pattern := range []string{"*.hcl", "*.json"} {
				more, err := filepath.Glob(filepath.Join(path, pattern))
				if err == nil {
					files = append(files, more...)
				}
			}
		}
		for _, file := range files {
			if abs, err := filepath.Abs(file); err == nil {
				all = append(all, abs)
			}
		}
	}
	return all
}
