#!/bin/sh
# Installs what the tests talk to the collector with: OpenTelemetry SDKs for Python, Node, Go, Rust and Java, telemetrygen,
# readers of Delta tables (DuckDB, delta-rs, Polars), servers of S3 and of Azure Blob Storage, a driver for Chromium; and, on Debian when root, the
# system's packages chromium, strace (faults of system calls) and prometheus-alertmanager (delivery of alerts). With
# HODOSCOPE_LONG=1 also rotel, schemathesis and an OpenTelemetry Collector, which takes minutes to build.
# Everything else goes to
# ${HODOSCOPE_CACHE:-$HOME/.cache/hodoscope}/tests; nothing is written into the clone. Safe to run again: what
# stands is left alone. A part that cannot be installed is named on stderr and the exit code is 1; the tests of
# that part then say that they were skipped (or fail, with HODOSCOPE_REQUIRE_ALL=1). Parts that are only welcome (the SDKs of
# Go, Rust and Java, telemetrygen, the server of Azure Blob Storage) are named too, but needed only with HODOSCOPE_LONG=1.
#
#   python/          virtual environment with tests/clients/python/requirements.txt
#   open-data/       the same with tests/clients/open-data/requirements.txt
#   s3/              the same with tests/clients/s3/requirements.txt
#   rotel/           the same with tests/clients/rotel/requirements.txt
#   schemathesis/    the same with tests/clients/schemathesis/requirements.txt
#   node/            node_modules of tests/clients/node
#   azure/           node_modules of tests/clients/azure
#   go/              programs of tests/clients/go
#   rust/            the program of tests/clients/rust
#   java/            classes of tests/clients/java and the jars they need
#   otelcol/         the program of tests/clients/otelcol
#   browser/         node_modules of tests/browser
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${HODOSCOPE_CACHE:-$HOME/.cache/hodoscope}/tests
mkdir -p "$cache"
failed=0

welcome=

missing() {
    echo "tests/setup.sh: $1" >&2
    [ -n "$welcome" ] && [ -z "${HODOSCOPE_LONG:-}" ] || failed=1
}

# True when part $1 was installed from exactly the list of versions $2.
stands() {
    [ -f "$cache/$1/installed-from" ] && cmp -s "$2" "$cache/$1/installed-from"
}

is_debian_root() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# Runs a command for at most $1 seconds, and before a long run once more when it fails: registries may be slow.
within() {
    seconds=$1
    shift
    timeout "$seconds" "$@" || { [ -n "${HODOSCOPE_LONG:-}" ] && timeout "$seconds" "$@"; }
}

debian_install() {
    within 120 apt-get update -qq \
        && within 600 env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null
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

# What a part is built from, as one file.
sources() {
    find "$here/clients/$1" -type f | LC_ALL=C sort | xargs cat >"$cache/$1.sources"
    echo "$cache/$1.sources"
}

# $1 part with its go.mod; further: the packages that become programs. No other compiler is fetched, nothing is looked up.
go_part() {
    part=$1
    shift
    list=$(sources "$part")
    stands "$part" "$list" && return
    command -v go >/dev/null || { missing "no go: the live tests of $part need Go 1.26 or newer"; return; }
    rm -rf "${cache:?}/$part"
    mkdir -p "$cache/$part"
    (cd "$here/clients/$part" && within 300 env GOTOOLCHAIN=local GOFLAGS=-buildvcs=false \
        go build -trimpath -o "$cache/$part/" "$@") \
        && cp "$list" "$cache/$part/installed-from" \
        || missing "go could not build tests/clients/$part"
}

# Built apart from the collector: with other features, in a folder of its own. That is thrown away when the program is there; what an
# attempt has compiled before its time was over is there for the next one.
rust_part() {
    list=$(sources rust)
    stands rust "$list" && return
    mkdir -p "$cache/rust"
    rm -f "$cache/rust/installed-from"
    within 420 env -u RUSTFLAGS CARGO_TARGET_DIR="$cache/rust/target" \
        cargo build --quiet --locked --manifest-path "$here/clients/rust/Cargo.toml" \
        && mv "$cache/rust/target/debug/send" "$cache/rust/send" && rm -rf "$cache/rust/target" \
        && cp "$list" "$cache/rust/installed-from" \
        || missing "cargo could not build tests/clients/rust"
}

java_part() {
    list=$(sources java)
    stands java "$list" && return
    command -v javac >/dev/null && command -v mvn >/dev/null || { is_debian_root && debian_install default-jdk-headless maven; }
    command -v javac >/dev/null && command -v mvn >/dev/null || { missing "no javac or mvn: the live test of the Java SDK needs Java 17 and Maven"; return; }
    rm -rf "${cache:?}/java"
    mkdir -p "$cache/java/classes"
    within 150 mvn -q -B -f "$here/clients/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/java/jars" >&2 \
        && javac -encoding UTF-8 -cp "$cache/java/jars/*" -d "$cache/java/classes" "$here/clients/java/Send.java" \
        && cp "$list" "$cache/java/installed-from" \
        || missing "the Java SDK of tests/clients/java could not be installed"
}

# Not called chromium: `command -v` would find the function.
browser_tool() {
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
browser_tool
strace_tool
alertmanager
# The parts from here on are welcome, not needed: when a registry is slow the gate goes on without them. Long runs need them.
welcome=yes
node_modules azure "$here/clients/azure"
go_part go ./send github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen
rust_part
java_part
if [ -n "${HODOSCOPE_LONG:-}" ]; then
    python_part rotel
    python_part schemathesis
    go_part otelcol .
fi
[ $failed = 0 ] && echo "tests/setup.sh: what the tests need stands in $cache"
exit $failed
