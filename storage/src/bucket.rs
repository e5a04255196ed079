//! A prefix of a bucket as the place of the data: no local disk is needed.
//!
//! | file           | knows                                                                              |
//! |----------------|------------------------------------------------------------------------------------|
//! | `address.rs`   | `s3://bucket/prefix` and the like: which store, with which credentials and patience  |
//! | `explain.rs`   | what a refusal of the store means to a person, and which setting cures it            |
//! | `ownership.rs` | whether this process is still the one writer of the prefix                           |
//!
//! Opening looks before it writes: the bucket must answer, the prefix must be empty or ours and of a known format, and
//! the store must refuse to create an object twice, because everything else stands on that. Then the WAL is fenced
//! (`wal/objects.rs`): from that moment on no other process can add to it. The newest process wins; there is no lease
//! to wait for. See docs/decisions/22-bucket.md.

mod address;
mod explain;
mod ownership;

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use tokio::runtime::Handle;
use url::Url;

use crate::checked::Checked;
use crate::config::Config;
use crate::directory::FormatFile;
use crate::error::{Error, Result};
use crate::paths::{FORMAT_FILE, LOCK_FILE};
use crate::place::{Owned, Place};
use crate::wal::{ObjectWal, WalStore};

pub(crate) use address::{Address, Patience};
pub(crate) use explain::explain;
pub(crate) use ownership::Ownership;

/// The whole opening, with all its requests, takes no longer.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);

/// The same bucket with three kinds of patience.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    /// For the opening: a few attempts, then a person reads the message.
    pub opening: Arc<dyn ObjectStore>,
    /// For segments and table logs.
    pub data: Arc<dyn ObjectStore>,
    /// For the WAL, which counts its attempts itself: one.
    pub wal: Arc<dyn ObjectStore>,
}

/// Opens or makes the prefix that `config` names. Blocks; `runtime` does the network's work and must go on while
/// anybody reads from the place.
///
/// # Errors
/// [`Error::Open`] with the cause and the setting.
pub(crate) fn open(config: &Config, runtime: &Handle) -> Result<Owned> {
    let refuse = |detail: String| Error::Open { path: config.data.clone(), detail };
    let text = config.data.to_str().ok_or_else(|| refuse("the URL is not UTF-8".to_owned()))?;
    let address = Address::parse(text).map_err(refuse)?;
    let build = |patience| address.build(patience, runtime).map_err(|error| refuse(explain(&address, &error)));
    let stores =
        Stores { opening: build(Patience::Opening)?, data: build(Patience::Data)?, wal: build(Patience::Wal)? };
    runtime.block_on(async {
        let opening = take(config, &address, stores, runtime);
        tokio::time::timeout(OPEN_PATIENCE, opening).await.unwrap_or_else(|_| {
            let endpoint = address.endpoint();
            Err(refuse(format!(
                "{endpoint} gave no answer within {OPEN_PATIENCE:?}; check the network, the endpoint, and that there are \
                 credentials (without variables the instance's metadata is asked for a role)"
            )))
        })
    })
}

/// The prefix for someone who only looks: nothing is taken over or touched, and a collector goes on with its work. Blocks;
/// `runtime` as for [`open`].
///
/// # Errors
/// [`Error::Open`] with the cause and the setting.
pub(crate) fn look(config: &Config, runtime: &Handle) -> Result<Place> {
    let refuse = |detail: String| Error::Open { path: config.data.clone(), detail };
    let text = config.data.to_str().ok_or_else(|| refuse("the URL is not UTF-8".to_owned()))?;
    let address = Address::parse(text).map_err(refuse)?;
    let failed = |error: object_store::Error| refuse(explain(&address, &error));
    let root_store = address.build(Patience::Opening, runtime).map_err(failed)?;
    let below: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&root_store), address.prefix.clone()));
    let looking = async {
        // Listing tells a missing bucket from a missing object.
        let top = below.list_with_delimiter(None).await.map_err(failed)?;
        let format_path = Path::from(FORMAT_FILE);
        if !top.objects.iter().any(|object| object.location == format_path) {
            return Err(refuse(format!(
                "it holds no data (no {FORMAT_FILE}); choose the collector's prefix with --data"
            )));
        }
        let bytes = below.get(&format_path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let wal_prefix = Path::from(crate::paths::WAL_DIR);
        ObjectWal::check_version(&below, &wal_prefix).await.map_err(|error| refuse(error.to_string()))?;
        FormatFile::parse(&bytes).map_err(refuse)
    };
    let looking = runtime.block_on(async { tokio::time::timeout(OPEN_PATIENCE, looking).await });
    let format = looking.unwrap_or_else(|_| {
        let endpoint = address.endpoint();
        Err(refuse(format!("{endpoint} gave no answer within {OPEN_PATIENCE:?}; check the network and the endpoint")))
    })?;
    let name = address.to_string();
    let ownership = Arc::new(Ownership::none(&name, Arc::clone(&below), Path::from(LOCK_FILE)));
    let wal = ObjectWal::look(Arc::clone(&below), runtime.clone(), Arc::clone(&ownership));
    let checked = Checked::new(below, false);
    Ok(Place {
        name: config.data.clone(),
        writer: format.writer,
        store: Arc::new(checked.clone()),
        checked,
        root_store: Arc::new(Checked::new(root_store, false)),
        url: Url::parse(&address.directory_url()).map_err(|error| refuse(error.to_string()))?,
        wal: Arc::new(wal),
        disk: None,
        ownership: Some(ownership),
    })
}

