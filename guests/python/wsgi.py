"""Serves a WSGI application (PEP 3333) over standard input and output, as a stdio guest of appserver.

    python.wasm wsgi.py MODULE[:NAME]

MODULE is imported from the current directory or $PYTHONPATH; NAME is the application in it, "application" without one,
or a call without arguments that makes it, such as "create_app()". The application is imported before the first request is
read, so whatever goes wrong at that is found when the server starts.
"""

import importlib
import io
import os
import sys
import traceback
from urllib.parse import unquote_to_bytes

# What a client may leave unread of a body: a server has to skip it, or to hang up.
SKIP = 256 << 10
CHUNK = 64 << 10


class Gone(Exception):
    """There is nobody to answer any more."""


class Body(io.RawIOBase):
    """The body of a request. Reading it ends where it ends, whatever it is asked for."""

    def __init__(self, stream, length):
        self.stream = stream
        self.left = length  # of the body, or of the chunk in hand
        self.chunked = length is None
        self.ended = False
        if self.chunked:
            self.left = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        if self.chunked and self.left == 0 and not self.ended:
            self.next_chunk()
        if self.left == 0 or len(buffer) == 0:
            return 0
        data = self.stream.read1(min(len(buffer), self.left))
        if not data:
            raise Gone
        buffer[: len(data)] = data
        self.left -= len(data)
        if self.chunked and self.left == 0:
            self.stream.readline()
        return len(data)

    def next_chunk(self):
        line = self.stream.readline()
        if not line:
            raise Gone
        self.left = int(line.split(b";", 1)[0], 16)
        if self.left == 0:
            self.ended = True
            while self.stream.readline().strip():
                pass  # trailers, for which WSGI has no place

    def skip(self):
        """Reads what the application has left, and reports whether it was not too much."""
        left = SKIP
        while left > 0:
            data = self.read(min(CHUNK, left))
            if not data:
                return True
            left -= len(data)
        return False


class Response:
    """A response on its way out."""

    HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

    def __init__(self, out, method):
        self.out = out
        self.head_only = method == "HEAD"
        self.status = None
        self.headers = []
        self.sent = False
        self.chunked = False
        self.failed = False

    def start(self, status, headers, exc_info=None):
        if exc_info:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response was called twice")
        self.status, self.headers = status, list(headers)
        return self.write

    def head(self, length):
        if self.status is None:
            raise AssertionError("the application has not called start_response")
        code = int(self.status[:3])
        lines = ["HTTP/1.1 " + self.status]
        known = False
        for name, value in self.headers:
            if name.lower() in self.HOP_BY_HOP:
                continue
            known = known or name.lower() == "content-length"
            lines.append(f"{name}: {value}")
        self.bodyless = self.head_only or code in (204, 304)
        if not known and code not in (204, 304):
            if length is not None:
                lines.append(f"Content-Length: {length}")
            else:
                lines.append("Transfer-Encoding: chunked")
                self.chunked = True
        self.sent = True
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def write(self, data, length=None):
        """Sends a piece of the body; length is that of the whole body, where it is known."""
        piece = b"" if self.sent else self.head(length)
        if data and not self.bodyless:
            piece += b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data
        if piece:
            self.out.write(piece)
            self.out.flush()

    def finish(self):
        self.write(b"", 0)
        if self.chunked and not self.bodyless:
            self.out.write(b"0\r\n\r\n")
            self.out.flush()


def read_head(stream):
    """Returns the request line's parts and the fields, or nothing at the end of the input."""
    line = stream.readline()
    if not line:
        return None
    method, target, protocol = line.decode("latin-1").split()
    fields = []
    while True:
        line = stream.readline().decode("latin-1").rstrip("\r\n")
        if not line:
            return method, target, protocol, fields
        name, value = line.split(":", 1)
        fields.append((name, value.strip()))


def environ_of(method, target, protocol, fields):
    path, _, query = target.partition("?")
    env = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_PROTOCOL": protocol,
        "SERVER_SOFTWARE": "appserver",
        "SERVER_NAME": "localhost",
        "REMOTE_ADDR": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }
    chunked = False
    for name, value in fields:
        key = name.upper().replace("-", "_")
        if key == "TRANSFER_ENCODING":
            chunked = True
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            env[key] = value
        elif "HTTP_" + key in env:
            env["HTTP_" + key] += ("; " if key == "COOKIE" else ", ") + value
        else:
            env["HTTP_" + key] = value
    env["wsgi.url_scheme"] = env.get("HTTP_X_FORWARDED_PROTO", "http")
    env["REMOTE_ADDR"] = env.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", 1)[-1].strip()
    host, _, port = env.get("HTTP_HOST", "localhost").rpartition(":")
    if not host or port.endswith("]"):
        host, port = env.get("HTTP_HOST", "localhost"), ""
    env["SERVER_NAME"] = host
    env["SERVER_PORT"] = port or ("443" if env["wsgi.url_scheme"] == "https" else "80")
    return env, None if chunked else int(env.get("CONTENT_LENGTH") or 0)


class FileWrapper:
    def __init__(self, file, size=CHUNK):
        self.file, self.size = file, size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self):
        return iter(lambda: self.file.read(self.size), b"")


def answer(app, env, response):
    result = app(env, response.start)
    try:
        # The length is known where the body is one piece, which is sent together with the head.
        length = len(result[0]) if isinstance(result, (list, tuple)) and len(result) == 1 else None
        for data in result:
            if data:
                response.write(data, length)
        response.finish()
    finally:
        if hasattr(result, "close"):
            result.close()


def serve_one(app, stream, out):
    """Answers a request and reports whether another can follow."""
    head = read_head(stream)
    if head is None:
        return False
    env, length = environ_of(*head)
    body = Body(stream, length)
    env["wsgi.input"] = io.BufferedReader(body, CHUNK)
    response = Response(out, env["REQUEST_METHOD"])
    try:
        answer(app, env, response)
    except Gone:
        return False
    except Exception:
        traceback.print_exc()
        if response.sent:
            return False  # to hang up is the only way to say so now
        text = b"Internal Server Error\n"
        response.status, response.headers = "500 Internal Server Error", [("Content-Type", "text/plain")]
        response.write(text, len(text))
    return body.skip()


def load(spec):
    module, _, name = spec.partition(":")
    found = importlib.import_module(module)
    call = name.endswith("()")
    for part in (name[:-2] if call else name or "application").split("."):
        found = getattr(found, part)
    return found() if call else found


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python.wasm wsgi.py MODULE[:NAME]")
    stream, out = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what an application prints is for the log
    sys.path.insert(0, os.getcwd())
    app = load(sys.argv[1])
    while serve_one(app, stream, out):
        pass


if __name__ == "__main__":
    main()
