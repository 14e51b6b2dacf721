// Package httpapi is the daemon's face: JSON over HTTP, a status page, metrics
// and health, and the client that the command line speaks with.
//
// There are two doors. The unix socket, mode 0600, takes everything, commands
// included: who may open it may command. The TCP address only answers
// questions. Neither ever shows a secret: URLs mask themselves, and a handle's
// value is not part of any answer.
//
//	GET  /                       status page
//	GET  /v1/status              failover.Status; ?resource=NAME for one
//	GET  /v1/explain/{resource}  failover.Explanation
//	GET  /v1/history[/{resource}] []failover.Record, newest first
//	GET  /v1/events              []failover.Told, oldest first; ?after=NUMBER for what is newer (without: the
//	                             newest), &resource=NAME, &limit=N, &wait=30s to wait for the first of them
//	POST /v1/command             failover.Command -> failover.Answer (socket only)
//	POST /v1/notify/{notifier}   a test notice -> failover.Answer (socket only)
//	POST /v1/step/{resource}/{step}  a dry run -> failover.Rehearsal; ?to=ENDPOINT (socket only)
//	GET  /v1/kv/…                the store's own reading door, where there is one
//	GET  /metrics                Prometheus
//	GET  /-/healthy, /-/ready    200, or 503 with the reason
//	GET  /debug/pprof/…          profiles (socket only, and only when asked for)
//
// An error is {"error": …, "hint": …} with a fitting status code. Every answer
// but a blocking query of /v1/kv/ is bounded in time, every request in size.
// The package starts no goroutine of its own: [Serve] blocks.
package httpapi
