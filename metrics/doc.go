// Package metrics shows an arbiter's figures to monitoring: /metrics in Prometheus' text format, /livez and /readyz for
// probes, on a listener of its own. It runs in goroutines of the arbiter's process beside the arbiter's loop, which it only
// asks for a copy of the figures. It counts nothing by itself. Command appserver calls it.
package metrics
