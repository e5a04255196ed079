//! Copies of a table log's files, each with a checksum: `_log_copy/` beside `_delta_log/`.
//!
//! ```text
//! the file's bytes   CRC32C of them   HLC1
//!                    u32, LE          4
//! ```
//!
//! A commit is a line of JSON without a checksum, and whoever loses it loses a table. Here each is there twice, and the copy
//! says what is right.
//!
//! A start makes both sides the same again. Only what opening the table needs is done before it opens: lost files are
//! restored from the newest checkpoint on ([`settle`]). Everything else, above all copies of commits that an older release
//! wrote without any, comes behind an open ingest ([`settle_later`]). [`plan`] is pure and decides which is which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, Result};

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

/// Times that something is read which the store did not give.
const READ_ATTEMPTS: u32 = 3;
/// Pause between them.
const READ_PAUSE: Duration = Duration::from_millis(20);

/// What [`settle`] did, and what it left.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Files of the log that were lost or cut, written again from their copies.
    pub restored: usize,
    /// Files that got a copy: they had none, or a damaged one.
    pub copied: usize,
    /// A commit newer than every file of the log was lost, and its copy does not give it back: the table would open as it
    /// was before that.
    pub is_behind: bool,
    /// Why a file was not restored from its copy, which may be whole: nothing is proven about a log that does not open without
    /// it.
    pub refused: Option<Error>,
    /// What opening the table does not need.
    pub later: Vec<Step>,
}

/// Something to do to a file of a log, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Lost, or of another size than its copy says.
    Restore(String),
    /// Without a copy.
    Copy(String),
}

/// Names and sizes of the files in a directory.
type Sizes = BTreeMap<String, u64>;

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

/// True for bytes that a file of a log with this name can have: one that was cut, or never written, cannot. Flipped bits are
/// not seen.
pub(crate) fn is_plausible(name: &str, bytes: &[u8]) -> bool {
    if name.ends_with(".parquet") {
        return bytes.len() >= 12 && bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1");
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok())
}

/// Version of a commit or checkpoint.
fn version(name: &str) -> Option<u64> {
    name.get(..VERSION_DIGITS)?.parse().ok()
}

/// What has to be done before the table is opened, and what can be done later.
fn plan(files: &Sizes, copies: &Sizes) -> (Vec<Step>, Vec<Step>) {
    let names: BTreeSet<&String> = files.keys().chain(copies.keys()).collect();
    let checkpoints = names.iter().filter(|name| name.ends_with(".parquet"));
    let newest_checkpoint = checkpoints.filter_map(|name| version(name)).max().unwrap_or_default();
    let steps = names.into_iter().filter_map(|name| match (files.get(name), copies.get(name)) {
        (Some(size), Some(copied)) if size.saturating_add(TAIL_BYTES) == *copied => None,
        (_, Some(_)) => Some(Step::Restore(name.clone())),
        (_, None) => Some(Step::Copy(name.clone())),
    });
    steps.partition(|step| match step {
        Step::Restore(name) => version(name) >= Some(newest_checkpoint),
        Step::Copy(_) => false,
    })
}

/// Restores what was lost of a table's log, as far as opening it needs it. Only the one who writes may call it.
///
/// # Errors
/// What the store said, when nobody can know what a commit is: the log must not be opened then. Asking again may help.
pub(crate) async fn settle(store: &dyn ObjectStore, table: &Path) -> Result<Settled> {
    let (files, copies) = futures::try_join!(sizes(store, table, LOG_DIR), sizes(store, table, COPY_DIR))?;
    let (now, later) = plan(&files, &copies);
    let mut settled = Settled { later, ..Settled::default() };
    let Missing { lost, refused } = take(store, table, now, &mut settled).await;
    for (name, error) in refused {
        if name.ends_with(".json") {
            return Err(error);
        }
        // A checkpoint is made from commits: one more or less changes nothing, as long as the log opens.
        settled.refused = Some(error);
    }
    let there = files.keys().chain(copies.keys()).filter(|name| !lost.contains(name));
    let newest = there.filter_map(|name| version(name)).max();
    let newest_lost = lost.iter().filter(|name| name.ends_with(".json")).filter_map(|name| version(name)).max();
    // Without any file there is no log, which is noticed too.
    settled.is_behind = newest.is_some() && newest_lost > newest;
    Ok(settled)
}

/// Does what [`settle`] left.
pub(crate) async fn settle_later(store: &dyn ObjectStore, table: &Path, steps: Vec<Step>) -> Settled {
    let mut settled = Settled::default();
    let missing = take(store, table, steps, &mut settled).await;
    settled.refused = missing.refused.into_iter().next().map(|(_, error)| error);
    settled
}

/// Files that are not what they should be after all steps, by name.
#[derive(Debug, Default)]
struct Missing {
    /// They are not there, and their copies were read and are damaged.
    lost: Vec<String>,
    /// Lost ones that could not be written again, and lost or cut ones whose copies cannot be read.
    refused: Vec<(String, Error)>,
}

