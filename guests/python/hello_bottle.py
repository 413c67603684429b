"""A small Bottle application."""

import bottle

app = bottle.Bottle()


@app.get("/hello/<name>")
def hello(name):
    return bottle.template("Hello, {{name}}!\n", name=name)


@app.post("/sum")
def total():
    return {"sum": sum(bottle.request.json)}
