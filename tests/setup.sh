#!/bin/sh
# Installs what the tests talk to the collector with: OpenTelemetry SDKs for Python and Node, readers of Delta
# tables (DuckDB, delta-rs, Polars), an S3 server, a driver for Chromium; and, on Debian when root, the system's
# packages chromium, strace (faults of system calls) and prometheus-alertmanager (delivery of alerts).
# Everything else goes to
# ${HODOSCOPE_CACHE:-$HOME/.cache/hodoscope}/tests; nothing is written into the clone. Safe to run again: what
# stands is left alone. A part that cannot be installed is named on stderr and the exit code is 1; the tests of
# that part then say that they were skipped (or fail, with HODOSCOPE_REQUIRE_ALL=1).
#
#   python/          virtual environment with tests/clients/python/requirements.txt
#   open-data/       the same with tests/clients/open-data/requirements.txt
#   s3/              the same with tests/clients/s3/requirements.txt
#   node/            node_modules of tests/clients/node
#   browser/         node_modules of tests/browser
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${HODOSCOPE_CACHE:-$HOME/.cache/hodoscope}/tests
mkdir -p "$cache"
failed=0

missing() {
    echo "tests/setup.sh: $1" >&2
    failed=1
}

# True when part $1 was installed from exactly the list of versions $2.
stands() {
    [ -f "$cache/$1/installed-from" ] && cmp -s "$2" "$cache/$1/installed-from"
}

is_debian_root() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

debian_install() {
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# $1 part: a virtual environment with tests/clients/$1/requirements.txt
python_part() {
    list=$here/clients/$1/requirements.txt
    stands "$1" "$list" && return
    command -v python3 >/dev/null || { is_debian_root && debian_install python3 python3-venv; }
    command -v python3 >/dev/null || { missing "no python3: the live tests of the Python SDK, of open data and of buckets need it"; return; }
    rm -rf "${cache:?}/$1"
    if ! python3 -m venv "$cache/$1" 2>/dev/null; then
        is_debian_root && debian_install python3-venv && python3 -m venv "$cache/$1" \
            || { missing "python3 -m venv does not work; on Debian: apt-get install python3-venv"; return; }
    fi
    "$cache/$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$list" \
        && cp "$list" "$cache/$1/installed-from" \
        || missing "pip could not install $list"
}

# $1 part, $2 folder with package.json and its lock
node_modules() {
    stands "$1" "$2/package-lock.json" && return
    command -v npm >/dev/null || { is_debian_root && debian_install nodejs npm; }
    command -v npm >/dev/null || { missing "no npm: the live tests of the Node SDK and the browser test need Node 18.19 or newer"; return; }
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1"
    cp "$2/package.json" "$2/package-lock.json" "$cache/$1/"
    (cd "$cache/$1" && npm ci --silent --no-audit --no-fund --ignore-scripts) \
        && cp "$2/package-lock.json" "$cache/$1/installed-from" \
        || missing "npm could not install $2/package.json"
}

chromium() {
    command -v "${HODOSCOPE_CHROMIUM:-chromium}" >/dev/null && return
    if is_debian_root; then debian_install chromium && return; fi
    missing "no chromium: the browser test needs it; on Debian: apt-get install chromium, elsewhere set HODOSCOPE_CHROMIUM"
}

# Faults are injected into the calls of the real executable.
strace_tool() {
    command -v strace >/dev/null && return
    if is_debian_root; then debian_install strace && return; fi
    missing "no strace: the tests of faults need it; on Debian: apt-get install strace"
}

# Alerts are delivered to the real thing.
alertmanager() {
    command -v prometheus-alertmanager >/dev/null && return
    if is_debian_root; then debian_install prometheus-alertmanager && return; fi
    missing "no prometheus-alertmanager: the test of alert delivery needs it; on Debian: apt-get install prometheus-alertmanager"
}

python_part python
python_part open-data
python_part s3
node_modules node "$here/clients/node"
node_modules browser "$here/browser"
chromium
strace_tool
alertmanager
[ $failed = 0 ] && echo "tests/setup.sh: everything the tests need stands in $cache"
exit $failed
