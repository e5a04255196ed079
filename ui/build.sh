#!/usr/bin/env bash
# Builds the page: ui/dist/ with index.html and content-hashed hodoscope-<hash>.{js,wasm,css,svg}, each also as
# .gz and (with node or brotli at hand) .br, plus csp.txt: the Content-Security-Policy that fits this index.html.
#
#   step          tool                                             when it is missing
#   wasm          the pinned toolchain with its wasm target        rustup target add (20 s), then Debian's rustc-web
#   bindings      wasm-bindgen, same version as in Cargo.lock      built into the cache by cargo install
#   shrink        wasm-opt from the npm package binaryen           skipped: the page works, only larger
#   compress      libdeflate-gzip of Debian's libdeflate-tools     gzip -9: a twentieth larger
#                 brotli through node or the brotli tool           .br files are left out
#
# Does nothing when no source changed. Cache: $HODOSCOPE_CACHE, else ~/.cache/hodoscope.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
dist=$root/ui/dist
cache=${HODOSCOPE_CACHE:-$HOME/.cache/hodoscope}/page
target_dir=$cache/target
programs="trail desk watch" # ui/src/bin; a browser loads the one its address asks for
mkdir -p "$cache"

say() { echo "ui: $*" >&2; }

# ---- nothing to do? -------------------------------------------------------------------------------------------
sources=$(find ui/src ui/style ui/index.html ui/boot.js ui/favicon.svg ui/build.sh ui/Cargo.toml query/api storage/model \
    Cargo.toml Cargo.lock rust-toolchain.toml -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
leave_if_fresh() {
    [ "$(cat "$dist/.stamp" 2>/dev/null)" = "$sources" ] || return 0
    say "dist is up to date"
    exit 0
}
leave_if_fresh

# ---- one build at a time on one cache ---------------------------------------------------------------------------
if command -v flock >/dev/null; then
    exec 9>"$cache/lock"
    flock 9
    leave_if_fresh # another build may have made it while this one waited
fi

# ---- wasm -----------------------------------------------------------------------------------------------------
# Prints nothing; sets `wasm_cargo` to the command that builds for wasm.
choose_toolchain() {
    local sysroot
    sysroot=$(rustc --print sysroot 2>/dev/null || true)
    if [ -n "$sysroot" ] && [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown" ]; then
        wasm_cargo=(cargo)
        return
    fi
    if command -v rustup >/dev/null && [ ! -e "$cache/no-rustup-target" ]; then
        say "adding the wasm target with rustup"
        if timeout 20 rustup target add wasm32-unknown-unknown >&2; then
            wasm_cargo=(cargo)
            return
        fi
        touch "$cache/no-rustup-target" # do not wait for the network again on every build
    fi
    if ! debian_toolchain && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing Debian's rustc-web, cargo-web, rust-web-src"
        export DEBIAN_FRONTEND=noninteractive
        apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends rustc-web cargo-web rust-web-src >&2 ||
            { apt-get update >&2 && apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends rustc-web cargo-web rust-web-src >&2; } || true
    fi
    if debian_toolchain; then
        local lld=$sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
        [ -x "$lld" ] || lld=$(find "$sysroot" /usr/lib/rustlib -name rust-lld -type f 2>/dev/null | head -1)
        [ -x "$lld" ] || lld=$(command -v rust-lld wasm-ld-19 wasm-ld 2>/dev/null | head -1)
        # Debian's toolchain carries no std for wasm: it is built from rust-web-src.
        export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$lld
        wasm_cargo=(/usr/bin/cargo -Z build-std=std,panic_abort)
        target_dir=$cache/target-debian
        return
    fi
    rm -f "$cache/no-rustup-target"
    cat >&2 <<'HELP'
ui: the wasm target is missing. One of these adds it:
      rustup target add wasm32-unknown-unknown
      apt-get install rustc-web cargo-web rust-web-src      (Debian, as root)
HELP
    exit 1
}
debian_toolchain() { [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; }

choose_toolchain
# Leptos then builds its views behind one pointer type: a tenth less wasm and a shorter build.
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="--cfg erase_components"
say "compiling with ${wasm_cargo[0]}"
CARGO_TARGET_DIR=$target_dir "${wasm_cargo[@]}" build --locked -p ui --bins --profile page --target wasm32-unknown-unknown >&2
linked=$target_dir/wasm32-unknown-unknown/page
unset RUSTC RUSTC_BOOTSTRAP

# ---- bindings -------------------------------------------------------------------------------------------------
version=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print; exit }' Cargo.lock)
bindgen=$cache/wasm-bindgen-$version/bin/wasm-bindgen
if [ ! -x "$bindgen" ]; then
    say "building wasm-bindgen-cli $version, once"
    (
        cd "$cache" # not in the workspace: its toolchain file and profiles are none of this tool's business
        installer=cargo
        cargo --version >/dev/null 2>&1 || installer=/usr/bin/cargo
        CARGO_TARGET_DIR=$cache/target-bindgen CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=false \
            "$installer" install wasm-bindgen-cli --version "$version" --bin wasm-bindgen --root "$cache/wasm-bindgen-$version" >&2
        rm -rf "$cache/target-bindgen"
    )
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in $programs; do
    "$bindgen" --target web --no-typescript --remove-name-section --remove-producers-section --out-name $program --out-dir "$work" "$linked/$program.wasm"
done

# ---- shrink ---------------------------------------------------------------------------------------------------
wasm_opt=$cache/npm/node_modules/binaryen/bin/wasm-opt
if [ ! -e "$wasm_opt" ] && command -v npm >/dev/null; then
    say "fetching wasm-opt (npm package binaryen)"
    npm install --prefix "$cache/npm" --no-audit --no-fund --loglevel=error binaryen@132 >&2 || true
fi
if [ -e "$wasm_opt" ] && command -v node >/dev/null; then
    # The features rustc uses today, by name: --all-features writes what browsers do not read yet.
    for program in $programs; do
        "$wasm_opt" -Oz --enable-bulk-memory --enable-bulk-memory-opt --enable-multivalue --enable-mutable-globals \
            --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext "$work/${program}_bg.wasm" -o "$work/small.wasm" &&
            mv "$work/small.wasm" "$work/${program}_bg.wasm"
    done
else
    say "without wasm-opt the page is larger"
fi

# ---- assemble -------------------------------------------------------------------------------------------------
out=$work/dist
mkdir "$out"
# Copies a file to hodoscope-<hash>.<extension> and prints that name.
hashed() {
    local name
    name=hodoscope-$(sha256sum "$1" | cut -c1-16).$2
    cp "$1" "$out/$name"
    echo "$name"
}
trail="/$(hashed "$work/trail.js" js) /$(hashed "$work/trail_bg.wasm" wasm)"
desk="/$(hashed "$work/desk.js" js) /$(hashed "$work/desk_bg.wasm" wasm)"
watch="/$(hashed "$work/watch.js" js) /$(hashed "$work/watch_bg.wasm" wasm)"
icon=$(hashed ui/favicon.svg svg)
cat ui/style/tokens.css ui/style/frame.css > "$work/critical.css"
cat ui/style/parts.css ui/style/explore.css ui/style/trace.css ui/style/journey.css ui/style/map.css ui/style/pages.css ui/style/watch.css ui/style/narrow.css > "$work/page.css"
css=$(hashed "$work/page.css" css)
# Comments and line ends go; what is inlined is also what is hashed for the policy.
tr -s '\n ' ' ' < "$work/critical.css" | sed -e 's|/\*[^*]*\*/||g' | tr -d '\n' > "$work/critical.min.css"
# The script that chooses theme and program is part of the page too: one request less before the first paint.
printf '\n' > "$work/boot.min.js"
sed -e 's|^ *//.*$||' -e 's|^ *||' -e '/^$/d' ui/boot.js >> "$work/boot.min.js"
while IFS= read -r line; do
    case $line in
        *@CRITICAL_CSS@*) printf '<style>'; cat "$work/critical.min.css"; printf '</style>\n' ;;
        *@BOOT@*) printf '%s' "${line%%@BOOT@*}"; cat "$work/boot.min.js"; printf '%s\n' "${line#*@BOOT@}" ;;
        *) printf '%s\n' "$line" ;;
    esac
