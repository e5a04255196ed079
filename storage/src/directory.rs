//! The data directory: whose it is, which format it has, and that nobody else writes to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::checked::Checked;
use crate::disk::{self, Disk, Hold, Placing, TEMPORARY, create_dir_durably, write_durably};
use crate::durable_local::DurableLocal;
use crate::error::{Error, Result};
use crate::paths::{FORMAT_FILE, LOCK_FILE, QUARANTINE_DIR, TENANTS_DIR, WAL_DIR};
use crate::place::{Owned, Place};
use crate::wal::LocalWal;

/// Format of the data directory written by this release.
pub(crate) const FORMAT: u32 = 1;
/// How long to wait for a process that is just leaving the directory.
const LOCK_PATIENCE: Duration = Duration::from_millis(800);
/// Directories between `tenants/` and a segment: tenant, table, day.
const SEGMENT_DEPTH: usize = 3;

/// What stands in the format file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FormatFile {
    pub product: String,
    pub format: u32,
    /// Name of this writer in the table logs.
    pub writer: String,
}

impl FormatFile {
    /// That of new data of this release.
    pub(crate) fn new() -> Self {
        Self { product: "hodoscope".to_owned(), format: FORMAT, writer: uuid::Uuid::now_v7().to_string() }
    }

    /// Reads what stands in the file.
    ///
    /// # Errors
    /// Why this release cannot use the data, and what to do.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let format: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("{FORMAT_FILE} is damaged ({error}); restore it from a backup"))?;
        if format.product != "hodoscope" {
            return Err(format!("it belongs to {}; choose another directory with --data", format.product));
        }
        if format.format > FORMAT {
            return Err(format!(
                "it has format {}, this release knows up to {FORMAT}; run the newer release that wrote it",
                format.format
            ));
        }
        Ok(format)
    }
}

