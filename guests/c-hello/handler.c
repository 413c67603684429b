/* An http-wasm handler without a C library: less than a kilobyte, and 1 MiB of memory at most. It answers with the request's
 * target, or with its body for POST. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(name) __attribute__((import_module("http_handler"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

enum { response = 1, request = 0 };

IMPORT(get_method) u32 get_method(char *buf, u32 limit);
IMPORT(get_uri) u32 get_uri(char *buf, u32 limit);
IMPORT(set_status_code) void set_status_code(u32 status);
IMPORT(set_header_value) void set_header_value(u32 kind, const char *name, u32 name_len, const char *value, u32 value_len);
IMPORT(read_body) u64 read_body(u32 kind, char *buf, u32 limit); /* the upper half is 1 at the end, the lower one the length */
IMPORT(write_body) void write_body(u32 kind, const char *body, u32 len);

static char buf[8192];

static const char greeting[] = "Hello from C, ", type[] = "Content-Type", plain[] = "text/plain";

EXPORT(handle_request) u64 handle_request(void) {
	u32 n = get_method(buf, sizeof buf);
	set_header_value(response, type, sizeof type - 1, plain, sizeof plain - 1);
	if (n == 4 && buf[0] == 'P' && buf[1] == 'O' && buf[2] == 'S' && buf[3] == 'T') {
		u64 got;
		do {
			got = read_body(request, buf, sizeof buf);
			write_body(response, buf, (u32)got);
		} while (got >> 32 == 0);
		return 0;
	}
	n = get_uri(buf, sizeof buf);
	if (n > sizeof buf) { /* it did not fit, and nothing was written */
		set_status_code(414);
		return 0;
	}
	write_body(response, greeting, sizeof greeting - 1);
	write_body(response, buf, n);
	return 0; /* answered: nothing is passed on */
}

EXPORT(handle_response) void handle_response(u32 ctx, u32 failed) {
	(void)ctx;
	(void)failed;
}
