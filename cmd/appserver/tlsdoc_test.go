package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands of docs/tls.md do what they say.
func TestTLSDocumentCommands(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "tls.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^\$ (.+)$`).FindAllStringSubmatch(string(text), -1)
	if len(commands) != 2 || !strings.HasPrefix(commands[0][1], "openssl ") || !strings.HasPrefix(commands[1][1], "appserver serve app.wasm ") {
		t.Fatalf("there are other commands than those tried here: %q", commands)
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	make := exec.Command("sh", "-c", commands[0][1])
	make.Dir = dir
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	args := strings.Fields(commands[1][1])[3:] // behind the guest
	for i, arg := range args {
		switch {
		case strings.HasSuffix(arg, ".pem"):
			args[i] = filepath.Join(dir, arg)
		case arg == "127.0.0.1:8443":
			args[i] = "127.0.0.1:0"
		}
	}
	s := start(t, append([]string{wasm("hello")}, args...)...)
	pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := h2Client(t, &tls.Config{RootCAs: roots, InsecureSkipVerify: true}) // the certificate names no address
	if body, err := fetch(client, "https://"+s.addr+"/"); err != nil || !strings.Contains(body, "Hello") {
		t.Errorf("%q %v", body, err)
	}
	s.stop()
}

// The settings of docs/tls.md are some that load, with files that are there.
func TestTLSDocumentSettings(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "tls.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		file := filepath.Join(t.TempDir(), "appserver.toml")
		if err := os.WriteFile(file, []byte(block[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := command("config", "print", "-c", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s in\n%s", err, out, block[1])
		}
	}
}