/// Opens or makes the data directory. Looks first and touches nothing that is not ours.
///
/// # Errors
/// [`Error::InUse`] or [`Error::Open`] with what to do.
pub(crate) fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Owned> {
    let refuse = |detail: String| Error::Open { path: root.to_owned(), detail };
    // A relative path has no parent to sync: a power cut would take the name of the directory, with everything.
    let absolute = std::path::absolute(root).map_err(|error| refuse(explain(&error)))?;
    let root = absolute.as_path();
    match disk.metadata(root) {
        Ok(meta) if !meta.is_dir => return Err(refuse("it is a file; choose a directory with --data".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dir_durably(&*disk, root).map_err(|error| refuse(explain(&error)))?;
        }
        Err(error) => return Err(refuse(explain(&error))),
    }
    let known = read_format(&*disk, root).map_err(refuse)?;
    if known.is_none() && has_foreign_files(&*disk, root).map_err(|error| refuse(explain(&error)))? {
        return Err(refuse(
            "it holds files of something else (no hodoscope.json); choose an empty directory with --data".to_owned(),
        ));
    }
    let hold = lock(&*disk, root)?;
    let format = prepare(&*disk, root, known).map_err(|error| refuse(explain(&error)))?;
    Ok(Owned { place: place(disk, root, format.writer, true)?, hold: hold.into() })
}

/// The directory for someone who only looks: no lock, nothing is touched.
///
/// # Errors
/// [`Error::Open`] with what to do.
pub(crate) fn look(disk: Arc<dyn Disk>, root: &Path) -> Result<Place> {
    let refuse = |detail: String| Error::Open { path: root.to_owned(), detail };
    match disk.metadata(root) {
        Ok(meta) if meta.is_dir => {}
        Ok(_) => return Err(refuse("it is a file; choose a directory with --data".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(refuse("it does not exist; choose the collector's directory with --data".to_owned()));
        }
        Err(error) => return Err(refuse(explain(&error))),
    }
    let format = read_format(&*disk, root).map_err(refuse)?;
    let format = format.ok_or_else(|| {
        refuse("it is no data directory (no hodoscope.json); choose the collector's with --data".to_owned())
    })?;
    place(disk, root, format.writer, false)
}

/// The directory as a place, for someone who may write there or only looks.
fn place(disk: Arc<dyn Disk>, root: &Path, writer: String, may_write: bool) -> Result<Place> {
    let refuse = |detail: String| Error::Open { path: root.to_owned(), detail };
    // Table logs know the true path: everybody must come to the same names, as names are what is remembered in doubt.
    let dir = std::path::absolute(root).and_then(|absolute| disk.resolve(&absolute));
    let dir = dir.map_err(|error| refuse(explain(&error)))?;
    let url = disk.url(&dir).map_err(|error| refuse(explain(&error)))?;
    let files = DurableLocal::new(Arc::clone(&disk), &dir);
    let checked = Checked::new(Arc::new(files.clone()), may_write);
    let root_store = Checked::new(Arc::new(files.at(Path::new("/"))), may_write);
    Ok(Place {
        name: root.to_owned(),
        writer,
        store: Arc::new(checked.clone()),
        checked,
        root_store: Arc::new(root_store),
        url,
        wal: Arc::new(LocalWal::new(Arc::clone(&disk), &dir)),
        disk: Some((disk, dir)),
        ownership: None,
    })
}

/// The format file; `None` when there is none.
fn read_format(disk: &dyn Disk, root: &Path) -> Result<Option<FormatFile>, String> {
    match disk::read(disk, &root.join(FORMAT_FILE)) {
        Ok(bytes) => FormatFile::parse(&bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(explain(&error)),
    }
}

/// True when the directory holds something although it has no format file yet.
fn has_foreign_files(disk: &dyn Disk, root: &Path) -> io::Result<bool> {
    // What a crash between the first steps of `open` leaves, and what every fresh file system has.
    let is_ours = |name: &str| {
        [LOCK_FILE, WAL_DIR, QUARANTINE_DIR, "lost+found"].contains(&name)
            || (name.starts_with(FORMAT_FILE) && name.ends_with(TEMPORARY))
    };
    for entry in disk.list(root)? {
        let is_empty =
            !entry.metadata.is_dir || entry.name == "lost+found" || disk.list(&root.join(&entry.name))?.is_empty();
        if !is_ours(&entry.name) || !is_empty {
            return Ok(true);
        }
    }
    Ok(false)
}

fn lock(disk: &dyn Disk, root: &Path) -> Result<Box<dyn Hold>> {
    let started = Instant::now();
    loop {
        match disk.lock(&root.join(LOCK_FILE)) {
            Ok(Some(hold)) => return Ok(hold),
            Ok(None) if started.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => return Err(Error::InUse { path: root.to_owned() }),
            Err(error) => return Err(Error::Open { path: root.to_owned(), detail: explain(&error) }),
        }
    }
}

/// Makes the folders and the format file, removes what a crash left half-written; proves that the directory can be
/// written.
fn prepare(disk: &dyn Disk, root: &Path, known: Option<FormatFile>) -> io::Result<FormatFile> {
    create_dir_durably(disk, root)?;
    create_dir_durably(disk, &root.join(WAL_DIR))?;
    create_dir_durably(disk, &root.join(QUARANTINE_DIR))?;
    remove_temporaries(disk, root);
    let format = match known {
        Some(format) => format,
        None => {
            let format = FormatFile::new();
            write_durably(disk, &root.join(FORMAT_FILE), &[&serde_json::to_vec_pretty(&format)?], Placing::Replace)?;
            format
        }
    };
    disk.sync_dir(root)?;
    Ok(format)
}

/// Files that a crash left half-written; their names say so. Nobody else writes here: the lock is held.
fn remove_temporaries(disk: &dyn Disk, root: &Path) {
    let mut dirs: Vec<(PathBuf, usize)> = vec![(root.to_owned(), 0), (root.join(TENANTS_DIR), 0)];
    while let Some((dir, depth)) = dirs.pop() {
        let entries = match disk.list(&dir) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            // Whoever needs what is in there asks again, and patiently.
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "half-written files of former processes cannot be looked for");
                continue;
            }
            Ok(entries) => entries,
        };
        for entry in entries {
            let path = dir.join(&entry.name);
            if entry.metadata.is_dir && dir != root && depth < SEGMENT_DEPTH {
                dirs.push((path, depth + 1));
            } else if !entry.metadata.is_dir && entry.name.ends_with(TEMPORARY) {
                // A leftover that cannot be removed costs its space and nothing else.
                let _ = disk.remove(&path);
            }
        }
    }
}

/// What a person can do about a refusal of the system.
pub(crate) fn explain(error: &io::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::SimulatedDisk;

    /// F8: the default data directory is a relative path. Its own name is made durable with it: before, a power cut ahead of
    /// the first flush took the directory, with everything that was acknowledged.
    #[test]
    fn f08_the_name_of_a_relative_directory_is_durable() {
        let root = &crate::Config::default().data;
        assert!(root.is_relative());
        for seed in 0..40 {
            let disk = SimulatedDisk::new(seed);
            let made = open(Arc::new(disk.clone()), root).expect("it can be made").place;
            let mut file = made.wal.create(1).expect("a WAL file");
            file.append(&mut [io::IoSlice::new(b"acknowledged")]).expect("durable");
            disk.crash();
            let found = open(Arc::new(disk.restart()), root).expect("it can be opened").place;
            assert_eq!(found.writer, made.writer, "seed {seed}: it was made anew");
            assert_eq!(found.wal.list().expect("readable").len(), 1, "seed {seed}");
        }
    }

    /// Table logs resolve links: whoever comes by one sees the names that whoever comes by the other has made.
    #[test]
    fn a_directory_behind_a_link_has_one_path() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let real = std::fs::canonicalize(folder.path()).expect("it exists").join("real");
        std::fs::create_dir(&real).expect("writable");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).expect("writable");
        let place = open(Arc::new(disk::LocalDisk), &link).expect("it can be made").place;
        assert_eq!(place.url.to_file_path().expect("a path"), real);
        assert_eq!(place.disk.map(|(_, dir)| dir), Some(real));
    }
}
