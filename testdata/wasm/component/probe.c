// A component that does what its path says; README.md lists the paths.
#include "wasi.h"

static u32 r[16]; // results
static u32 count;

struct response {
	u32 body, stream;
};

static struct response respond(u32 out, u32 status) {
	struct response p;
	u32 headers = fields_new();
	fields_append(headers, "content-type", 12, "text/plain", 10, r);
	u32 response = response_new(headers);
	response_status(response, status);
	response_body(response, r);
	p.body = r[1];
	outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
	out_write(p.body, r);
	p.stream = r[1];
	return p;
}

static void write(struct response *p, const char *s, u32 n) {
	while (n > 0) {
		u32 part = n > 4096 ? 4096 : n;
		stream_write(p->stream, s, part, r);
		s += part;
		n -= part;
	}
}

static void end(struct response *p) {
	out_drop(p->stream);
	out_finish(p->body, 0, 0, r);
}

static void text(u32 out, const char *s, u32 n) {
	struct response p = respond(out, 200);
	write(&p, s, n);
	end(&p);
}

static void number(u32 out, u32 n) {
	char s[12];
	u32 i = sizeof s;
	s[--i] = '\n';
	do
		s[--i] = '0' + n % 10;
	while (n /= 10);
	text(out, s + i, sizeof s - i);
}

// echo copies the request's body to the response as it comes.
static void echo(u32 request, u32 out) {
	request_consume(request, r);
	u32 body = ((u8 *)r)[0] ? 0 : r[1];
	body_stream(body, r);
	u32 in = r[1];
	struct response p = respond(out, 200);
	for (;;) {
		used = 0;
		stream_read(in, 4096, r);
		if (((u8 *)r)[0])
			break;
		write(&p, (char *)r[1], r[2]);
	}
	stream_drop(in);
	future_trailers_drop(body_finish(body));
	end(&p);
}

// call makes a request of its own, POST https://upstream/call?x, with the body "ping", and answers with what comes back, or
// with the number of the error.
static void call(u32 out) {
	u64 wide[8]; // error codes are aligned to 8
	u8 *result = (u8 *)wide;
	u32 request = call_new(fields_new());
	call_method(request, 2, 0, 0);
	call_scheme(request, 1, 1, 0, 0);
	call_authority(request, 1, "upstream", 8);
	call_path(request, 1, "/call?x", 7);
	call_body(request, r);
	u32 body = r[1];
	out_write(body, r);
	u32 to = r[1];
	call_send(request, 0, 0, wide);
	if (result[0]) {
		number(out, result[8]);
		return;
	}
	u32 future = *(u32 *)(result + 8);
	stream_write(to, "ping", 4, r);
	out_drop(to);
	out_finish(body, 0, 0, wide);
	u32 ready = future_subscribe(future);
	pollable_block(ready);
	pollable_drop(ready);
	future_get(future, wide); // option<result<result<incoming-response, error-code>>>
	if (!result[0] || result[8] || result[16]) {
		number(out, result[24]);
		return;
	}
	u32 response = *(u32 *)(result + 24);
	struct response p = respond(out, incoming_status(response));
	incoming_consume(response, r);
	u32 from = r[1];
	body_stream(from, r);
	u32 in = r[1];
	for (;;) {
		used = 0;
		stream_read(in, 4096, r);
		if (((u8 *)r)[0])
			break;
		write(&p, (char *)r[1], r[2]);
	}
	stream_drop(in);
	future_trailers_drop(body_finish(from));
	incoming_drop(response);
	future_drop(future);
	end(&p);
}

// request tells method, authority and x-test.
static void describe(u32 request, u32 out) {
	struct response p = respond(out, 200);
	request_method(request, r);
	char method = '0' + ((u8 *)r)[0];
	write(&p, &method, 1);
	write(&p, " ", 1);
	request_authority(request, r);
	write(&p, (char *)r[1], r[2]);
	u32 headers = request_headers(request);
	fields_get(headers, "X-Test", 6, r);
	u32 *list = (u32 *)r[0];
	for (u32 n = r[1]; n > 0; n--, list += 2) {
		write(&p, " ", 1);
		write(&p, (char *)list[0], list[1]);
	}
	fields_append(headers, "x", 1, "y", 1, r);
	write(&p, ((u8 *)r)[0] == 1 && ((u8 *)r)[1] == 2 ? " immutable" : " mutable", 10);
	fields_drop(headers);
	write(&p, "\n", 1);
	end(&p);
}

