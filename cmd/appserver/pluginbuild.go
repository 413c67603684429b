package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/appserver-go/appserver/host/goplugin"
	"github.com/appserver-go/appserver/internal/fault"
)

func newPluginBuild(p process) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "build ./dir -o app.so",
		Short: "Build a Go plugin that fits this appserver",
		Long: "Build the main package in a directory as a Go plugin, with the toolchain and the flags that this appserver was built\n" +
			"with, and check that it fits. The file appears only when it does. It needs Go and a C compiler.",
		Args: oneArg("./dir -o app.so"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				out = filepath.Base(absolute(args[0])) + ".so"
			}
			if err := buildPlugin(cmd.Context(), p, args[0], out); err != nil {
				return fault.WithCode(fault.Failed, fault.Hint(err), "%w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write; the directory's name with .so without it")
	return cmd
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// buildPlugin builds the package in dir and puts it at out once it is known to fit, in one step, so that a server that
// watches the file never sees half of it.
func buildPlugin(ctx context.Context, p process, dir, out string) error {
	if !goplugin.Supported {
		return goplugin.Unsupported()
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fault.New("name the directory of a main package", "%s is no directory", dir)
	}
	own, err := goplugin.Own()
	if err != nil {
		return err
	}
	environ, err := toolchain(ctx, p.environ, dir, own)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(absolute(out)), ".plugin-build-")
	if err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	defer os.RemoveAll(temp)
	built := filepath.Join(temp, "plugin.so")
	args := append([]string{"build", "-buildmode=plugin", "-o", built}, goplugin.BuildFlags(own)...)
	build := exec.CommandContext(ctx, "go", append(args, ".")...)
	build.Dir, build.Env = dir, environ
	build.Stdout, build.Stderr = p.stderr, p.stderr // the compiler's messages are for whoever runs this
	if err := build.Run(); err != nil {
		return fault.New("see the compiler's messages above", "build %s: %w", dir, err)
	}
	report, err := checkPlugin(built)
	if err != nil {
		return fault.New(misfitHint(report, err), "%s: %w", out, err)
	}
	if err := os.Rename(built, out); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	fmt.Fprintf(p.stdout, "%s fits this appserver: appserver serve %s\n", printable(out), printable(out))
	return nil
}

// misfitHint tells what to do about a plugin that does not fit although toolchain and flags are the same: its
// modules differ, or this appserver was not built as its build information says.
func misfitHint(report *goplugin.Report, err error) string {
	if report == nil {
		return fault.Hint(err)
	}
	if len(report.Fixes) > 1 {
		return "in the plugin's module: " + strings.Join(report.Fixes[:len(report.Fixes)-1], " && ") + ", and build again"
	}
	return "keep to packages of the standard library in what plugin and server share, or compile the handler to WebAssembly (docs/guests.md)"
}

// toolchain finds the Go command that appserver was built with, and returns the environment to run it in.
func toolchain(ctx context.Context, environ []string, dir string, own *goplugin.Build) ([]string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fault.New("install "+own.GoVersion+" from https://go.dev/dl and put it into PATH", "there is no go command in PATH")
	}
	environ = append(append([]string{}, environ...), "CGO_ENABLED=1", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	for _, name := range []string{"GOAMD64", "GOARM64", "GOARM", "GO386", "GOPPC64", "GORISCV64", "GOEXPERIMENT", "GOFIPS140"} {
		if value, known := own.Settings[name]; known {
			environ = append(environ, name+"="+value)
		}
	}
	// The go command knows how to fetch another release of itself; what is no release, it must be already.
	var have string
	for _, choice := range []string{"local", own.GoVersion} {
		env := exec.CommandContext(ctx, "go", "env", "GOVERSION")
		env.Dir, env.Env = dir, append(environ[:len(environ):len(environ)], "GOTOOLCHAIN="+choice)
		out, err := env.Output()
		if err != nil {
			have = failureText(err)
			continue
		}
		if have = strings.TrimSpace(string(out)); have == own.GoVersion {
			return env.Env, nil
		}
	}
	return nil, fault.New("install "+own.GoVersion+" from https://go.dev/dl and put it first in PATH",
		"this appserver was built with %s, and the go command here says: %s", own.GoVersion, have)
}

// failureText is the last thing a command said before it failed.
func failureText(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return lines[len(lines)-1]
	}
	return err.Error()
}
