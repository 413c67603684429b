package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/tetratelabs/wazero"

	"github.com/appserver-go/appserver/internal/fault"
)

// openCache opens the cache of compiled code in dir. Its files are native code with a checksum for accidents only:
// whoever can write there runs code in every worker.
func openCache(dir string) (wazero.CompilationCache, error) {
	const hint = "give another guest.cache_dir (--guest-cache-dir), or unset it to use one of the user's"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(hint, "create the cache directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fault.New(hint, "inspect the cache directory: %w", err)
	}
	if err := checkOwned(dir, info); err != nil {
		return nil, err
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fault.New(hint, "open the cache directory %s: %w", dir, err)
	}
	return cache, nil
}

// cacheFailed reports whether compiling failed because of the cache and not of the module.
func cacheFailed(err error) bool {
	var pathErr *fs.PathError
	return errors.As(err, &pathErr) || strings.Contains(err.Error(), "compilationcache: ")
}

// dropCache makes the engine go on without its cache: a damaged file or a full disk must not keep a guest from
// running. It reports false when the runtime, which is bound to the cache, is in use already.
func (e *Engine) dropCache(ctx context.Context, why error) (bool, error) {
	if e.cache == nil || e.inUse {
		return false, nil
	}
	e.opts.Log.Warn("Cache of compiled code not used; remove the directory if this happens again",
		"dir", e.opts.CacheDir, "error", oneLine(why))
	err := e.closeRuntime(ctx)
	e.cache = nil
	return true, errors.Join(err, e.newRuntime(ctx))
}

// checkOwned reports when someone else than us could put files into the directory.
func checkOwned(dir string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() {
		return fault.New("give each user a cache directory of its own; it holds code that the server runs",
			"the cache directory %s belongs to another user", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fault.New("chmod 700 "+dir, "the cache directory %s can be written to by others (mode %04o)", dir, mode)
	}
	return nil
}
