"""A small Flask application."""

from flask import Flask, jsonify, render_template_string, request

app = Flask(__name__)

PAGE = """<!doctype html>
<title>{{ name }}</title>
<h1>Hello, {{ name }}!</h1>
<p>This is Flask under CPython, in WebAssembly.</p>
"""

visits = 0


@app.get("/")
def index():
    return render_template_string(PAGE, name=request.args.get("name", "world"))


@app.post("/form")
def form():
    return jsonify(request.form)


@app.get("/visits")
def count():
    global visits
    visits += 1
    return jsonify(visits=visits)


@app.post("/upload")
def upload():
    return jsonify(size=sum(len(part) for part in iter(lambda: request.stream.read(65536), b"")))


@app.get("/lines")
def lines():
    return app.response_class((f"line {n}\n" for n in range(3)), mimetype="text/plain")


@app.get("/fail")
def fail():
    raise RuntimeError("asked to by /fail")