/// Looks at the prefix and takes it.
async fn take(config: &Config, address: &Address, stores: Stores, runtime: &Handle) -> Result<Owned> {
    let refuse = |detail: String| Error::Open { path: config.data.clone(), detail };
    let failed = |error: object_store::Error| refuse(explain(address, &error));
    let below = |store: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(store), address.prefix.clone()))
    };
    let opening = below(&stores.opening);

    // First without touching anything. Listing tells a missing bucket from a missing object.
    let top = opening.list_with_delimiter(None).await.map_err(failed)?;
    let format_path = Path::from(FORMAT_FILE);
    let is_known = top.objects.iter().any(|object| object.location == format_path);
    if !is_known && let Some(foreign) = first_name(&top) {
        return Err(refuse(format!(
            "it holds something else (`{foreign}`, and no {FORMAT_FILE}); choose an empty prefix with --data"
        )));
    }
    let format = if is_known {
        let bytes = opening.get(&format_path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        Some((FormatFile::parse(&bytes).map_err(refuse)?, bytes))
    } else {
        None
    };
    let wal_prefix = Path::from(crate::paths::WAL_DIR);
    ObjectWal::check_version(&opening, &wal_prefix).await.map_err(|error| refuse(error.to_string()))?;

    let (format, bytes) = match format {
        Some(known) => known,
        None => {
            let format = FormatFile::new();
            let bytes = serde_json::to_vec_pretty(&format).map_err(|error| refuse(error.to_string()))?;
            let created = opening.put_opts(&format_path, bytes.clone().into(), PutMode::Create.into()).await;
            match created {
                Ok(_) => (format, bytes.into()),
                // Another process was faster, or an answer was lost on the way: what stands there counts.
                Err(object_store::Error::AlreadyExists { .. }) => {
                    let bytes = opening.get(&format_path).await.map_err(failed)?.bytes().await.map_err(failed)?;
                    (FormatFile::parse(&bytes).map_err(refuse)?, bytes)
                }
                Err(error) => return Err(failed(error)),
            }
        }
    };
    // The same bytes once more: a store that takes them would let two writers in.
    match opening.put_opts(&format_path, bytes.into(), PutMode::Create.into()).await {
        Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(failed(error)),
        Ok(_) => {
            if !is_known {
                let _ = opening.delete(&format_path).await;
            }
            return Err(refuse(format!(
                "{} does not support conditional writes (`If-None-Match: *`): it created an object that was there \
                 already, so two collectors could overwrite each other; use a store or a version that does",
                address.endpoint()
            )));
        }
    }

    let ownership = Arc::new(Ownership::new(&address.to_string(), below(&stores.data), Path::from(LOCK_FILE)));
    let wal = ObjectWal::take(below(&stores.wal), below(&stores.data), runtime.clone(), Arc::clone(&ownership));
    let wal = wal.await.map_err(|error| refuse(format!("cannot take over its WAL: {error}")))?;
    ownership.claim().await.map_err(failed)?;
    let wal: Arc<dyn WalStore> = Arc::new(wal);
    let url = Url::parse(&address.directory_url()).map_err(|error| refuse(error.to_string()))?;
    let watch = ownership.watch(runtime);
    let checked = Checked::new(below(&stores.data), true);
    let place = Place {
        name: config.data.clone(),
        writer: format.writer,
        store: Arc::new(checked.clone()),
        checked,
        root_store: Arc::new(Checked::new(Arc::clone(&stores.data), true)),
        url,
        wal,
        disk: None,
        ownership: Some(Arc::clone(&ownership)),
    };
    Ok(Owned { place, hold: Arc::new(watch) })
}

/// Something that lies below a prefix.
fn first_name(listed: &object_store::ListResult) -> Option<String> {
    let mut objects = listed.objects.iter().map(|object| &object.location);
    objects.next().or_else(|| listed.common_prefixes.first()).map(ToString::to_string)
}

#[cfg(test)]
mod tests;
