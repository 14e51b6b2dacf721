package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/reattach/reattach/failover"
)

// Rehearser runs a step of a resource as a dry run.
type Rehearser interface {
	// Rehearse returns once the command has ended, or was killed because its time
	// was over or ctx ended. The successor is to, or the one that would be chosen.
	// The error wraps [failover.ErrNoResource], [failover.ErrNoStep] or
	// [failover.ErrUnderWay].
	Rehearse(ctx context.Context, resource, step, to string) (failover.Rehearsal, error)
}

// stepTime is the longest that a step may take here, whatever its own timeout is.
const stepTime = time.Hour

func (a API) step(w http.ResponseWriter, r *http.Request) {
	rehearsal, err := a.Rehearser.Rehearse(r.Context(), r.PathValue("resource"), r.PathValue("step"), r.FormValue("to"))
	switch {
	case errors.Is(err, failover.ErrNoStep):
		a.refuse(w, http.StatusUnprocessableEntity, err.Error(), "a step is what the configuration has a block for: fence, promote, abort, after")
	case errors.Is(err, failover.ErrUnderWay):
		a.refuse(w, http.StatusConflict, err.Error(), "try again when it is over: reattach explain "+r.PathValue("resource"))
	case err != nil:
		a.fail(w, err)
	default:
		a.write(w, http.StatusOK, rehearsal)
	}
}

// Rehearse has the daemon run a step of a resource as a dry run, and waits for
// its end. With to "" the successor is the endpoint that would be chosen.
func (c *Client) Rehearse(ctx context.Context, resource, step, to string) (failover.Rehearsal, error) {
	path := "/v1/step/" + url.PathEscape(resource) + "/" + url.PathEscape(step)
	if to != "" {
		path += "?to=" + url.QueryEscape(to)
	}
	var out failover.Rehearsal
	code, raw, err := c.ask(ctx, http.MethodPost, path, nil)
	if err != nil {
		return out, err
	}
	if code != http.StatusOK {
		return out, refusal(code, raw)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("not the end of a step: %w", err)
	}
	return out, nil
}
