// Command grafana writes the Grafana dashboard of reattach:
//
//	go run ./deployments/grafana > deployments/grafana/dashboards/reattach.json
//
// The file is held against what this prints, against Grafana's published model of
// a dashboard, and every query in it against a real Prometheus that scrapes a real
// daemon. Grafana itself could not be had where this is tested: the dashboard was
// never rendered by our tests, and says so in its own description.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "grafana:", err)
		os.Exit(1)
	}
}

// write prints the dashboard as it is kept in the repository.
func write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(build())
}
