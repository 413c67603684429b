// The imports of the components beside it, as the canonical ABI has them: results that do not fit one core value are
// written to where the last parameter points.

typedef unsigned char u8;
typedef unsigned u32;
typedef unsigned long long u64;

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define HTTP "wasi:http/types@0.2.10"
#define STREAMS "wasi:io/streams@0.2.10"

IMPORT(HTTP, "[constructor]fields") u32 fields_new(void);
IMPORT(HTTP, "[method]fields.append") void fields_append(u32, const char *, u32, const char *, u32, void *);
IMPORT(HTTP, "[method]fields.get") void fields_get(u32, const char *, u32, void *);
IMPORT(HTTP, "[resource-drop]fields") void fields_drop(u32);
IMPORT(HTTP, "[method]incoming-request.method") void request_method(u32, void *);
IMPORT(HTTP, "[method]incoming-request.path-with-query") void request_path(u32, void *);
IMPORT(HTTP, "[method]incoming-request.authority") void request_authority(u32, void *);
IMPORT(HTTP, "[method]incoming-request.headers") u32 request_headers(u32);
IMPORT(HTTP, "[method]incoming-request.consume") void request_consume(u32, void *);
IMPORT(HTTP, "[resource-drop]incoming-request") void request_drop(u32);
IMPORT(HTTP, "[method]incoming-body.stream") void body_stream(u32, void *);
IMPORT(HTTP, "[static]incoming-body.finish") u32 body_finish(u32);
IMPORT(HTTP, "[resource-drop]future-trailers") void future_trailers_drop(u32);
IMPORT(HTTP, "[constructor]outgoing-response") u32 response_new(u32);
IMPORT(HTTP, "[method]outgoing-response.set-status-code") u32 response_status(u32, u32);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(u32, void *);
IMPORT(HTTP, "[method]outgoing-body.write") void out_write(u32, void *);
IMPORT(HTTP, "[static]outgoing-body.finish") void out_finish(u32, u32, u32, void *);
IMPORT(HTTP, "[static]response-outparam.set") void outparam_set(u32, u32, u32, u32, u64, u32, u32, u32, u32);
IMPORT(HTTP, "[constructor]outgoing-request") u32 call_new(u32);
IMPORT(HTTP, "[method]outgoing-request.set-method") u32 call_method(u32, u32, u32, u32);
IMPORT(HTTP, "[method]outgoing-request.set-scheme") u32 call_scheme(u32, u32, u32, u32, u32);
IMPORT(HTTP, "[method]outgoing-request.set-authority") u32 call_authority(u32, u32, const char *, u32);
IMPORT(HTTP, "[method]outgoing-request.set-path-with-query") u32 call_path(u32, u32, const char *, u32);
IMPORT(HTTP, "[method]outgoing-request.body") void call_body(u32, void *);
IMPORT("wasi:http/outgoing-handler@0.2.10", "handle") void call_send(u32, u32, u32, void *);
IMPORT(HTTP, "[method]future-incoming-response.subscribe") u32 future_subscribe(u32);
IMPORT(HTTP, "[method]future-incoming-response.get") void future_get(u32, void *);
IMPORT(HTTP, "[resource-drop]future-incoming-response") void future_drop(u32);
IMPORT(HTTP, "[method]incoming-response.status") u32 incoming_status(u32);
IMPORT(HTTP, "[method]incoming-response.consume") void incoming_consume(u32, void *);
IMPORT(HTTP, "[resource-drop]incoming-response") void incoming_drop(u32);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void stream_read(u32, u64, void *);
IMPORT(STREAMS, "[resource-drop]input-stream") void stream_drop(u32);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush") void stream_write(u32, const char *, u32, void *);
IMPORT(STREAMS, "[resource-drop]output-stream") void out_drop(u32);
IMPORT("wasi:io/poll@0.2.10", "[method]pollable.block") void pollable_block(u32);
IMPORT("wasi:io/poll@0.2.10", "[resource-drop]pollable") void pollable_drop(u32);
IMPORT("wasi:clocks/monotonic-clock@0.2.10", "subscribe-duration") u32 subscribe_duration(u64);
IMPORT("wasi:cli/stderr@0.2.10", "get-stderr") u32 get_stderr(void);
IMPORT("wasi:cli/exit@0.2.10", "exit") void cli_exit(u32);

// What the host allocates for a request lives until the next one.
static u8 heap[1 << 17];
static u32 used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
	used = (used + align - 1) & ~(align - 1);
	u8 *p = heap + used;
	used += size;
	if (used > sizeof heap)
		__builtin_trap();
	return p;
}

static u32 len(const char *s) {
	u32 n = 0;
	while (s[n])
		n++;
	return n;
}

static int starts(const char *s, u32 n, const char *with) {
	for (u32 i = 0; with[i]; i++)
		if (i >= n || s[i] != with[i])
			return 0;
	return 1;
}
