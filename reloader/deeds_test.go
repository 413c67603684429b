package reloader

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// deed is one way to change app.wasm, or the file named by changes.
type deed struct {
	name    string
	globs   []string
	files   []string // default app.wasm
	before  func(d desk)
	do      func(d desk)
	changes []string // default app.wasm
}

var deeds = []deed{
	{name: "write in place", do: func(d desk) { d.write("app.wasm", "2") }},
	{name: "same size, older time stamp, in place", do: func(d desk) { d.write("app.wasm", "2"); d.age("app.wasm") }},
	{name: "rename over", do: func(d desk) { d.write("tmp", "2"); d.rename("tmp", "app.wasm") }},
	{name: "rename an older one over", do: func(d desk) { d.write("tmp", "2"); d.age("tmp"); d.rename("tmp", "app.wasm") }},
	{name: "delete and create", do: func(d desk) { d.remove("app.wasm"); d.write("app.wasm", "2") }},
	{name: "vim", do: func(d desk) {
		d.write("4913", "")
		d.remove("4913")
		d.rename("app.wasm", "app.wasm~")
		d.write("app.wasm", "2")
		d.remove("app.wasm~")
	}},
	{name: "emacs", do: func(d desk) {
		d.link("user@host.1", ".#app.wasm")
		d.write("#app.wasm#", "1 auto-saved")
		d.rename("app.wasm", "app.wasm~")
		d.write("app.wasm", "2")
		d.remove("#app.wasm#")
		d.remove(".#app.wasm")
	}},
	{name: "VS Code", do: func(d desk) {
		f, err := os.OpenFile(d.path("app.wasm"), os.O_WRONLY, 0)
		d.ok(err)
		d.ok(f.Truncate(0))
		_, err = f.WriteString("2")
		d.ok(err)
		d.ok(f.Sync())
		d.ok(f.Close())
	}},
	{name: "byte by byte", do: func(d desk) {
		f, err := os.Create(d.path("app.wasm"))
		d.ok(err)
		for range 2000 {
			_, err := f.WriteString("x")
			d.ok(err)
		}
		d.ok(f.Close())
	}},
	{name: "emptied", do: func(d desk) { d.write("app.wasm", "") }},
	{name: "made only now", before: func(d desk) { d.remove("app.wasm") }, do: func(d desk) { d.write("app.wasm", "2") }},
	{
		name: "made only now, with its directories", files: []string{"build/out/app.wasm"}, changes: []string{"build/out/app.wasm"},
		do: func(d desk) { d.write("build/out/app.wasm", "2") },
	},
	{
		name: "directory deleted and made anew", files: []string{"build/out/app.wasm"}, changes: []string{"build/out/app.wasm"},
		before: func(d desk) { d.write("build/out/app.wasm", "1") },
		do:     func(d desk) { d.remove("build"); d.write("build/out/app.wasm", "2") },
	},
	{
		name: "directory above replaced", files: []string{"build/out/app.wasm"}, changes: []string{"build/out/app.wasm"},
		before: func(d desk) { d.write("build/out/app.wasm", "1") },
		do: func(d desk) {
			d.write("new/out/app.wasm", "2")
			d.rename("build", "old")
			d.rename("new", "build")
		},
	},
	{
		name:   "link turned to another file",
		before: func(d desk) { d.write("v1", "1"); d.write("v2", "2"); d.remove("app.wasm"); d.link("v1", "app.wasm") },
		do:     func(d desk) { d.link("v2", "tmp"); d.rename("tmp", "app.wasm") },
	},
	{
		name: "file behind links changed",
		before: func(d desk) {
			d.write("far/v1", "1")
			d.remove("app.wasm")
			d.link("b", "app.wasm")
			d.link("far/v1", "b")
		},
		do: func(d desk) { d.write("far/v1", "2") },
	},
	{
		name: "ConfigMap", files: []string{"etc/app.wasm"}, changes: []string{"etc/app.wasm"},
		before: func(d desk) {
			d.write("etc/..2026_01/app.wasm", "1")
			d.link("..2026_01", "etc/..data")
			d.link("..data/app.wasm", "etc/app.wasm")
		},
		do: func(d desk) {
			d.write("etc/..2026_02/app.wasm", "2")
			d.link("..2026_02", "etc/..data_tmp")
			d.rename("etc/..data_tmp", "etc/..data")
			d.remove("etc/..2026_01")
		},
	},
	{
		name: "absolute link to a directory", files: []string{"current/app.wasm"}, changes: []string{"current/app.wasm"},
		before: func(d desk) {
			d.write("r1/app.wasm", "1")
			d.write("r2/app.wasm", "2")
			d.link(d.path("r1"), "current")
		},
		do: func(d desk) {
			d.remove("current")
			d.link(d.path("x/../r2"), "current")
			d.ok(os.Mkdir(d.path("x"), 0o755))
		},
	},
	{
		name: "glob: changed, new and gone", globs: []string{"web/*.html"}, changes: []string{"web/a.html", "web/b.html", "web/c.html"},
		before: func(d desk) { d.write("web/a.html", "1"); d.write("web/b.html", "1") },
		do:     func(d desk) { d.write("web/a.html", "2"); d.remove("web/b.html"); d.write("web/c.html", "1") },
	},
	{
		name: "glob of directories", globs: []string{"*/conf/?.[ty]ml"}, changes: []string{"x/conf/a.tml", "y/conf/b.yml"},
		before: func(d desk) { d.write("x/conf/a.tml", "1") },
		do: func(d desk) {
			d.write("x/conf/a.tml", "2")
			d.write("y/conf/b.yml", "1")
			d.write("y/conf/bb.yml", "1")
		},
	},
	{
		name: "tree", globs: []string{"src/**/*.go"}, changes: []string{"src/a.go", "src/n/e/s/t/b.go", "src/old/c.go"},
		before: func(d desk) { d.write("src/a.go", "1"); d.write("src/old/c.go", "1") },
		do: func(d desk) {
			d.write("src/a.go", "2")
			d.write("src/n/e/s/t/b.go", "1")
			d.write("src/.git/d.go", "1")
			d.write("src/n/.swp.go", "1")
			d.remove("src/old")
		},
	},
	{
		name: "glob without wildcards", globs: []string{"data.json"}, changes: []string{"data.json"},
		before: func(d desk) { d.write("data.json", "1") },
		do:     func(d desk) { d.remove("data.json"); d.write("data.json", "2") },
	},
	{
		name: "file with a pattern's name", files: []string{"[a]*.wasm"}, changes: []string{"[a]*.wasm"},
		before: func(d desk) { d.write("[a]*.wasm", "1"); d.write("a.wasm", "1") },
		do:     func(d desk) { d.write("a.wasm", "2"); d.write("[a]*.wasm", "2") },
	},
}

