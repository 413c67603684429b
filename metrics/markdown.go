package metrics

import (
	"fmt"
	"strings"
)

const markdownHead = "# Metrics and probes\n\n" +
	"<!-- Generated from the families in package metrics. Change them there and run: make generate -->\n\n" +
	"`metrics_bind` opens a listener for monitoring, apart from the public ones and without TLS or a password: let only\n" +
	"monitoring reach it. The arbiter's process answers on it, whatever its workers are at.\n\n" +
	"```console\n" +
	"$ appserver serve testdata/wasm/hello.wasm --metrics-bind 127.0.0.1:9100\n" +
	"```\n" +
	"```console\n" +
	"$ curl http://127.0.0.1:9100/readyz\n" +
	"ok\n" +
	"$ curl http://127.0.0.1:9100/metrics\n" +
	"```\n\n" +
	"| path | what it tells |\n|---|---|\n" +
	"| `/metrics` | everything below, in Prometheus' text format |\n" +
	"| `/livez` | 200 while the arbiter's loop comes round. When it does not, restart the server |\n" +
	"| `/readyz` | 200 while connections should be sent here: `min_ready` workers were ready, one still is, and the server is not " +
	"going down. Else 503 and the reason. A reload does not change it |\n\n" +
	"## Prometheus\n\n" +
	"```yaml\nscrape_configs:\n  - job_name: appserver\n    static_configs:\n      - targets: [\"127.0.0.1:9100\"]\n```\n\n" +
	"Useful expressions: `sum(rate(appserver_requests_total{class=\"5xx\"}[5m])) / sum(rate(appserver_requests_total[5m]))`,\n" +
	"`histogram_quantile(0.99, sum by (le) (rate(appserver_request_duration_seconds_bucket[5m])))`,\n" +
	"`appserver_requests_in_flight / appserver_slots` for saturation, and `increase(appserver_worker_exits_total{reason=~\"crash|timeout|worker_timeout|out_of_memory\"}[1h]) > 0` to be woken by.\n\n" +
	"## Kubernetes\n\n" +
	"With `metrics_bind = \"0.0.0.0:9100\"`:\n\n" +
	"```yaml\nports:\n  - {name: http, containerPort: 8000}\n  - {name: metrics, containerPort: 9100}\n" +
	"livenessProbe:\n  httpGet: {path: /livez, port: metrics}\nreadinessProbe:\n  httpGet: {path: /readyz, port: metrics}\n" +
	"startupProbe:\n  httpGet: {path: /readyz, port: metrics}\n  failureThreshold: 60\n  periodSeconds: 1\n```\n\n" +
	"## What is exact\n\n" +
	"Workers count in memory that they share with the arbiter, which keeps what a worker has counted when that is gone: counters\n" +
	"do not go down when workers are recycled, reloaded or killed, only when the server is started anew or upgraded: during an upgrade\n" +
	"the old arbiter answers until it is gone, and then the new one with its own figures. A request is counted when\n" +
	"its response has been handed to the kernel. Every request is in `appserver_requests_total` or, if its worker died under it, in\n" +
	"`appserver_requests_lost_total`. The number of durations is that of the former without the rejected ones. Figures of\n" +
	"guest instances and of dropped lines are published five times a second, so those of the last moment are missing of a worker that is killed.\n\n" +
	"## statsd\n\n" +
	"`statsd_host`, `statsd_prefix`, `dogstatsd_tags` and `enable_backlog_metric` are gunicorn's, and so are the lines:\n\n" +
	"| line | sent by |\n|---|---|\n" +
	"| `gunicorn.request.duration:1.234\\|ms`, `gunicorn.requests:1\\|c\\|@1.0`, `gunicorn.request.status.200:1\\|c\\|@1.0` | the worker, for each request; " +
	"of one that died with its worker the first two, by the arbiter |\n" +
	"| `gunicorn.workers:2\\|g` | the arbiter: workers that serve, on a change and every ten seconds |\n" +
	"| `gunicorn.log.error:1\\|c\\|@1.0`, `gunicorn.log.warning:1\\|c\\|@1.0` | both, for each log record of the level; there are no others above info |\n" +
	"| `gunicorn.backlog:0\\|h` | the arbiter, every second with `enable_backlog_metric` |\n\n" +
	"Lines wait up to 100 ms to share a datagram, separated by line feeds. A server that is away or slow costs lines, which\n" +
	"`appserver_statsd_lines_dropped_total` counts, and never a request.\n\n" +
	"## Request ids and traces\n\n" +
	"`request_id_header` names the field that carries a request's id from a trusted proxy to the guest, to the client and into the logs.\n" +
	"W3C `traceparent` and `tracestate` fields reach the guest if they are valid and are dropped if not; the JSON access log has the\n" +
	"`trace_id`.\n\n" +
	"With `otel_endpoint` each request that gets past the front end has a span, also one for a static file:\n\n" +
	"```console\n" +
	"$ appserver serve testdata/wasm/hello.wasm --otel-endpoint http://127.0.0.1:4318 --otel-service-name shop --otel-sample-ratio 0.1\n" +
	"```\n\n" +
	"* It is a child of the span in a valid `traceparent`, and recorded if that says so. Else it begins a trace, and `otel_sample_ratio` decides.\n" +
	"* The guest finds it as the parent in its `traceparent`, so what the guest asks of others belongs to the same trace.\n" +
	"* Attributes are those of OpenTelemetry's conventions for HTTP servers, and `appserver.request_id`. Where the guest or the server fails, the\n" +
	"  span's status is an error, with the reason of `appserver_request_failures_total` as `error.type`; a status of 500 or more that the guest\n" +
	"  answered with is an error, too.\n" +
	"* Workers send spans as OTLP over HTTP (JSON), every second or when 256 KiB have gathered, and at their end. Nothing waits for the collector. While it\n" +
	"  is away 4 MiB wait in each worker, and a message is tried five times; what is dropped, `appserver_spans_dropped_total` counts, and the log says\n" +
	"  when that begins and ends. A worker that is killed takes its last second's spans with it, and there is none of a request that died with its worker.\n\n" +
	"## All metrics\n\n| name | kind | labels | what |\n|---|---|---|---|\n"

// Markdown returns docs/metrics.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(markdownHead)
	for _, f := range Families() {
		labels := ""
		if f.Labels != "" {
			labels = fmt.Sprintf("`%s`: %s", strings.ReplaceAll(f.Labels, ", ", "`, `"), f.Values)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, labels, f.Help)
	}
	return b.String()
}
