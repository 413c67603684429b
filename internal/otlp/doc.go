// Package otlp sends spans to an OpenTelemetry collector: OTLP over HTTP in the protocol's JSON encoding. Workers add a span
// for each request that is traced; an Exporter gathers them and sends them from a goroutine of its own, so that no request
// waits for the collector. What cannot be sent is dropped and counted. The package knows nothing of sampling.
//
// Sources: the OpenTelemetry Protocol Specification 1.x (opentelemetry.io/docs/specs/otlp), opentelemetry-proto's
// trace.proto, and the semantic conventions for HTTP server spans, version 1.37.
package otlp
