//! API keys: made, kept as hashes in one file, recognized.
//!
//! ```text
//!   hod_3f9a1c02_kJ8x...43 letters...   what the peer sends, 256 random bits after the id
//!       ╰─ id, shown in lists           SHA-256 of the whole text is all that is kept
//! ```
//!
//! The file is JSON, replaced whole, readable by its owner only; a collector that runs looks at it every two seconds. One that
//! cannot be read any more keeps the keys that were read before, and the log says why.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Scope, TenantId};
use rand::RngCore as _;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::watch::{LOOK, Watched};

/// What every key begins with, so that programs that look for leaked secrets find it.
const PREFIX: &str = "hod_";
/// Random bytes of a key.
const SECRET_BYTES: usize = 32;
/// Longest key that is looked at.
const TEXT_BYTES_MAX: usize = 128;
/// Keys of one file.
const KEYS_MAX: usize = 10_000;

/// A key as it is kept: everything but the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// 8 hex digits; part of the key's text.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose data it writes and reads.
    pub tenant: String,
    /// `ingest`, `read`, `admin`.
    pub scopes: Vec<String>,
    /// SHA-256 of the key's text, hex.
    sha256: String,
    /// When it was made, unix seconds.
    pub created_unix_s: u64,
    /// From when on it is refused, unix seconds; without, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_s: Option<u64>,
}

/// What a new key may do.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// Whose data it writes and reads.
    pub tenant: TenantId,
    /// At least one; never [`Scope::Open`].
    pub scopes: Vec<Scope>,
    /// How long it is taken; `None` for ever.
    pub valid_for: Option<Duration>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    keys: Vec<Key>,
}

/// A key that was recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) tenant: TenantId,
    scopes: Vec<Scope>,
}

impl Holder {
    pub(crate) const fn new(tenant: TenantId, scopes: Vec<Scope>) -> Self {
        Self { tenant, scopes }
    }

    /// Admins may read as well; nothing else includes anything.
    pub(crate) fn may(&self, wanted: Scope) -> bool {
        wanted == Scope::Open
            || self.scopes.contains(&wanted)
            || (wanted == Scope::Read && self.scopes.contains(&Scope::Admin))
    }

    /// The scope that allows most.
    pub(crate) fn widest(&self) -> Option<Scope> {
        self.scopes.iter().copied().max()
    }
}

/// One key in force.
#[derive(Debug)]
struct Entry {
    hash: [u8; 32],
    expires_unix_s: Option<u64>,
    holder: Holder,
}

/// Keys in force.
#[derive(Debug)]
pub(crate) struct KeyRing {
    entries: ArcSwap<Vec<Entry>>,
}

impl KeyRing {
    /// Reads the file, and again whenever it changes, as long as the ring is there.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn watch(path: &Path) -> Result<Arc<Self>, String> {
        let watched = Watched::new(vec![path.to_owned()]);
        let ring = Arc::new(Self { entries: ArcSwap::from_pointee(entries(&read(path)?)?) });
        if ring.entries.load().is_empty() {
            tracing::warn!(file = %path.display(), "there are no keys yet: everybody is refused until `hodoscope keys create` makes one");
        }
        tokio::spawn(reload(Arc::downgrade(&ring), path.to_owned(), watched));
        Ok(ring)
    }

    /// Who holds the key with this hash, when there is one and it has not expired. Takes as long for a wrong key as for another one.
    pub(crate) fn holder(&self, hash: &[u8; 32]) -> Option<Holder> {
        let entries = self.entries.load();
        let found =
            entries.iter().fold(None, |found, entry| if same(&entry.hash, hash) { Some(entry) } else { found })?;
        let is_valid = found.expires_unix_s.is_none_or(|until| now_unix_s() < until);
        is_valid.then(|| found.holder.clone())
    }
}

/// The hash by which a key is kept; `None` for a text that is no key.
pub(crate) fn hash_of(text: &str) -> Option<[u8; 32]> {
    (text.len() <= TEXT_BYTES_MAX && text.starts_with(PREFIX)).then(|| sha256(text))
}

/// Looks at the file until nobody holds the ring any more.
async fn reload(ring: Weak<KeyRing>, path: PathBuf, mut watched: Watched) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(ring) = ring.upgrade() else { return };
        match watched.look(|| read(&path).and_then(|kept| entries(&kept))) {
            Some((Ok(entries), _)) => {
                tracing::info!(keys = entries.len(), "the keys were read again");
                ring.entries.store(Arc::new(entries));
            }
            Some((Err(error), true)) => {
                tracing::error!(error, "the keys cannot be read again; those before stay in force");
            }
            Some((Err(_), false)) | None => {}
        }
    }
}