func TestDeeds(t *testing.T) {
	for _, engine := range []Engine{Inotify, Poll} {
		for _, deed := range deeds {
			t.Run(string(engine)+"/"+deed.name, func(t *testing.T) {
				t.Parallel()
				d := desk{t, t.TempDir()}
				files, changes := deed.files, deed.changes
				if files == nil {
					files = []string{"app.wasm"}
				}
				if changes == nil {
					changes = files
				}
				d.write("app.wasm", "1")
				d.write("last", "1")
				if deed.before != nil {
					deed.before(d)
				}
				x := watch(t, engine, d.dir, append(files, "last"), deed.globs, nil)
				deed.do(d)
				x.want(changes...)
				// Once more, on whatever the directories are now; and nothing else was reported in between.
				d.write("last", "2")
				x.wantAmong("last", changes)
			})
		}
	}
}

// wantAmong receives changes until the file was reported. Others may be reported again: a slow machine makes two changes
// of what was meant as one.
func (x *watching) wantAmong(file string, others []string) {
	x.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case c := <-x.w.C():
			for _, f := range c.Files {
				name := strings.TrimPrefix(f, x.dir+"/")
				if name != file && !slices.Contains(others, name) {
					x.t.Fatalf("%s was reported", name)
				}
			}
			if slices.Contains(c.Files, x.dir+"/"+file) {
				return
			}
		case <-deadline:
			x.t.Fatalf("%s was not reported\n%s", file, x.log)
		}
	}
}
