#!/bin/sh
# Assembles every .wat of the repository into the .wasm beside it, cuts truncated.wasm out of hello.wasm, and makes the
# components of testdata/wasm/component from C.
#
#   build.sh          writes the .wasm files
#   build.sh --check  writes nothing and exits 1 when a .wasm is not what its source gives
#
# It needs wat2wasm, which is in Debian's wabt (scripts/install-test-packages.sh). --check without it is skipped. The
# components need clang 14, wasm-ld, and jco, which is in the npm cache of that script or on the PATH; without them they
# are left as they are.
set -eu

cd "$(dirname "$0")/../.."

case "${1:-}" in
"") check= ;;
--check) check=yes ;;
*)
	echo "usage: build.sh [--check]" >&2
	exit 2
	;;
esac

out=.
if [ -n "$check" ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
fi
failed=

# same DIR says whether every .wasm of a directory is what was built, and the other way round.
same() {
	for committed in "$1"/*.wasm; do
		[ -e "$committed" ] || continue
		if ! cmp -s "$out/$committed" "$committed"; then
			echo "build.sh: $committed is not what its source gives: run testdata/wasm/build.sh" >&2
			failed=yes
		fi
	done
	for built in "$out/$1"/*.wasm; do
		if [ -e "$built" ] && [ ! -e "$1/$(basename "$built")" ]; then
			echo "build.sh: $1/$(basename "$built") is missing: run testdata/wasm/build.sh" >&2
			failed=yes
		fi
	done
}

# Components from C: clang makes a core module, jco puts the interfaces' types and the component's shell around it.
components=testdata/wasm/component
PATH=$PATH:${APPSERVER_TEST_NPM:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/appserver-test/npm}/node_modules/.bin
if command -v jco >/dev/null && command -v wasm-ld >/dev/null && clang --version 2>/dev/null | grep -q 'version 14\.'; then
	work=$(mktemp -d)
	mkdir -p "$out/$components" "$work/wit"
	cat "$components/guest.wit" host/component/wasi/wasi.wit host/component/wasihttp/http.wit >"$work/wit/guest.wit"
	for source in "$components"/*.c; do
		clang --target=wasm32 -nostdlib -O2 -fno-builtin -Wl,--no-entry,--stack-first,-z,stack-size=8192 -o "$work/core.wasm" "$source"
		jco embed --wit "$work/wit" -n guest "$work/core.wasm" -o "$work/embedded.wasm" >/dev/null
		jco new "$work/embedded.wasm" -o "$work/component.wasm" >/dev/null
		cp "$work/component.wasm" "$out/${source%.c}.wasm"
	done
	rm -rf "$work"
	[ -z "$check" ] || same "$components"
else
	echo "skipped: components (clang 14, wasm-ld or jco not installed)"
fi

if ! command -v wat2wasm >/dev/null; then
	if [ -n "$check" ]; then
		echo "skipped: wat2wasm not installed"
		exit 0
	fi
	echo "build.sh: wat2wasm not found: install Debian's package wabt" >&2
	exit 1
fi

# The names of functions stay in, so the stack of a trap can be read.
for dir in testdata/wasm host/*/testdata; do
	mkdir -p "$out/$dir"
	for source in "$dir"/*.wat; do
		[ -e "$source" ] || continue
		wat2wasm --debug-names "$source" -o "$out/${source%.wat}.wasm"
	done
	if [ "$dir" = testdata/wasm ]; then
		hello=$out/$dir/hello.wasm
		head -c "$(($(wc -c <"$hello") / 2))" "$hello" >"$out/$dir/truncated.wasm"
	fi
	[ -n "$check" ] || continue
	same "$dir"
done

if [ -z "$check" ]; then
	exit 0
fi
if [ -n "$failed" ]; then
	exit 1
fi
echo "ok: every .wasm is what its source gives"
