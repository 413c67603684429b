"""An application for the test of wsgi.py: each path does one thing that PEP 3333 allows, or forbids."""

import io
import sys

closed = 0


class Closing:
    def __iter__(self):
        return iter([b"closed ", str(closed + 1).encode()])

    def close(self):
        global closed
        closed += 1


def pieces(*texts):
    for text in texts:
        yield text.encode()


def broken():
    yield b"x" * 100_000
    raise RuntimeError("broken off")


def application(env, start):
    path = env["PATH_INFO"]
    if path == "/nostart":
        return [b"?"]
    if path == "/late":
        start("200 OK", [])
        try:
            raise ValueError("an error after start_response")
        except ValueError:
            start("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"late"]
    write = start("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    if path == "/environ":
        names = (
            "SCRIPT_NAME PATH_INFO QUERY_STRING SERVER_NAME SERVER_PORT SERVER_PROTOCOL REMOTE_ADDR "
            "wsgi.url_scheme HTTP_X_TWICE"
        )
        return [f"{name}={env[name]!r}\n".encode() for name in names.split()]
    if path == "/write":
        write(b"written, ")
        return [b"then returned"]
    if path == "/generator":
        return pieces("one ", "two ", "three")
    if path == "/closed":
        return Closing()
    if path == "/readlines":
        return [str([line.decode() for line in env["wsgi.input"]]).encode()]
    if path == "/unread":
        return [b"unread"]
    if path == "/file":
        return env["wsgi.file_wrapper"](io.BytesIO(b"of a file"), 4)
    if path == "/breakoff":
        return broken()
    return []
