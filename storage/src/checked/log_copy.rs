//! Copies of a table log's files, each with a checksum: `_log_copy/` beside `_delta_log/`.
//!
//! ```text
//! the file's bytes   CRC32C of them   HLC1
//!                    u32, LE          4
//! ```
//!
//! A commit is a line of JSON without a checksum, and whoever loses it loses a table. Here each is there twice, and the copy
//! says what is right. Pure, but for [`settle`].

use std::collections::HashMap;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};

/// Where a table's log is.
const LOG_DIR: &str = "_delta_log";
/// Where its copies are.
const COPY_DIR: &str = "_log_copy";
/// Says where the newest checkpoint is; readers do without.
const HINT: &str = "_last_checkpoint";
/// Digits of a version in a name.
const VERSION_DIGITS: usize = 20;
/// Last bytes of a copy.
const MAGIC: &[u8; 4] = b"HLC1";
/// Bytes of a copy beside the file's own.
const TAIL_BYTES: u64 = 8;

/// What [`settle`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Files of the log that were lost or cut, written again from their copies.
    pub restored: usize,
    /// Files that had no copy yet.
    pub copied: usize,
}

/// Where the copy of a file of a table log is; `None` for every other object.
pub(crate) fn copy_of(file: &Path) -> Option<Path> {
    let (dir, name) = file.as_ref().rsplit_once('/')?;
    let table = dir.strip_suffix(LOG_DIR).filter(|table| table.is_empty() || table.ends_with('/'))?;
    (is_file(name) || name == HINT).then(|| Path::from(format!("{table}{COPY_DIR}/{name}")))
}

/// True for what readers do without: better none than a wrong one.
pub(crate) fn is_hint(file: &Path) -> bool {
    file.filename() == Some(HINT)
}

/// Commits and checkpoints, by their names.
fn is_file(name: &str) -> bool {
    let Some((version, kind)) = name.split_at_checked(VERSION_DIGITS) else { return false };
    version.bytes().all(|byte| byte.is_ascii_digit()) && (kind.ends_with(".json") || kind.ends_with(".parquet"))
}

/// A copy of these bytes.
pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(bytes.len() + TAIL_BYTES as usize);
    copy.extend_from_slice(bytes);
    copy.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    copy.extend_from_slice(MAGIC);
    copy
}

/// The bytes that were copied; `None` when the copy is damaged.
pub(crate) fn decode(copy: &[u8]) -> Option<&[u8]> {
    let (bytes, sum) = copy.strip_suffix(MAGIC)?.split_last_chunk::<4>()?;
    (crc32c::crc32c(bytes) == u32::from_le_bytes(*sum)).then_some(bytes)
}

/// Makes a table's log and its copies the same again: what is missing or cut is written from the copy, what has none gets
/// one. Only the one who writes may call it.
///
/// # Errors
/// What the store said; then some files may be settled and others not.
pub(crate) async fn settle(store: &dyn ObjectStore, table: &Path) -> object_store::Result<Settled> {
    let list = async |dir: &str| -> object_store::Result<HashMap<String, ObjectMeta>> {
        let found: Vec<ObjectMeta> = store.list(Some(&Path::from(format!("{table}/{dir}")))).try_collect().await?;
        let named = found.into_iter().filter_map(|meta| Some((meta.location.filename()?.to_owned(), meta)));
        Ok(named.filter(|(name, _)| is_file(name)).collect())
    };
    let (files, copies) = (list(LOG_DIR).await?, list(COPY_DIR).await?);
    let mut settled = Settled::default();
    for (name, copy) in &copies {
        let file = files.get(name);
        if file.is_some_and(|file| file.size.saturating_add(TAIL_BYTES) == copy.size) {
            continue;
        }
        let bytes = store.get(&copy.location).await?.bytes().await?;
        // A damaged copy says nothing.
        let Some(whole) = decode(&bytes) else { continue };
        let mode = if file.is_some() { PutMode::Overwrite } else { PutMode::Create };
        let path = Path::from(format!("{table}/{LOG_DIR}/{name}"));
        match store.put_opts(&path, bytes.slice_ref(whole).into(), mode.into()).await {
            Ok(_) => {
                tracing::error!(%path, "a file of a table log was lost or cut: restored from its copy");
                settled.restored += 1;
            }
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    for (name, file) in files.iter().filter(|(name, _)| !copies.contains_key(*name)) {
        let bytes = store.get(&file.location).await?.bytes().await?;
        store.put(&Path::from(format!("{table}/{COPY_DIR}/{name}")), encode(&bytes).into()).await?;
        settled.copied += 1;
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f05_a_damaged_copy_says_nothing() {
        let copy = encode(br#"{"add":{}}"#);
        assert_eq!(decode(&copy), Some(&br#"{"add":{}}"#[..]));
        for bit in 0..copy.len() * 8 {
            let mut damaged = copy.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
        assert_eq!(decode(b""), None);
    }

    #[test]
    fn only_files_of_a_log_have_copies() {
        let check = |file: &str, copy: Option<&str>| {
            assert_eq!(copy_of(&Path::from(file)).as_ref().map(AsRef::as_ref), copy, "{file}");
        };
        let version = "00000000000000000007";
        check(&format!("t/spans/_delta_log/{version}.json"), Some(&format!("t/spans/_log_copy/{version}.json")));
        check(
            &format!("_delta_log/{version}.checkpoint.parquet"),
            Some(&format!("_log_copy/{version}.checkpoint.parquet")),
        );
        check("t/_delta_log/_last_checkpoint", Some("t/_log_copy/_last_checkpoint"));
        check(&format!("t/_delta_log/{version}.json.tmp"), None);
        check(&format!("t/my_delta_log/{version}.json"), None);
        check("t/_delta_log/7.json", None);
        check("t/spans/date=2026-11-20/a.parquet", None);
    }
}
