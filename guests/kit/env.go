//go:build !wasip1 || cgi || stdio || component

package kit

import (
	"log/slog"
	"os"
)

func config() []byte {
	if s, ok := os.LookupEnv("GUEST_CONFIG"); ok {
		return []byte(s)
	}
	return nil
}

func logHandler() slog.Handler { return slog.NewTextHandler(os.Stderr, nil) }
