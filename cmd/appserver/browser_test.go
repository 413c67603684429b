package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium, driven over the pipe of its DevTools protocol, where messages of JSON end in zero bytes.
// It is used by one goroutine.
type browser struct {
	t       *testing.T
	to      io.Writer
	from    *bufio.Reader
	n       int
	session string
}

// openBrowser starts Chromium with an empty page.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not on the PATH; scripts/install-test-packages.sh installs it")
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, its, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-dev-shm-usage", "--user-data-dir="+t.TempDir())
	cmd.ExtraFiles = []*os.File{theirs, its}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	its.Close()
	b := &browser{t: t, to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		b.t = t
		_, _ = fmt.Fprint(to, `{"id":0,"method":"Browser.close"}`+"\x00")
		overdue := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer overdue.Stop()
		io.Copy(io.Discard, from) // until it is gone, with all its processes
		cmd.Wait()
		to.Close()
		from.Close()
	})
	if err := from.SetReadDeadline(time.Now().Add(3 * patience)); err != nil {
		t.Fatal(err)
	}
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})
	attached := b.call("Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})
	b.session = fmt.Sprint(attached["sessionId"])
	return b
}

// call makes a call and returns its result.
func (b *browser) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	result, err := b.try(method, params)
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	return result
}

func (b *browser) try(method string, params map[string]any) (map[string]any, error) {
	b.n++
	call := map[string]any{"id": b.n, "method": method, "params": params}
	if b.session != "" {
		call["sessionId"] = b.session
	}
	data, err := json.Marshal(call)
	if err != nil {
		return nil, err
	}
	if _, err := b.to.Write(append(data, 0)); err != nil {
		return nil, err
	}
	for {
		data, err := b.from.ReadBytes(0)
		if err != nil {
			return nil, err
		}
		var answer struct {
			ID     int
			Result map[string]any
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(data[:len(data)-1], &answer); err != nil {
			return nil, err
		}
		switch {
		case answer.ID != b.n: // an event
		case answer.Error != nil:
			return nil, fmt.Errorf("%s", answer.Error.Message)
		default:
			return answer.Result, nil
		}
	}
}

// open loads a page.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url})
}

// eval evaluates an expression whose value is a text in the page. While the page is being replaced there is none.
func (b *browser) eval(expression string) string {
	result, err := b.try("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true})
	if err != nil {
		return ""
	}
	value, _ := result["result"].(map[string]any)
	return fmt.Sprint(value["value"])
}

// await waits until an expression's value has a text in it. Nothing is done to the page meanwhile.
func (b *browser) await(what, expression, text string) {
	b.t.Helper()
	got := ""
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if got = b.eval(expression); strings.Contains(got, text) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s: %s is %q, want %q in it", what, expression, got, text)
		}
	}
}
