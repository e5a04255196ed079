//! What readers keep beside telemetry: colours of services, saved queries. Small documents, durable when a call returns.
//!
//! | what    | shelf              | bounds                                            |
//! |---------|--------------------|---------------------------------------------------|
//! | colours | one document       | 512 services, names of at most 256 bytes          |
//! | queries | one document each  | 1,000 of 64 KiB, names as documents may have them |
//!
//! Colours are given in the order in which they are asked for and never change by themselves, so that a service looks the same in
//! every view and for every reader. Beyond the bound a service has the slot its name hashes to; the page says the same.

use api::{ColorsAnswer, ColorsRequest, QueriesAnswer, QueryRequest, SavedQuery};
use model::TenantId;
use storage::{Documents, Shelf};

use crate::error::{Error, Result};

/// Services with a place of their own.
const SERVICES_MAX: usize = 512;
/// Longest name of a service, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Queries that are kept.
const QUERIES_MAX: usize = 1_000;
/// Longest statement and longest title, in bytes.
const SQL_BYTES_MAX: usize = 64 << 10;
const TITLE_BYTES_MAX: usize = 200;
/// Name of the document that holds all colours.
const COLORS: &str = "services";
/// Slots of the palette.
const SLOTS: u8 = 8;

/// The API's side of what is kept.
#[derive(Debug)]
pub struct Kept {
    documents: Documents,
    /// One change at a time: each looks at what is kept before it writes. Readers do not wait for it.
    changing: tokio::sync::Mutex<()>,
}

impl Kept {
    /// Over the documents of a store.
    pub fn new(documents: Documents) -> Self {
        Self { documents, changing: tokio::sync::Mutex::new(()) }
    }

    /// Colours of a tenant's services.
    ///
    /// # Errors
    /// What storage said.
    pub(crate) async fn colors(&self, tenant: &TenantId) -> Result<ColorsAnswer> {
        let kept = self.documents.list(tenant, Shelf::Colors).await.map_err(kept_wrongly)?;
        let text = kept.into_iter().find(|(name, _)| name == COLORS).map(|(_, text)| text);
        // A document that cannot be read is a colour lost, not a page that does not open.
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default())
    }

    /// Gives colours to services that have none, and keeps what was chosen by hand.
    ///
    /// # Errors
    /// A slot that does not exist; what storage said.
    pub(crate) async fn see(&self, tenant: &TenantId, request: ColorsRequest) -> Result<ColorsAnswer> {
        if let Some((service, slot)) = request.pinned.iter().find(|(_, slot)| **slot > SLOTS) {
            return Err(Error::invalid(format!(
                "{service} cannot have colour {slot}: slots are 1 to {SLOTS}, 0 for its own"
            )));
        }
        // Nearly every page asks for services that have their colours.
        let known = self.colors(tenant).await?;
        if grown(known.clone(), request.clone()) == known {
            return Ok(known);
        }
        let _one = self.changing.lock().await;
        let known = self.colors(tenant).await?;
        let next = grown(known.clone(), request);
        if next != known {
            let text = serde_json::to_vec(&next).map_err(|error| Error::Internal(error.to_string()))?;
            self.documents.put(tenant, Shelf::Colors, COLORS, text).await.map_err(kept_wrongly)?;
        }
        Ok(next)
    }

    /// Every kept query, by title.
    ///
    /// # Errors
    /// What storage said.
    pub(crate) async fn queries(&self, tenant: &TenantId) -> Result<QueriesAnswer> {
        let kept = self.documents.list(tenant, Shelf::Queries).await.map_err(kept_wrongly)?;
        let read = |(id, text): (String, Vec<u8>)| {
            let query: QueryRequest = serde_json::from_slice(&text).ok()?;
            Some(SavedQuery { id, title: query.title, sql: query.sql })
        };
        let mut queries: Vec<SavedQuery> = kept.into_iter().filter_map(read).take(QUERIES_MAX).collect();
        queries.sort_by(|a, b| (&a.title, &a.id).cmp(&(&b.title, &b.id)));
        Ok(QueriesAnswer { queries })
    }

    /// Keeps a query under a name, instead of the one that is there.
    ///
    /// # Errors
    /// A name or text that cannot be kept; what storage said.
    pub(crate) async fn keep_query(&self, tenant: &TenantId, id: &str, query: QueryRequest) -> Result<SavedQuery> {
        if !Documents::is_name(id) {
            return Err(Error::invalid("a query's name has 1 to 128 of A-Z a-z 0-9 _ . -, a letter or digit first"));
        }
        if query.sql.trim().is_empty() || query.sql.len() > SQL_BYTES_MAX || query.title.len() > TITLE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a query has 1 to {SQL_BYTES_MAX} bytes and a title of at most {TITLE_BYTES_MAX}"
            )));
        }
        let _one = self.changing.lock().await;
        let known = self.queries(tenant).await?.queries;
        if known.len() >= QUERIES_MAX && !known.iter().any(|known| known.id == id) {
            return Err(Error::TooLarge(format!("{QUERIES_MAX} queries are kept; delete some")));
        }
        let title = if query.title.trim().is_empty() { id.to_owned() } else { query.title };
        let kept = QueryRequest { title, sql: query.sql };
        let text = serde_json::to_vec(&kept).map_err(|error| Error::Internal(error.to_string()))?;
        self.documents.put(tenant, Shelf::Queries, id, text).await.map_err(kept_wrongly)?;
        Ok(SavedQuery { id: id.to_owned(), title: kept.title, sql: kept.sql })
    }

    /// Takes a query away.
    ///
    /// # Errors
    /// When there is none; what storage said.
    pub(crate) async fn delete_query(&self, tenant: &TenantId, id: &str) -> Result<()> {
        let is_gone =
            Documents::is_name(id) && self.documents.delete(tenant, Shelf::Queries, id).await.map_err(kept_wrongly)?;
        if is_gone { Ok(()) } else { Err(Error::NotFound(format!("no query is kept under {id:?}"))) }
    }
}