/// Compares without ending at the first difference.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    let mut hash = [0; 32];
    // Both have 32 bytes.
    hash.iter_mut().zip(digest(&SHA256, bytes.as_ref()).as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::disallowed_methods, reason = "keys expire in the world's time; the command has no clock of storage")]
pub(crate) fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(path: &Path) -> Result<Kept, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| {
        format!("the keys in {shown} cannot be read: {error}; `hodoscope keys create` makes the file (setting door.keys_file)")
    })?;
    serde_json::from_slice(&text).map_err(|error| format!("{shown} holds no keys: {error}"))
}

fn entries(kept: &Kept) -> Result<Vec<Entry>, String> {
    kept.keys.iter().map(|key| entry(key).ok_or_else(|| format!("the key {:?} is damaged", key.id))).collect()
}

fn entry(key: &Key) -> Option<Entry> {
    let mut hash = [0; 32];
    if key.sha256.len() != 64 || !key.sha256.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&key.sha256[at * 2..at * 2 + 2], 16).ok()?;
    }
    let scopes = key.scopes.iter().map(|word| Scope::from_word(word)).collect::<Option<Vec<_>>>()?;
    let holder = Holder { tenant: TenantId::new(&key.tenant)?, scopes };
    Some(Entry { hash, expires_unix_s: key.expires_unix_s, holder })
}

/// Makes a key and keeps its hash. The text that is given back is not kept anywhere: it is shown once.
///
/// # Errors
/// Why the file cannot be read or written; names and scopes that make no sense.
pub fn create_key(path: &Path, new: &NewKey) -> Result<(Key, String), String> {
    if new.scopes.is_empty() || new.scopes.contains(&Scope::Open) {
        return Err("a key needs at least one scope of ingest, read and admin".to_owned());
    }
    if new.name.is_empty() || new.name.len() > 200 || new.name.contains(char::is_control) {
        return Err("the name of a key has 1 to 200 letters".to_owned());
    }
    let (mut id, mut secret) = ([0; 4], [0; SECRET_BYTES]);
    rand::rng().fill_bytes(&mut id);
    rand::rng().fill_bytes(&mut secret);
    let id = hex(&id);
    let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    let now = now_unix_s();
    let key = Key {
        id,
        name: new.name.clone(),
        tenant: new.tenant.to_string(),
        scopes: new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        sha256: hex(&sha256(&text)),
        created_unix_s: now,
        expires_unix_s: new.valid_for.map(|valid| now.saturating_add(valid.as_secs())),
    };
    change(path, |kept| {
        if kept.keys.len() >= KEYS_MAX {
            return Err(format!("{} holds {KEYS_MAX} keys; revoke some", path.display()));
        }
        kept.keys.push(key.clone());
        Ok(())
    })?;
    Ok((key, text))
}

/// Every key of the file, oldest first; none when there is no file.
///
/// # Errors
/// Why the file cannot be read.
pub fn list_keys(path: &Path) -> Result<Vec<Key>, String> {
    if path.exists() { Ok(read(path)?.keys) } else { Ok(Vec::new()) }
}

/// Takes a key away; a collector that runs refuses it within seconds.
///
/// # Errors
/// When there is no key with this id; why the file cannot be read or written.
pub fn revoke_key(path: &Path, id: &str) -> Result<Key, String> {
    let mut gone = None;
    change(path, |kept| {
        let at = kept.keys.iter().position(|key| key.id == id);
        let at = at
            .ok_or_else(|| format!("there is no key {id:?} in {}; `hodoscope keys list` shows them", path.display()))?;
        gone = Some(kept.keys.remove(at));
        Ok(())
    })?;
    gone.ok_or_else(|| format!("there is no key {id:?}"))
}

/// Changes the file, one process at a time; it is whole at every moment, and stays readable for whom it was readable before:
/// owner, group and mode are kept.
fn change(path: &Path, edit: impl FnOnce(&mut Kept) -> Result<(), String>) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let before = std::fs::metadata(path).ok();
    let lock = File::create(beside(".lock")).map_err(told)?;
    if let Some(before) = &before {
        // Else nobody but us could change the keys from now on. A lock that belongs to somebody else is gone before we are.
        own_like(&lock, before, path).inspect_err(|_| drop(std::fs::remove_file(beside(".lock"))))?;
    }
    lock.lock().map_err(told)?;
    let mut kept = if path.exists() { read(path)? } else { Kept::default() };
    edit(&mut kept)?;
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| error.to_string())?;
    let new = beside(".new");
    let _ = std::fs::remove_file(&new);
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(&new).map_err(told)?;
    if let Some(before) = &before {
        own_like(&file, before, path).inspect_err(|_| drop(std::fs::remove_file(&new)))?;
        let mode = before.permissions().mode() & 0o777;
        file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(told)?;
    }
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(told)?;
    std::fs::rename(&new, path).map_err(told)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(told)
}

