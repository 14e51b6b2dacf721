package failover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func (d *Daemon) seenFile() string {
	if d.opt.StateDir == "" {
		return ""
	}
	return filepath.Join(d.opt.StateDir, "seen.json")
}

func readSeen(path string) (map[string]Seen, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var seen map[string]Seen
	if err := json.Unmarshal(b, &seen); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return seen, nil
}

// Disk keeps the small files of the state directory.
type Disk interface {
	// WriteFile has content under that name, and on the disk, when it returns.
	WriteFile(name string, content []byte) error
	// Rename gives a file another name, and takes that from whatever has it.
	Rename(from, to string) error
}

// OSDisk is the machine's own disk.
type OSDisk struct{}

// WriteFile implements [Disk].
func (OSDisk) WriteFile(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// Rename implements [Disk].
func (OSDisk) Rename(from, to string) error { return os.Rename(from, to) }

// keepSeen writes what was seen last. A full disk costs only the memory across a restart.
func (d *Daemon) keepSeen(seen map[string]Seen) {
	if d.seenFile() == "" {
		return
	}
	if err := replaceFile(d.opt.Disk, d.seenFile(), encode(seen)); err != nil {
		d.opt.Log.Warn("what was seen last could not be kept", "error", err)
	}
}

// replaceFile replaces a file whole or not at all.
func replaceFile(d Disk, path string, content []byte) error {
	tmp := path + ".new"
	if err := d.WriteFile(tmp, content); err != nil {
		return err
	}
	return d.Rename(tmp, path)
}
