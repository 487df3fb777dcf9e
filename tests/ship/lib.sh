# What the tests of this directory share; to be sourced from the top of the repository, under `set -euo pipefail`.

PATH="$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin:/usr/sbin:/sbin"
me=tests/ship/$(basename "$0")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# Of one run; whoever sources this removes it at the end.
work=

say() {
    echo "$me: $*"
}

fail() {
    echo "$me: FAILED: $*" >&2
    exit 1
}

# need PROGRAM PACKAGE...: each has to be there.
need() {
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || fail "needs $1; run: apt-get install $2"
        shift 2
    done
}

# only_as_root WHY: ends the script, well, for everybody else.
only_as_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    echo "$me: SKIPPED: needs root, $1"
    exit 0
}

make_work() {
    mkdir -p "$target/ship"
    work=$(mktemp -d "$target/ship/$(basename "$0").XXXXXX")
}

# eventually SECONDS WHAT COMMAND...: tries until it succeeds.
eventually() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >"$work/tried" 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not in time: $what: $(tail -n 5 "$work/tried")"
        sleep 0.2
    done
}

# fresh_tree DIRECTORY: a small Debian with systemd. The first is fetched and kept, all are copies of it.
fresh_tree() {
    local kept=$target/ship/debian-bookworm mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
    if [ ! -d "$kept" ]; then
        say "fetching Debian from $mirror"
        rm -rf "$kept.part"
        debootstrap --variant=minbase --include=systemd,systemd-sysv,ca-certificates bookworm "$kept.part" "$mirror" \
            >"$kept.log" 2>&1 || fail "debootstrap: $(tail -n 3 "$kept.log")"
        mv "$kept.part" "$kept"
    fi
    cp -a --reflink=auto "$kept" "$1"
}

# debian_package FILE [VERSION]: the package, with the binary of the dev profile.
debian_package() {
    deploy/package --profile dev --fast --output "$1" ${2:+--deb-version "$2"} >"$1.log" 2>&1 ||
        { cat "$1.log" >&2; fail "cargo deb"; }
}