/// Gives a file to whom the file of keys belongs, so that the collector can still read it.
fn own_like(file: &File, before: &std::fs::Metadata, path: &Path) -> Result<(), String> {
    let is = file.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
    if (is.uid(), is.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid())).map_err(|error| {
        format!(
            "{} belongs to user {} and group {}, and would not any more: {error}. Run this as that user",
            path.display(),
            before.uid(),
            before.gid()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(scopes: &[Scope], valid_for: Option<Duration>) -> NewKey {
        let tenant = TenantId::new("shop").expect("a tenant");
        NewKey { name: "test".to_owned(), tenant, scopes: scopes.to_vec(), valid_for }
    }

    /// S2: 256 random bits, a hash at rest, scopes, a tenant, an end.
    #[tokio::test]
    async fn s2_keys_are_recognized_by_their_hash() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        assert_eq!(list_keys(&path), Ok(Vec::new()));
        let (key, text) = create_key(&path, &new(&[Scope::Ingest], None)).expect("made");
        let (_, admin) = create_key(&path, &new(&[Scope::Admin], None)).expect("made");
        let (_, old) = create_key(&path, &new(&[Scope::Read], Some(Duration::ZERO))).expect("made");
        assert!(text.starts_with(&format!("hod_{}_", key.id)) && text.len() == 4 + 8 + 1 + 43, "{text}");
        let at_rest = std::fs::read_to_string(&path).expect("text");
        let secret = text.rsplit('_').next().expect("a secret");
        assert!(!at_rest.contains(secret) && !format!("{key:?}").contains(secret));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("a file").permissions());
        assert_eq!(mode & 0o777, 0o600);

        let ring = KeyRing::watch(&path).expect("keys");
        let recognize = |text: &str| hash_of(text).and_then(|hash| ring.holder(&hash));
        let holder = recognize(&text).expect("known");
        assert_eq!(holder.tenant.as_str(), "shop");
        let may =
            |holder: &Holder| [Scope::Open, Scope::Ingest, Scope::Read, Scope::Admin].map(|scope| holder.may(scope));
        assert_eq!(may(&holder), [true, true, false, false]);
        assert_eq!(may(&recognize(&admin).expect("known")), [true, false, true, true]);
        assert_eq!(recognize(&old), None, "it has expired");
        let longer = format!("{text}x");
        for wrong in ["", "hod_", &text[..text.len() - 1], &longer, &text.to_uppercase(), secret, &"hod_".repeat(100)] {
            assert_eq!(recognize(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keys_are_listed_and_revoked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let (first, _) = create_key(&path, &new(&[Scope::Ingest], None)).expect("made");
        let (second, _) = create_key(&path, &new(&[Scope::Read, Scope::Admin], None)).expect("made");
        assert_eq!(revoke_key(&path, &first.id), Ok(first.clone()));
        assert_eq!(list_keys(&path), Ok(vec![second]));
        assert!(revoke_key(&path, &first.id).expect_err("gone").contains("keys list"));
        assert!(create_key(&path, &new(&[], None)).is_err());
        assert!(create_key(&path, &NewKey { name: "a\nb".to_owned(), ..new(&[Scope::Read], None) }).is_err());
        std::fs::write(&path, "{\"keys\": [{}]}").expect("written");
        assert!(list_keys(&path).expect_err("damaged").contains("holds no keys"));
    }

    /// Who changes the keys does not take them away from the collector: owner and mode stay. Only root can be somebody else.
    #[test]
    fn a_changed_file_keeps_owner_and_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let (key, _) = create_key(&path, &new(&[Scope::Read], None)).expect("made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("mode");
        let of = |path: &Path| {
            let found = std::fs::metadata(path).expect("a file");
            (found.uid(), found.gid(), found.mode() & 0o777)
        };
        let owner = match std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)) {
            Ok(()) => (65_534, 65_534),
            Err(_) => (of(&path).0, of(&path).1),
        };
        revoke_key(&path, &key.id).expect("revoked");
        assert_eq!(of(&path), (owner.0, owner.1, 0o640));
        let lock = of(&folder.path().join("keys.json.lock"));
        assert_eq!((lock.0, lock.1), owner, "its owner can still change it");
    }
}