/// Takes steps one by one.
async fn take(store: &dyn ObjectStore, table: &Path, steps: Vec<Step>, settled: &mut Settled) -> Missing {
    let mut missing = Missing::default();
    for step in steps {
        let (Step::Restore(name) | Step::Copy(name)) = &step;
        let file = Path::from(format!("{table}/{LOG_DIR}/{name}"));
        let copy = Path::from(format!("{table}/{COPY_DIR}/{name}"));
        let taken = match &step {
            Step::Restore(name) => restore(store, &file, &copy, name).await,
            Step::Copy(_) => copy_again(store, &file, &copy).await,
        };
        match taken {
            Ok(Taken::Restored) => {
                tracing::error!(%file, "a file of a table log was lost or cut: restored from its copy");
                settled.restored += 1;
            }
            Ok(Taken::Copied) => settled.copied += 1,
            Ok(Taken::Nothing) => {}
            Ok(Taken::Lost) => {
                tracing::error!(%file, "a file of a table log was lost, and its copy is damaged");
                missing.lost.push(name.clone());
            }
            Err(error) => {
                tracing::warn!(%file, %error, "a file of a table log and its copy could not be made the same");
                // With either of both, reading goes on.
                let is_readable = store.head(&file).await.is_ok() && read(store, &copy).await.is_ok();
                if matches!(step, Step::Restore(_)) && !is_readable {
                    missing.refused.push((name.clone(), error));
                }
            }
        }
    }
    missing
}

/// What came of a step.
enum Taken {
    Restored,
    Copied,
    /// Nothing was left to do.
    Nothing,
    /// There is no file, and no copy of use.
    Lost,
}

async fn restore(store: &dyn ObjectStore, file: &Path, copy: &Path, name: &str) -> Result<Taken> {
    let Some(copied) = read(store, copy).await? else { return Ok(Taken::Nothing) };
    let found = read(store, file).await;
    if let Some(whole) = decode(&copied) {
        let mode = match found {
            // The copy alone, or what has another length.
            Ok(None) => PutMode::Create,
            Ok(Some(found)) if found == whole => return Ok(Taken::Nothing),
            Ok(Some(_)) | Err(_) => PutMode::Overwrite,
        };
        return match store.put_opts(file, copied.slice_ref(whole).into(), mode.into()).await {
            Ok(_) => Ok(Taken::Restored),
            Err(Error::AlreadyExists { .. }) => Ok(Taken::Nothing),
            Err(error) => Err(error),
        };
    }
    // A damaged copy says nothing.
    match found? {
        None => Ok(Taken::Lost),
        Some(found) if is_plausible(name, &found) => {
            store.put(copy, encode(&found).into()).await?;
            Ok(Taken::Copied)
        }
        Some(_) => Ok(Taken::Nothing),
    }
}

async fn copy_again(store: &dyn ObjectStore, file: &Path, copy: &Path) -> Result<Taken> {
    let Some(bytes) = read(store, file).await? else { return Ok(Taken::Nothing) };
    store.put(copy, encode(&bytes).into()).await?;
    // The log may have been shortened meanwhile: a copy alone would bring the file back.
    if matches!(store.head(file).await, Err(Error::NotFound { .. })) {
        store.delete(copy).await?;
        return Ok(Taken::Nothing);
    }
    Ok(Taken::Copied)
}

/// A whole object; `None` when there is none.
async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>> {
    match patiently(|| async { store.get(path).await?.bytes().await }).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn sizes(store: &dyn ObjectStore, table: &Path, dir: &str) -> Result<Sizes> {
    let dir = Path::from(format!("{table}/{dir}"));
    let found: Vec<ObjectMeta> = patiently(|| store.list(Some(&dir)).try_collect()).await?;
    let named = found.into_iter().filter_map(|meta| Some((meta.location.filename()?.to_owned(), meta.size)));
    Ok(named.filter(|(name, _)| is_file(name)).collect())
}

/// Asks a few times for what the store does not give. That it is not there is an answer.
async fn patiently<T, Asking: Future<Output = Result<T>>>(ask: impl Fn() -> Asking) -> Result<T> {
    let mut attempt = 1;
    loop {
        match ask().await {
            Err(error) if attempt < READ_ATTEMPTS && !matches!(error, Error::NotFound { .. }) => attempt += 1,
            answer => return answer,
        }
        tokio::time::sleep(READ_PAUSE).await;
    }
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

    /// Only what opening the table needs comes first: lost files from the newest checkpoint on. A release without copies
    /// leaves none, and its hundreds of commits must not keep ingest closed.
    #[test]
    fn d12_only_what_opening_needs_comes_first() {
        let commit = |version: u64| format!("{version:020}.json");
        let checkpoint = |version: u64| format!("{version:020}.checkpoint.parquet");
        let sizes = |names: &[String], size: u64| names.iter().map(|name| (name.clone(), size)).collect::<Sizes>();
        let all: Vec<String> = (0..=250).map(commit).chain([checkpoint(100), checkpoint(200)]).collect();
        let (now, later) = plan(&sizes(&all, 50), &Sizes::new());
        assert_eq!((now, later.len()), (vec![], 253), "copies can wait");

        let mut files = sizes(&all, 50);
        files.remove(&commit(17));
        files.insert(commit(230), 20);
        files.remove(&checkpoint(200));
        let (now, later) = plan(&files, &sizes(&all, 58));
        assert_eq!(now, [Step::Restore(checkpoint(200)), Step::Restore(commit(230))]);
        assert_eq!(later, [Step::Restore(commit(17))]);
        assert_eq!(plan(&sizes(&all, 50), &sizes(&all, 58)), (vec![], vec![]));
    }

    #[test]
    fn what_was_cut_is_no_file_of_a_log() {
        let check = |name: &str, bytes: &[u8], is: bool| assert_eq!(is_plausible(name, bytes), is, "{name}");
        check("1.json", b"{\"a\":1}\n{\"b\":[]}\n", true);
        check("1.json", b"{\"a\":1}\n{\"b\":[", false);
        check("1.json", b"", false);
        check("1.json", &[0; 40], false);
        check("1.checkpoint.parquet", b"PAR1....PAR1", true);
        check("1.checkpoint.parquet", b"PAR1....PA", false);
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
