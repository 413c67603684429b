// The smallest component that answers a request.
#include "wasi.h"

EXPORT("wasi:http/incoming-handler@0.2.10#handle") void handle(u32 request, u32 out) {
	u32 r[16];
	used = 0;
	request_drop(request);
	u32 headers = fields_new();
	fields_append(headers, "content-type", 12, "text/plain", 10, r);
	u32 response = response_new(headers);
	response_body(response, r);
	u32 body = r[1];
	outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
	out_write(body, r);
	u32 stream = r[1];
	stream_write(stream, "Hello from a component!\n", 24, r);
	out_drop(stream);
	out_finish(body, 0, 0, r);
}