fn kept_wrongly(error: storage::Error) -> Error {
    crate::alert::kept_wrongly(error)
}

/// What is known with what is asked added.
fn grown(mut known: ColorsAnswer, request: ColorsRequest) -> ColorsAnswer {
    for service in request.services {
        let fits = !service.is_empty() && service.len() <= NAME_BYTES_MAX && known.services.len() < SERVICES_MAX;
        if fits && !known.services.contains(&service) {
            known.services.push(service);
        }
    }
    for (service, slot) in request.pinned {
        if slot == 0 {
            known.pinned.remove(&service);
        } else if service.len() <= NAME_BYTES_MAX
            && (known.pinned.len() < SERVICES_MAX || known.pinned.contains_key(&service))
        {
            known.pinned.insert(service, slot);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(services: &[&str]) -> ColorsRequest {
        ColorsRequest { services: services.iter().map(|name| (*name).to_owned()).collect(), ..ColorsRequest::default() }
    }

    /// Whoever only looks does not wait for a change that takes its time; changes wait for each other.
    #[tokio::test]
    async fn readers_do_not_wait_for_changes() {
        let fixture = crate::testing::Fixture::new(Vec::new()).await;
        let (kept, tenant) = (Kept::new(fixture.storage.documents()), crate::testing::tenant());
        let first = kept.see(&tenant, request(&["a", "b"])).await.expect("kept");
        let change = kept.changing.lock().await;
        assert_eq!(kept.see(&tenant, request(&["b"])).await.expect("known"), first);
        let query = || QueryRequest { title: String::new(), sql: "SELECT 1".to_owned() };
        let mut keeping = std::pin::pin!(kept.keep_query(&tenant, "one", query()));
        let mut seeing = std::pin::pin!(kept.see(&tenant, request(&["c"])));
        for _ in 0..1_000 {
            assert!(futures::poll!(keeping.as_mut()).is_pending(), "another change is under way");
            assert!(futures::poll!(seeing.as_mut()).is_pending(), "another change is under way");
            tokio::task::yield_now().await;
        }
        drop(change);
        let (query, colors) = futures::join!(keeping, seeing);
        assert_eq!(query.expect("kept").id, "one");
        assert_eq!(colors.expect("kept").services, ["a", "b", "c"]);
    }

    /// Whoever comes later gets later slots; nobody's colour moves.
    #[test]
    fn the_first_seen_keep_their_places() {
        let known = grown(ColorsAnswer::default(), request(&["b", "a"]));
        let known = grown(known, request(&["c", "a", "", &"x".repeat(300)]));
        assert_eq!(known.services, ["b", "a", "c"]);
        let many: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(grown(known, request(&many)).services.len(), SERVICES_MAX);
    }

    #[test]
    fn a_chosen_slot_can_be_given_back() {
        let pin = |slot| ColorsRequest { pinned: [("a".to_owned(), slot)].into(), ..ColorsRequest::default() };
        let known = grown(ColorsAnswer::default(), pin(3));
        assert_eq!(known.pinned["a"], 3);
        assert!(grown(known, pin(0)).pinned.is_empty());
    }
}
