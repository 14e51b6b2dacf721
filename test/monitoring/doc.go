// Package monitoring holds deployments/prometheus and deployments/grafana against
// a real daemon, Prometheus and Alertmanager. It has tests only.
package monitoring