done < ui/index.html |
    sed -e "s|@TRAIL@|$trail|g" -e "s|@DESK@|$desk|g" -e "s|@WATCH@|$watch|g" -e "s|@CSS@|/$css|g" -e "s|@ICON@|/$icon|g" > "$out/index.html"

sha256_base64() { printf '%b' "$(sha256sum "$1" | cut -d' ' -f1 | sed 's/../\\x&/g')" | base64; }
printf "default-src 'none'; script-src 'self' 'sha256-%s' 'wasm-unsafe-eval'; style-src 'self' 'sha256-%s'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\n" \
    "$(sha256_base64 "$work/boot.min.js")" "$(sha256_base64 "$work/critical.min.css")" > "$out/csp.txt"

# ---- compress -------------------------------------------------------------------------------------------------
if ! command -v libdeflate-gzip >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing Debian's libdeflate-tools"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends libdeflate-tools >&2 ||
        { apt-get update -qq >&2 && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends libdeflate-tools >&2; } || true
fi
gzip=(gzip -9 -n)
command -v libdeflate-gzip >/dev/null && gzip=(libdeflate-gzip -12)
for file in "$out"/hodoscope-* "$out/index.html"; do
    "${gzip[@]}" -c "$file" > "$file.gz"
done
if command -v node >/dev/null; then
    node -e '
        const { readFileSync, writeFileSync } = require("fs"), { brotliCompressSync, constants: c } = require("zlib");
        for (const f of process.argv.slice(1)) {
            const data = readFileSync(f);
            writeFileSync(f + ".br", brotliCompressSync(data, { params: { [c.BROTLI_PARAM_QUALITY]: 11, [c.BROTLI_PARAM_SIZE_HINT]: data.length } }));
        }' "$out"/hodoscope-*.{js,wasm,css,svg} "$out/index.html"
elif command -v brotli >/dev/null; then
    brotli -q 11 -k "$out"/hodoscope-*.{js,wasm,css,svg} "$out/index.html"
fi

# ---- size gate: the page's promise is 600 KB of wasm on the wire ----------------------------------------------
size() { echo $(($(stat -c %s "$out/$1.gz") / 1000)); }
sizes="trail $(size "${trail##*/}") KB, desk $(size "${desk##*/}") KB, watch $(size "${watch##*/}") KB"
for wasm in "${trail##*/}" "${desk##*/}" "${watch##*/}"; do
    [ "$(size "$wasm")" -lt 600 ] || { say "wasm gzipped: $sizes; the limit is 600 each (apt-get install libdeflate-tools packs best)"; exit 1; }
done

echo "$sources" > "$out/.stamp"
rm -rf "$dist"
cp -r "$out" "$dist"
say "dist ready, gzipped: $sizes, css $(size "$css") KB"
