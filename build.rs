//! Puts the page into the binary: a table of the files of `ui/dist`, which `make ui` builds.
//!
//! | file in `ui/dist`               | becomes                                                   |
//! |---------------------------------|-----------------------------------------------------------|
//! | `index.html`, `NAME-<hash>.EXT` | an entry with content type, tag and bytes                 |
//! | the same with `.gz`, `.br`      | the compressed bytes of that entry                        |
//! | `csp.txt`                       | the `Content-Security-Policy` that fits this `index.html` |
//!
//! Without `ui/dist` one page is embedded that says so and gives the command, so that `cargo build` always works.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let folder = if root.join("ui/dist/index.html").is_file() {
        println!("cargo::rerun-if-changed=ui/dist");
        "ui/dist"
    } else {
        println!("cargo::rerun-if-changed=ui");
        "ui/unbuilt"
    };
    fs::write(out.join("page_files.rs"), table(&root, folder)?)
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

/// The Rust text of the table. Names that begin with a dot are not served.
fn table(root: &Path, folder: &str) -> io::Result<String> {
    let names: BTreeSet<String> = fs::read_dir(root.join(folder))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    let policy = match fs::read_to_string(root.join(folder).join("csp.txt")) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'".to_owned(),
    };
    let mut text = format!("pub(crate) const POLICY: &str = {policy:?};\npub(crate) const FILES: &[File] = &[\n");
    for name in names.iter().filter(|name| is_served(name)) {
        let path = root.join(folder).join(name);
        let compressed = |ending: &str| {
            let twin = format!("{name}.{ending}");
            if names.contains(&twin) { format!("Some({})", included(folder, &twin)) } else { "None".to_owned() }
        };
        writeln!(
            text,
            "    File {{ path: {:?}, content_type: {:?}, tag: {:?}, is_immutable: {}, plain: {}, gzip: {}, brotli: {} }},",
            format!("/{name}"),
            content_type(name),
            format!("W/\"{:016x}\"", hash(&fs::read(&path)?)),
            is_hashed(name),
            included(folder, name),
            compressed("gz"),
            compressed("br"),
        )
        .map_err(io::Error::other)?;
    }
    text.push_str("];\n");
    Ok(text)
}

/// The bytes of a file, found from the root of the package: a clone that shares its build output with another one must
/// not look into that one's folder.
fn included(folder: &str, name: &str) -> String {
    format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))", format!("/{folder}/{name}"))
}

fn is_served(name: &str) -> bool {
    !name.starts_with('.') && name != "csp.txt" && !name.ends_with(".gz") && !name.ends_with(".br")
}

/// True for `NAME-<16 hex digits>.EXT`: other bytes would have another name, so it may be kept for ever.
fn is_hashed(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    stem.rsplit_once('-').is_some_and(|(_, hash)| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

/// Tells versions of a file apart; not for secrets.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
