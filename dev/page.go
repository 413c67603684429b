package dev

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Parse(pageText))

// pageData is what the template gets.
type pageData struct {
	*Report
	Version, Script string
	Nonce           string
	Style           template.CSS
	// Manual says that the page must not be reloaded without asking: the request would be made again.
	Manual bool
	// Wait says that nothing is wrong.
	Wait bool
}

// render makes a page of a report, or plain text for clients that do not ask for a page.
func (f *Front) render(r *http.Request, report *Report, version string) (http.Header, []byte) {
	header := http.Header{}
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if report.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	var b bytes.Buffer
	if !f.local(r) {
		report = &Report{
			Status: report.Status, Title: report.Title, Message: "details are for this machine",
			Hint: "ask for the page by localhost or by an IP address; the terminal has the details, too",
		}
	}
	if !wantsPage(r) {
		header.Set("Content-Type", "text/plain; charset=utf-8")
		b.WriteString(report.Text(false))
	} else {
		nonce := rand.Text()
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; style-src 'nonce-%s'; script-src 'self'; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'", nonce))
		data := pageData{
			Report: report, Version: version, Script: prefix + "reload.js", Nonce: nonce, Style: template.CSS(pageStyle),
			Manual: r.Method != http.MethodGet && r.Method != http.MethodHead, Wait: report.Title == "Building",
		}
		if err := page.Execute(&b, data); err != nil {
			b.WriteString(template.HTMLEscapeString(err.Error())) // a mistake in the template
		}
	}
	header.Set("Content-Length", strconv.Itoa(b.Len()))
	return header, b.Bytes()
}
