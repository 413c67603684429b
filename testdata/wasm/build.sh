#!/bin/sh
# Assembles every .wat of the repository into the .wasm beside it and cuts truncated.wasm out of hello.wasm.
#
#   build.sh          writes the .wasm files
#   build.sh --check  writes nothing and exits 1 when a .wasm is not what its source gives
#
# It needs wat2wasm, which is in Debian's wabt (scripts/install-test-packages.sh). --check without it is skipped.
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

if ! command -v wat2wasm >/dev/null; then
	if [ -n "$check" ]; then
		echo "skipped: wat2wasm not installed"
		exit 0
	fi
	echo "build.sh: wat2wasm not found: install Debian's package wabt" >&2
	exit 1
fi

out=.
if [ -n "$check" ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
fi
failed=

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
	for committed in "$dir"/*.wasm; do
		[ -e "$committed" ] || continue
		if ! cmp -s "$out/$committed" "$committed"; then
			echo "build.sh: $committed is not what its source gives: run testdata/wasm/build.sh" >&2
			failed=yes
		fi
	done
	for built in "$out/$dir"/*.wasm; do
		if [ -e "$built" ] && [ ! -e "$dir/$(basename "$built")" ]; then
			echo "build.sh: $dir/$(basename "$built") is missing: run testdata/wasm/build.sh" >&2
			failed=yes
		fi
	done
done

if [ -z "$check" ]; then
	exit 0
fi
if [ -n "$failed" ]; then
	exit 1
fi
echo "ok: every .wasm is what its source gives"
