package dev

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// Report is what went wrong, for people: the page in the browser and the text in the terminal are made of it. It is
// immutable.
type Report struct {
	// Status is the response's, where the report is one.
	Status int
	// Title says in two or three words what happened, Message in a line what it was, and Hint what to do about it.
	Title, Message, Hint string
	// Command is the build command, or empty.
	Command string
	// Place names the line of a source that Source is about; both are empty where none is known.
	Place  string
	Source []Line
	// Parts are the texts that belong to it.
	Parts []Part
	// Request is the request that failed, nil where there was none.
	Request *Request
}

// Part is a text under a heading.
type Part struct {
	Title string
	Lines []Line
}

// Request is a request in a Report.
type Request struct {
	Method, Target, Proto, Host, ID string
	Fields                          []Field
}

// Field is a header field in a Report.
type Field struct{ Name, Value string }

// secret are fields whose values are not shown: pages are shown to others, too.
var secret = []string{"Authorization", "Cookie", "Proxy-Authorization"}

// requestOf describes a request.
func requestOf(r *http.Request, id string) *Request {
	out := &Request{Method: plain(r.Method), Target: plain(r.RequestURI), Proto: r.Proto, Host: plain(r.Host), ID: id}
	for name, values := range r.Header {
		for _, v := range values {
			if slices.Contains(secret, name) {
				v = "(not shown)"
			}
			out.Fields = append(out.Fields, Field{name, plain(v)})
		}
	}
	slices.SortStableFunc(out.Fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// linesOf makes lines without marks.
func linesOf(texts []string) []Line {
	lines := make([]Line, 0, len(texts))
	for _, t := range texts {
		lines = append(lines, Line{Text: plain(t)})
	}
	return lines
}

// buildFailed reports a build that ended with an error.
func buildFailed(p *Project, c *command, b *built) *Report {
	r := &Report{Status: http.StatusInternalServerError, Title: "Build failed", Command: c.String(), Message: plain(b.err.Error())}
	m := mark(b.output, p.Dir, p.roots)
	if m.found {
		r.show(p, m.best)
	}
	if m.about != "" {
		r.Message = m.about
	}
	if len(m.lines) > 0 {
		r.Parts = append(r.Parts, Part{"Compiler", m.lines})
	}
	return r
}

// unbuilt reports a build that there could not be, or that left no module.
func unbuilt(c *command, err error) *Report {
	r := &Report{Status: http.StatusInternalServerError, Title: "Build failed", Message: plain(err.Error()), Hint: fault.Hint(err)}
	if c != nil {
		r.Command = c.String()
	}
	return r
}

// unloaded reports a guest that does not load; printed is what it printed meanwhile.
func unloaded(p *Project, err error, printed []string) *Report {
	r := &Report{Status: http.StatusInternalServerError, Title: "Guest does not load", Hint: fault.Hint(err)}
	first, rest, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	r.Message = plain(first)
	if rest != "" {
		r.Parts = append(r.Parts, Part{"Details", linesOf(strings.Split(rest, "\n"))})
	}
	r.addPrinted(p, printed)
	return r
}

// titles are what to call failures of requests, by the reasons of package exchange.
var titles = map[string]string{
	"trap": "Guest trapped", "exit": "Guest exited", "timeout": "Guest timed out", "response": "Bad response",
	"overload": "Out of capacity", "upstream": "Upstream failed", "killed": "Worker was killed", "internal": "Server error",
}

// requestFailed reports a request that the guest did not answer.
func requestFailed(p *Project, status int, e *entry, req *Request) *Report {
	r := &Report{Status: status, Title: titles[e.reason], Message: plain(e.error), Request: req}
	if r.Title == "" {
		r.Title = "Request failed"
	}
	if e.reason == "timeout" {
		r.Hint = "raise timeout, or find out what the guest was doing: its stack says where it was"
	}
	stack := "WebAssembly stack"
	if i := slices.IndexFunc(e.lines, lastWords.MatchString); i >= 0 && e.stack != "" && e.reason != "timeout" {
		stack += " · " + r.Message
		r.Message = strings.TrimSpace(plain(e.lines[i]))
	}
	r.addPrinted(p, e.lines)
	if e.stack != "" {
		r.Parts = append(r.Parts, Part{stack, stackLines(e.stack)})
	}
	return r
}

// lastWords matches what programs say when they give up: it tells more than how.
var lastWords = regexp.MustCompile(`^(panic: |fatal error: |thread '.*' (\(\d+\) )?panicked at|abort: )`)

// workerLost reports a request whose worker went away without a word.
func workerLost(err error, e *entry, p *Project, req *Request) *Report {
	r := &Report{
		Status: http.StatusBadGateway, Title: "No answer", Message: plain(err.Error()), Request: req,
		Hint: "the terminal may say more",
	}
	r.addPrinted(p, e.lines)
	return r
}

// addPrinted adds what the guest printed, with the source that a stack among it leads to.
func (r *Report) addPrinted(p *Project, printed []string) {
	if len(printed) == 0 {
		return
	}
	m := mark(strings.Join(printed, "\n"), p.Dir, p.roots)
	for i := range m.lines {
		m.lines[i].Marked = m.found && i == m.at // of a stack, the frame that is shown
	}
	if m.found && r.Source == nil {
		r.show(p, m.best)
	}
	r.Parts = append(r.Parts, Part{printedTitle, m.lines})
}

// show adds the source at a place.
func (r *Report) show(p *Project, at place) {
	if r.Source = at.excerpt(); r.Source != nil {
		r.Place = at.name(p.Dir)
	}
}

// foreign matches frames of languages' runtimes and libraries, which are rarely to blame. Compilers write the punctuation
// of names in many ways.
var foreign = regexp.MustCompile(`^\.?(\$\d|\[|_+|[^(]*guests_kit\.|` +
	`(runtime|internal|syscall|reflect|sync|net|log|fmt|errors|os|io|bufio|strings|bytes|time|context|encoding)[._/:]|` +
	`(abort|panic|start|wasm_|wasi_|http_handler|rust_|core::|std::|alloc::|<core|<std|<alloc|~lib))`)

// stackLines marks the innermost frame of a stack that is likely to be the user's.
func stackLines(stack string) []Line {
	lines := linesOf(strings.Split(strings.TrimSpace(stack), "\n"))
	i := slices.IndexFunc(lines, func(l Line) bool { return !foreign.MatchString(l.Text) })
	if i >= 0 {
		lines[i].Marked = true
	}
	return lines
}

// printedTitle is the heading of what the guest printed.
const printedTitle = "Printed by the guest"

// Text is the report for terminals: lines, without colours. It leaves out what the guest printed where the reader has seen
// that already.
func (r *Report) Text(seen bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Title, r.Message)
	if r.Hint != "" {
		fmt.Fprintf(&b, "hint: %s\n", r.Hint)
	}
	if r.Command != "" {
		fmt.Fprintf(&b, "command: %s\n", r.Command)
	}
	if r.Request != nil {
		fmt.Fprintf(&b, "request: %s %s (%s)\n", r.Request.Method, r.Request.Target, r.Request.ID)
	}
	if r.Source != nil {
		fmt.Fprintf(&b, "\n%s\n", r.Place)
		for _, l := range r.Source {
			fmt.Fprintf(&b, "%s %4d  %s\n", pointer(l), l.Number, l.Text)
		}
	}
	for _, p := range r.Parts {
		if seen && p.Title == printedTitle {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", p.Title)
		for _, l := range p.Lines {
			fmt.Fprintf(&b, "%s %s\n", pointer(l), l.Text)
		}
	}
	return plain(b.String())
}

func pointer(l Line) string {
	if l.Marked {
		return ">"
	}
	return " "
}
