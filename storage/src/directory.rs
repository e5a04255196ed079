//! The data directory: whose it is, which format it has, and that nobody else writes to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::paths::{Paths, sync_dir};

/// Format of the data directory written by this release.
const FORMAT: u32 = 1;
/// How long to wait for a process that is just leaving the directory.
const LOCK_PATIENCE: Duration = Duration::from_millis(800);

/// What stands in the format file.
#[derive(Debug, Serialize, Deserialize)]
struct FormatFile {
    product: String,
    format: u32,
    /// Name of this writer in the table logs.
    writer: String,
}

/// A data directory that this process owns. The lock goes with the last clone of `lock`, or with the process.
#[derive(Debug)]
pub(crate) struct Directory {
    pub paths: Paths,
    /// Name of this writer in the table logs.
    pub writer: String,
    /// The lock; whoever still writes holds it.
    pub lock: Arc<File>,
}

/// Opens or makes the data directory. Looks first and touches nothing that is not ours.
///
/// # Errors
/// [`Error::InUse`] or [`Error::Open`] with what to do.
pub(crate) fn open(root: &Path) -> Result<Directory> {
    let refuse = |detail: String| Error::Open { path: root.to_owned(), detail };
    if root.to_str().is_some_and(|text| text.contains("://")) {
        return Err(refuse("only local directories can hold data in this release; give a path".to_owned()));
    }
    let paths = Paths::new(root);
    match std::fs::metadata(root) {
        Ok(meta) if !meta.is_dir() => return Err(refuse("it is a file; choose a directory with --data".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(root).map_err(|error| refuse(explain(&error)))?;
        }
        Err(error) => return Err(refuse(explain(&error))),
    }
    let known = read_format(&paths).map_err(refuse)?;
    if known.is_none() && has_foreign_files(root).map_err(|error| refuse(explain(&error)))? {
        return Err(refuse(
            "it holds files of something else (no hodoscope.json); choose an empty directory with --data".to_owned(),
        ));
    }
    let lock = lock(&paths, root)?;
    let made = prepare(&paths, known).map_err(|error| refuse(explain(&error)))?;
    Ok(Directory { paths, writer: made.writer, lock: Arc::new(lock) })
}

/// The format file; `None` when there is none.
fn read_format(paths: &Paths) -> Result<Option<FormatFile>, String> {
    let text = match std::fs::read_to_string(paths.format_file()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(explain(&error)),
    };
    let format: FormatFile = serde_json::from_str(&text)
        .map_err(|error| format!("hodoscope.json is damaged ({error}); restore it from a backup"))?;
    if format.product != "hodoscope" {
        return Err(format!("it belongs to {}; choose another directory with --data", format.product));
    }
    if format.format > FORMAT {
        return Err(format!(
            "it has format {}, this release knows up to {FORMAT}; run the newer release that wrote it",
            format.format
        ));
    }
    Ok(Some(format))
}

/// True when the directory holds something although it has no format file yet.
fn has_foreign_files(root: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        // What a crash between the first steps of `open` leaves, and what every fresh file system has.
        if !["LOCK", "hodoscope.json.tmp", "lost+found"].iter().any(|ours| name == *ours) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn lock(paths: &Paths, root: &Path) -> Result<File> {
    let refuse = |error: &io::Error| Error::Open { path: root.to_owned(), detail: explain(error) };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(paths.lock_file());
    let file = file.map_err(|error| refuse(&error))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: root.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(refuse(&error)),
        }
    }
}

/// Makes the folders and the format file; proves that the directory can be written.
fn prepare(paths: &Paths, known: Option<FormatFile>) -> io::Result<FormatFile> {
    std::fs::create_dir_all(paths.wal_dir())?;
    std::fs::create_dir_all(paths.quarantine_dir())?;
    let format = match known {
        Some(format) => format,
        None => {
            let writer = uuid::Uuid::now_v7().to_string();
            let format = FormatFile { product: "hodoscope".to_owned(), format: FORMAT, writer };
            let temporary = paths.format_file().with_extension("json.tmp");
            let mut file = File::create(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(&format)?)?;
            file.sync_all()?;
            std::fs::rename(&temporary, paths.format_file())?;
            format
        }
    };
    sync_dir(paths.root())?;
    Ok(format)
}

/// What a person can do about a refusal of the system.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; choose a writable directory with --data".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not write there ({error}); change its owner or choose another directory with --data")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("the disk is full ({error}); free space or choose another directory with --data")
        }
        io::ErrorKind::NotADirectory => {
            format!("part of the path is a file ({error}); choose another directory with --data")
        }
        _ => format!("{error}; choose another directory with --data"),
    }
}
