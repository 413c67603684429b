package config

// metricsSettings are what monitoring needs.
func metricsSettings() []Setting {
	return []Setting{
		{
			Key: "metrics_bind", Section: SectionMetrics, Kind: String, Reload: Restart,
			Help: "address of /metrics, /livez and /readyz: host:port or unix:path; empty for none",
			Doc: "Prometheus' text format and probes, on an address apart from `bind`, without TLS and without a password: let only " +
				"monitoring reach it. See metrics.md.",
		},
		{
			Key: "statsd_host", Section: SectionMetrics, Kind: String, Reload: Restart,
			Help: "statsd server, host:port or unix://path; empty for none",
			Doc: "UDP, or the datagrams of a unix socket. See metrics.md. Nothing waits for the server; lines that cannot be sent are dropped " +
				"and counted.",
		},
		{
			Key: "statsd_prefix", Section: SectionMetrics, Kind: String, Reload: Restart,
			Help: "what the names that statsd gets begin with",
			Doc:  "A dot is put behind it.",
		},
		{
			Key: "dogstatsd_tags", Section: SectionMetrics, Kind: String, Reload: Restart,
			Help: "tags for each line that statsd gets, in Datadog's form: env:prod,team:web",
		},
		{
			Key: "enable_backlog_metric", Section: SectionMetrics, Kind: Bool, Reload: Restart, Default: "false",
			Help: "tell statsd every second how many connections wait to be accepted",
			Doc:  "Prometheus always gets it.",
		},
		{
			Key: "request_id_header", Section: SectionMetrics, Kind: String, Reload: Workers, Default: "X-Request-Id",
			Help: "header field that carries the request's id, in and out; empty for none",
			Doc: "From a peer that `forwarded_allow_ips` trusts the id is taken, if it is 1 to 64 of the characters `A-Z a-z 0-9 - . _ ~ + / = : @`; " +
				"else one is made. The guest gets it in the field, the client in the response, and it is in the access log as `%({x-request-id}i)s`, in the " +
				"error log, and in what is told of a request whose worker was killed.",
		},
		{
			Key: "otel_endpoint", Section: SectionMetrics, Kind: String, Reload: Workers, Fallback: "OTEL_EXPORTER_OTLP_ENDPOINT",
			Help: "URL of the OpenTelemetry collector that gets spans; empty for none",
			Doc: "Spans go to `/v1/traces` below it, as OTLP over HTTP in JSON, such as to `http://127.0.0.1:4318`; not to the port of " +
				"gRPC. See metrics.md. The environment variable `OTEL_EXPORTER_OTLP_ENDPOINT` replaces the default.",
		},
		{
			Key: "otel_service_name", Section: SectionMetrics, Kind: String, Reload: Workers, Default: "appserver", Fallback: "OTEL_SERVICE_NAME",
			Help: "what the server is called in traces: service.name",
			Doc:  "The environment variable `OTEL_SERVICE_NAME` replaces the default.",
		},
		{
			Key: "otel_sample_ratio", Section: SectionMetrics, Kind: Ratio, Reload: Workers, Default: "1",
			Help: "part of the traces begun here that is recorded, from 0 to 1",
			Doc: "Of a request that comes with a valid `traceparent`, that says whether it is recorded. Which of the others are follows from the " +
				"trace's id, as in OpenTelemetry's TraceIdRatioBased sampler.",
		},
	}
}
