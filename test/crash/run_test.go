package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/reattach/reattach/failover"
	"github.com/reattach/reattach/failover/notify"
)

// heard is one notice as it arrived.
type heard struct {
	Matter string
	failover.Notice
}

// receiver is the one destination of all runs; each has a path of its own.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	heard map[string][]heard
}

func newReceiver() *receiver {
	r := &receiver{heard: map[string][]heard{}}
	r.Server = httptest.NewServer(r)
	return r
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	var doc notify.Document
	if json.NewDecoder(req.Body).Decode(&doc) != nil {
		return // its sender was killed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range doc.Notices {
		r.heard[req.URL.Path] = append(r.heard[req.URL.Path], heard{doc.Matter, n.Notice})
	}
}

// run is one world, and the lives of its observer.
type run struct {
	life
	kills    []place // of the first lives; after them one lives on
	receiver *receiver
}

// outcome is what became of a run.
type outcome struct {
	killed     int       // lives
	places     [][]place // that each life passed
	violations []string
	took       time.Duration
}

// do plays a run to its end.
func (r run) do(ctx context.Context) (out outcome, err error) {
	began := time.Now()
	defer func() { out.took = time.Since(began) }()
	dir, err := os.MkdirTemp("", "crash") // a socket's path is short
	if err != nil {
		return out, err
	}
	r.World = world(dir)
	r.Prefix = "crash/" + filepath.Base(dir) + "/"
	r.Webhook = r.receiver.URL + "/" + filepath.Base(dir)
	if err := r.prepare(ctx); err != nil {
		return out, err
	}
	part, err := r.gather(ctx)
	if err != nil {
		return out, err
	}
	for n := 1; ; n++ {
		r.Number, r.Kill = n, place{}
		if n <= len(r.kills) {
			r.Kill = r.kills[n-1]
		}
		killed, err := r.spawn(ctx)
		out.places = append(out.places, readPlaces(r.placesLog()))
		if ctx.Err() != nil {
			return out, errors.Join(ctx.Err(), part())
		}
		if err != nil {
			out.violations = append(out.violations, err.Error())
			break
		}
		if !killed {
			break
		}
		out.killed++
	}
	if len(r.Observers) > 1 && len(out.violations) == 0 {
		if err := r.awaitTold(ctx); err != nil {
			return out, errors.Join(err, part())
		}
	}
	if err := part(); err != nil {
		out.violations = append(out.violations, err.Error())
	}
	v, err := r.judge(ctx, out.killed)
	if err != nil {
		return out, err
	}
	if out.violations = append(out.violations, v...); len(out.violations) == 0 {
		return out, os.RemoveAll(dir)
	}
	out.violations = append(out.violations, "its directory is kept: "+dir)
	return out, nil
}

// prepare makes the world as it is before the first life.
func (r run) prepare(ctx context.Context) error {
	dirs := []string{"servers", "marks"}
	for _, name := range r.Observers {
		dirs = append(dirs, "state."+name)
	}
	for _, sub := range dirs {
		if err := os.Mkdir(r.World.file(sub), 0o700); err != nil {
			return err
		}
	}
	for _, name := range endpoints {
		if err := r.World.serve(name, "ok"); err != nil {
			return err
		}
	}
	s := stories[r.Story]
	if s.begin != nil {
		if err := s.begin(r.World); err != nil {
			return err
		}
	}
	if s.empty {
		return nil
	}
	store, closeStore, err := r.open()
	if err != nil {
		return err
	}
	shape := s.shape(r.World)
	_, err = insist(ctx, store, []failover.Op{
		{Verb: failover.Set, Key: handleURL, Value: []byte(r.World.value(shape, handleURL, "primary")), Flags: 3},
		{Verb: failover.Set, Key: handleDSN, Value: []byte(r.World.value(shape, handleDSN, "primary")), Flags: 3}})
	return errors.Join(err, closeStore())
}

// insist asks a store until it answers, as a machine that stands still may not. What
// is asked may be done twice.
func insist(ctx context.Context, store failover.Store, ops []failover.Op) (reply failover.Reply, err error) {
	for range 5 {
		if reply, err = store.Txn(ctx, ops); err == nil || ctx.Err() != nil {
			break
		}
	}
	return reply, err
}

// process is a life's process, whose output goes to said.
func (l life) process(ctx context.Context, said *strings.Builder) (*exec.Cmd, error) {
	text, err := json.Marshal(l)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second // for a step that has its output
	return cmd, err
}

// gather starts the other observers, in one process; part ends it. They live as
// long as the run does.
func (r run) gather(ctx context.Context) (part func() error, err error) {
	if len(r.Observers) < 2 {
		return func() error { return nil }, nil
	}
	r.Company = true
	var said strings.Builder
	cmd, err := r.process(ctx, &said)
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel ties its life to the thread that starts it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if started <- err; err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			return fmt.Errorf("the other observers: %w: %s", err, said.String())
		}
		return nil
	}, nil
}

// spawn is one life, in a process of its own.
func (r run) spawn(ctx context.Context) (killed bool, err error) {
	var said strings.Builder
	cmd, err := r.process(ctx, &said)
	if err != nil {
		return false, err
	}
	runtime.LockOSThread() // the kernel ties its life to the thread that starts it
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return false, err
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("life %d: %w: %s", r.Number, err, strings.TrimSpace(said.String()))
	}
	return false, nil
}
