#!/bin/sh
# Installs the Debian or Ubuntu packages that are missing. Without root or sudo: prints the exact
# command and stops.
set -eu

have_library() { command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$1"; }

missing=""
need() { missing="$missing $1"; }
command -v gcc >/dev/null 2>&1 || need gcc
command -v pkg-config >/dev/null 2>&1 || need pkg-config
[ -e /usr/include/stdio.h ] || need libc6-dev
ls /usr/lib/*/openblas-openmp/libopenblas.so >/dev/null 2>&1 || have_library openblas ||
    need libopenblas-openmp-dev
have_library hdf5-serial || need libhdf5-dev
have_library jansson || need libjansson-dev
have_library yaml-0.1 || need libyaml-dev
have_library libpcre2-8 || need libpcre2-dev
have_library libutf8proc || need libutf8proc-dev
have_library zlib || need zlib1g-dev
[ "$(uname -m)" != x86_64 ] || ls /usr/include/dnnl.h /usr/include/*/dnnl.h 2>/dev/null | grep -q . ||
    need libdnnl-dev
have_library libmicrohttpd || need libmicrohttpd-dev
have_library libedit || need libedit-dev
have_library cmocka || need libcmocka-dev

[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "linnet needs these Debian packages (or what your system calls them):$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo="sudo"
else
    echo "Some packages are missing. Run this as root, then try again:" >&2
    echo "  apt-get update && apt-get install -y$missing" >&2
    exit 1
fi
echo "Installing:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
