//! What passes, and what is made whole again.

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode};

use super::{Checked, log_copy};
use crate::disk::simulated::SimulatedDisk;
use crate::durable_local::DurableLocal;

const COMMIT: &str = "t/spans/_delta_log/00000000000000000003.json";
const COPY: &str = "t/spans/_log_copy/00000000000000000003.json";
const HINT: &str = "t/spans/_delta_log/_last_checkpoint";

fn stores(may_write: bool) -> (Arc<InMemory>, Checked) {
    let memory = Arc::new(InMemory::new());
    let inner: Arc<dyn ObjectStore> = Arc::clone(&memory) as Arc<dyn ObjectStore>;
    (memory, Checked::new(inner, may_write))
}

async fn read(store: &dyn ObjectStore, path: &str) -> Option<Bytes> {
    store.get(&Path::from(path)).await.ok()?.bytes().await.ok()
}

async fn write(store: &dyn ObjectStore, path: &str, bytes: &'static str) {
    store.put(&Path::from(path), bytes.into()).await.expect("memory takes it");
}

/// A commit is there twice. A damaged one is answered from its copy, whichever part is asked for, and a look from outside
/// leaves it as it is.
#[tokio::test]
async fn a_damaged_commit_is_answered_from_its_copy() {
    for may_write in [true, false] {
        let (memory, store) = stores(may_write);
        let options = PutMode::Create.into();
        store.put_opts(&Path::from(COMMIT), "a commit".into(), options).await.expect("taken");
        assert_eq!(read(&*memory, COPY).await.as_deref(), Some(&log_copy::encode(b"a commit")[..]));
        write(&*memory, COMMIT, "a c0mmit").await;
        let ranges = store.get_ranges(&Path::from(COMMIT), &[2..4, 5..8]).await.expect("readable");
        assert_eq!(ranges, ["co", "mit"]);
        let suffix = GetOptions { range: Some(GetRange::Suffix(3)), ..GetOptions::default() };
        let part = store.get_opts(&Path::from(COMMIT), suffix).await.expect("readable");
        assert_eq!((part.range.clone(), part.bytes().await.expect("readable")), (5..8, Bytes::from("mit")));
        assert_eq!(read(&store, COMMIT).await.as_deref(), Some(&b"a commit"[..]));
        let now = if may_write { &b"a commit"[..] } else { b"a c0mmit" };
        assert_eq!(read(&*memory, COMMIT).await.as_deref(), Some(now));
        // A damaged copy says nothing.
        write(&*memory, COMMIT, "a commit").await;
        write(&*memory, COPY, "something").await;
        assert_eq!(read(&store, COMMIT).await.as_deref(), Some(&b"a commit"[..]));
    }
}

/// Either side of a commit is enough: what the disk does not give comes from the other one, and is written again. Before,
/// an unreadable copy made a healthy log unreadable.
#[tokio::test]
async fn f08_an_unreadable_commit_or_copy_is_done_without() {
    let disk = SimulatedDisk::new(1);
    let local: Arc<dyn ObjectStore> = Arc::new(DurableLocal::new(Arc::new(disk.clone()), FilePath::new("/")));
    let store = Checked::new(Arc::clone(&local), true);
    let commit = "{\"add\":{}}";
    write(&store, COMMIT, commit).await;
    let copy = log_copy::encode(commit.as_bytes());
    for part in [COMMIT, COPY] {
        disk.refuse_reads(part, 1);
        assert_eq!(read(&store, COMMIT).await.as_deref(), Some(commit.as_bytes()), "without {part}");
        assert_eq!(read(&*local, COMMIT).await.as_deref(), Some(commit.as_bytes()));
        assert_eq!(read(&*local, COPY).await.as_deref(), Some(&copy[..]));
    }
    disk.refuse_reads("00000000000000000003.json", 2);
    assert_eq!(read(&store, COMMIT).await, None, "without both");
    // What nobody has proven takes the place of no copy that may be whole, and what was cut is not shown for it.
    write(&*local, COMMIT, "{\"add\":[]}").await;
    disk.refuse_reads(COPY, 1);
    assert_eq!(read(&store, COMMIT).await.as_deref(), Some(&b"{\"add\":[]}"[..]), "unproven");
    assert_eq!(read(&*local, COPY).await.as_deref(), Some(&copy[..]));
    write(&*local, COMMIT, "").await;
    disk.refuse_reads(COPY, 1);
    assert_eq!(read(&store, COMMIT).await, None, "it was cut");
    assert_eq!(read(&store, COMMIT).await.as_deref(), Some(commit.as_bytes()));
    // A damaged copy is replaced, as long as the file can be what was written.
    write(&*local, COPY, "something").await;
    assert_eq!(read(&store, COMMIT).await.as_deref(), Some(commit.as_bytes()));
    assert_eq!(read(&*local, COPY).await.as_deref(), Some(&copy[..]));
    write(&*local, COPY, "something").await;
    write(&*local, COMMIT, "{\"add").await;
    assert_eq!(read(&store, COMMIT).await.as_deref(), Some(&b"{\"add"[..]));
    assert_eq!(read(&*local, COPY).await.as_deref(), Some(&b"something"[..]), "the better half may be in it");
}

