//! Files that are read again when they change: keys and certificates.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// What tells versions of a file apart: device and number of the file, its size, and when its content and its owner or mode
/// changed last. A file that becomes readable by `chmod` has changed, too.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// Files, and which versions of them were read.
///
/// A version that could not be read is tried again at every look, because the next attempt may succeed although the file did not
/// change (its other half is still being written, the process has no free file descriptors); it is complained about once.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    read: Vec<Option<Stamp>>,
    failed: Option<Vec<Option<Stamp>>>,
}

impl Watched {
    /// To be made before the first reading: a change in between is then read twice, not missed.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let read = stamps(&paths);
        Self { paths, read, failed: None }
    }

    /// Calls `read` when the files are not those that were read last. `Some` with what it gave, and whether this is news.
    pub(crate) fn look<T>(&mut self, read: impl FnOnce() -> Result<T, String>) -> Option<(Result<T, String>, bool)> {
        let are = stamps(&self.paths);
        if are == self.read && self.failed.is_none() {
            return None;
        }
        let outcome = read();
        let is_news = outcome.is_ok() || self.failed.as_ref() != Some(&are);
        if outcome.is_ok() {
            self.read = are;
            self.failed = None;
        } else {
            self.failed = Some(are);
        }
        Some((outcome, is_news))
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        let (modified, changed) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
        Some((found.dev(), found.ino(), found.size(), modified, changed))
    };
    paths.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A change of mode alone is a change; what could not be read is tried again without one, and told once.
    #[test]
    fn changes_are_seen_and_failures_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        std::fs::write(&path, "one").expect("written");
        let mut watched = Watched::new(vec![path.clone()]);
        let read = || std::fs::read_to_string(&path).map_err(|error| error.to_string());
        assert_eq!(watched.look(read), None, "nothing changed");
        // The clock of the file system may stand still between two changes; its size does not.
        std::fs::write(&path, "the second").expect("written");
        assert_eq!(
            watched.look(|| Err::<String, _>("no descriptors".to_owned())),
            Some((Err("no descriptors".to_owned()), true))
        );
        assert_eq!(
            watched.look(|| Err::<String, _>("no descriptors".to_owned())),
            Some((Err("no descriptors".to_owned()), false))
        );
        assert_eq!(watched.look(read), Some((Ok("the second".to_owned()), true)), "tried again without a change");
        assert_eq!(watched.look(read), None);
        let before = stamps(std::slice::from_ref(&path));
        let mode = std::fs::Permissions::from_mode(0o640);
        while stamps(std::slice::from_ref(&path)) == before {
            std::fs::set_permissions(&path, mode.clone()).expect("changed");
        }
        assert!(watched.look(read).is_some(), "the mode changed");
    }
}
