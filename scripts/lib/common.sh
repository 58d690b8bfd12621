# What every script here shares. Source it; it sets $top and $cache.

set -eu
export LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd)
cache=${OTELAUTO_CACHE:-${HOME:-/root}/.cache/otelauto}

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Prints a file's lines without comments and blanks.
lines_of() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$1"; }

# Prints twelve hex digits that stand for what is read from stdin.
short_hash() { sha256sum | cut -c1-12; }
