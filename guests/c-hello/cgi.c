/* A CGI guest: the request is in the environment and on standard input, the response goes to standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* text prints what may come from a client as plain text; there is nothing to escape. */
static void text(const char *name) {
	const char *value = getenv(name);
	printf("%s=%s\n", name, value ? value : "");
}

int main(void) {
	const char *path = getenv("PATH_INFO");
	if (path && strcmp(path, "/echo") == 0) {
		char buf[4096];
		size_t n;
		printf("Content-Type: application/octet-stream\n\n");
		while ((n = fread(buf, 1, sizeof buf, stdin)) > 0)
			fwrite(buf, 1, n, stdout);
		return 0;
	}
	if (path && strcmp(path, "/") != 0) {
		printf("Status: 404 Not Found\nContent-Type: text/plain\n\nnot found\n");
		return 0;
	}
	printf("Content-Type: text/plain\n\nHello from C!\n");
	text("REQUEST_METHOD");
	text("QUERY_STRING");
	return 0;
}