// refused writes what the host says to fields that may not be.
static void refused(u32 out) {
	static const char *const names[] = {"connection", "Host", "bad name", "x"};
	static const char *const values[] = {"close", "a", "b", "c\r\nd: e"};
	char s[4];
	u32 headers = fields_new();
	for (int i = 0; i < 4; i++) {
		fields_append(headers, names[i], len(names[i]), values[i], len(values[i]), r);
		s[i] = ((u8 *)r)[0] ? '0' + ((u8 *)r)[1] : '-';
	}
	text(out, s, 4);
}

EXPORT("wasi:http/incoming-handler@0.2.10#handle") void handle(u32 request, u32 out) {
	used = 0;
	request_path(request, r);
	const char *path = (const char *)r[1];
	u32 n = r[2];
#define IS(s) starts(path, n, s)
	if (IS("/echo")) {
		echo(request, out);
	} else if (IS("/call")) {
		call(out);
	} else if (IS("/count")) {
		number(out, ++count);
	} else if (IS("/request")) {
		describe(request, out);
	} else if (IS("/refused")) {
		refused(out);
	} else if (IS("/spin")) {
		for (volatile u32 i = 0;; i++)
			;
	} else if (IS("/trap")) {
		__builtin_trap();
	} else if (IS("/exit")) {
		cli_exit(1);
	} else if (IS("/sleep")) {
		pollable_block(subscribe_duration(60000000000ull));
	} else if (IS("/late")) {
		struct response p = respond(out, 200);
		write(&p, "whole\n", 6);
		end(&p);
		__builtin_trap();
	} else if (IS("/cut")) {
		struct response p = respond(out, 200);
		write(&p, "part\n", 5);
		__builtin_trap();
	} else if (IS("/unfinished")) {
		struct response p = respond(out, 200);
		out_drop(p.stream);
	} else if (IS("/pause")) {
		struct response p = respond(out, 200);
		write(&p, "one\n", 4);
		u32 pollable = subscribe_duration(200000000ull);
		pollable_block(pollable);
		pollable_drop(pollable);
		write(&p, "two\n", 4);
		end(&p);
	} else if (IS("/big")) {
		struct response p = respond(out, 200);
		for (int i = 0; i < 64; i++)
			write(&p, (char *)heap + 65536, 16384);
		end(&p);
	} else if (IS("/trailers")) {
		struct response p = respond(out, 200);
		write(&p, "body\n", 5);
		out_drop(p.stream);
		u32 trailers = fields_new();
		fields_append(trailers, "x-sum", 5, "42", 2, r);
		out_finish(p.body, 1, trailers, r);
	} else if (IS("/status")) {
		struct response p = respond(out, 101);
		end(&p);
	} else if (IS("/none")) {
		// returns without a response
	} else if (IS("/error")) {
		outparam_set(out, 1, 15, 0, 0, 0, 0, 0, 0); // HTTP-request-denied
	} else if (IS("/print")) {
		stream_write(get_stderr(), "printed\n", 8, r);
		text(out, "ok\n", 3);
	} else if (IS("/handle")) {
		request_drop(request + 100);
	} else if (IS("/double")) {
		text(out, "one\n", 4);
		outparam_set(out, 0, 1, 0, 0, 0, 0, 0, 0);
	} else if (IS("/busy")) {
		struct response p = respond(out, 200);
		write(&p, (char *)heap, 4097);
		stream_write(p.stream, (char *)heap, 4097, r);
	} else if (IS("/leak")) {
		for (int i = 0; i < 100000; i++)
			fields_new();
	} else {
		text(out, "Hello from a component!\n", 24);
	}
}