/// A wrong hint would lead to a checkpoint that is not there; without one, readers look for themselves.
#[tokio::test]
async fn a_damaged_hint_is_none() {
    let (memory, store) = stores(true);
    write(&store, HINT, r#"{"version":100}"#).await;
    assert_eq!(read(&store, HINT).await.as_deref(), Some(&br#"{"version":100}"#[..]));
    write(&*memory, HINT, r#"{"version":900}"#).await;
    let error = store.get(&Path::from(HINT)).await.expect_err("it is wrong");
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
}

/// What is missing on one side comes from the other, and what was removed on purpose does not come back.
#[tokio::test]
async fn log_and_copies_are_settled() {
    let (memory, store) = stores(true);
    write(&store, COMMIT, "a commit").await;
    let older = "t/spans/_delta_log/00000000000000000002.json";
    write(&*memory, older, "of an older release").await;
    let table = Path::from("t/spans");
    let settled = async || {
        let settled = store.settle_log(&table).await.expect("memory answers");
        let later = store.settle_later(&table, settled.later).await;
        assert!(!settled.is_behind && !later.is_behind);
        (settled.restored + later.restored, settled.copied + later.copied)
    };
    assert_eq!(settled().await, (0, 1));
    memory.delete(&Path::from(older)).await.expect("lost");
    write(&*memory, COMMIT, "a com").await;
    assert_eq!(settled().await, (2, 0));
    assert_eq!(read(&*memory, older).await.as_deref(), Some(&b"of an older release"[..]));
    assert_eq!(read(&*memory, COMMIT).await.as_deref(), Some(&b"a commit"[..]));
    assert_eq!(settled().await, (0, 0));
    // A damaged copy of another length is replaced; not by a file that was cut.
    write(&*memory, older, "{}").await;
    write(&*memory, COPY, "x").await;
    write(&*memory, COMMIT, "{\"add\":").await;
    write(&*memory, "t/spans/_log_copy/00000000000000000002.json", "x").await;
    assert_eq!(settled().await, (0, 1));
    assert_eq!(read(&*memory, COPY).await.as_deref(), Some(&b"x"[..]));
    write(&store, COMMIT, "a commit").await;
    store.delete(&Path::from(older)).await.expect("removed");
    assert_eq!(settled().await, (0, 0));
    let left: Vec<_> =
        memory.list(None).map_ok(|object| object.location.to_string()).try_collect().await.expect("memory");
    assert_eq!(left, [COMMIT, COPY]);
    // The newest commit is lost with its copy: the table would be what it was before it.
    let newest = "t/spans/_log_copy/00000000000000000004.json";
    write(&*memory, newest, "damaged").await;
    assert!(store.settle_log(&table).await.expect("memory answers").is_behind);
    // Also when the whole log was lost, and the others come back.
    memory.delete(&Path::from(COMMIT)).await.expect("there");
    let again = store.settle_log(&table).await.expect("memory answers");
    assert!(again.is_behind && again.restored == 1, "{again:?}");
    memory.delete(&Path::from(newest)).await.expect("there");
    // Whoever only looks changes nothing.
    memory.delete(&Path::from(COMMIT)).await.expect("lost");
    let inner: Arc<dyn ObjectStore> = Arc::clone(&memory) as Arc<dyn ObjectStore>;
    let looking = Checked::new(inner, false);
    let looked = looking.settle_log(&table).await.expect("memory answers");
    assert!(looked.restored == 0 && looked.copied == 0 && looked.later.is_empty(), "{looked:?}");
    assert_eq!(read(&*memory, COMMIT).await, None);
}

/// A large file of a log that goes up in parts has its copy too.
#[tokio::test]
async fn a_checkpoint_in_parts_is_copied() {
    let (memory, store) = stores(true);
    let path = "t/_delta_log/00000000000000000100.checkpoint.parquet";
    let mut upload = store.put_multipart(&Path::from(path)).await.expect("begun");
    upload.put_part("PAR1".into()).await.expect("taken");
    upload.put_part("and more".into()).await.expect("taken");
    upload.complete().await.expect("complete");
    let copy = read(&*memory, "t/_log_copy/00000000000000000100.checkpoint.parquet").await.expect("copied");
    assert_eq!(log_copy::decode(&copy), Some(&b"PAR1and more"[..]));
}
