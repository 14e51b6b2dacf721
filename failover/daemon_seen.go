package failover

import (
	"context"
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

// keepSeen writes down what was seen last.
func (d *Daemon) keepSeen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case seen := <-d.remember:
			d.keep(seen)
		}
	}
}

// keepLast writes down what was still to be kept when everything else had ended.
func (d *Daemon) keepLast() {
	select {
	case seen := <-d.remember:
		d.keep(seen)
	default:
	}
}

// keep writes what was seen. A full disk costs only the memory across a restart.
func (d *Daemon) keep(seen map[string]Seen) {
	if d.seenFile() == "" {
		return
	}
	if err := writeFile(d.seenFile(), encode(seen)); err != nil {
		d.opt.Log.Warn("what was seen last could not be kept", "error", err)
	}
}

// writeFile replaces a file whole or not at all.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
