#!/bin/sh
# Installs the Debian or Ubuntu packages that tests use; CI runs it, and so may you. It needs root or sudo.
#
#   wabt   wat2wasm, for testdata/wasm/build.sh --check
set -eu

packages="wabt"

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
