#!/usr/bin/env bash
# Runs the linters; `make lint` says which versions. A linter that the module proxy does not serve is skipped with a line that says so; a finding fails.
set -u
cd "$(dirname "$0")/.." || exit 1
GO=${GO:-go} failed=0

have() { # have TOOL@VERSION: can it be fetched?
	"$GO" list -m "$(module "$1")" >/dev/null 2>&1 && return 0
	echo "lint: skipped: the module proxy does not serve $1"
	return 1
}

module() { # module TOOL@VERSION: the module that holds the tool
	case $1 in
	honnef.co/go/tools/*) echo "honnef.co/go/tools@${1#*@}" ;;
	*) echo "$1" ;;
	esac
}

if have "$GOFUMPT"; then
	unformatted=$(git ls-files '*.go' | xargs "$GO" run "$GOFUMPT" -l)
	[ -z "$unformatted" ] || { echo "lint: gofumpt would change: $unformatted"; failed=1; }
fi
"$GO" vet ./... || failed=1
GOOS=wasip1 GOARCH=wasm "$GO" vet ./guests/kit ./guests/go-hello || failed=1
if have "$STATICCHECK"; then
	"$GO" run "$STATICCHECK" ./... || failed=1
fi
"$GO" mod tidy -diff || failed=1
[ "$failed" = 0 ] && echo "lint: clean"
exit "$failed"
