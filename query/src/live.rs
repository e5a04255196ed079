//! `GET /api/live`: rows that match, as they become visible.
//!
//! ```text
//!   writer ──▶ queue of this stream (64 MiB of shared rows, then a gap) ──▶ 4 looks a second ──▶ 8 events ──▶ reader
//! ```
//!
//! Nothing here makes the writer wait, and every bound says what it left out: a look compares at most [`LOOK_ROWS`]
//! rows (`skipped`) and lists at most [`ITEMS_MAX`] hits (`left_out`); a reader that is slower than that loses rows of
//! the queue (`gap`).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use api::{LiveFigures, LiveItems, SearchItem};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::ident;
use futures::Stream;
use model::{TenantId, TimeRange, TraceId, UnixNanos};
use storage::Follower;
use storage::table::{JOURNEYS, SPANS, Table};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::engine::runtime::Running;
use crate::engine::session::Session;
use crate::engine::{Engine, LIVE_MAX};
use crate::error::{Error, Result};
use crate::rows::Bytes as Ids;
use crate::search::{Scope, Unit, items, journeys, spans, traces};
use crate::tables::{as_sql, sql_schema};
use crate::trace::literal;

/// Between two looks at what came.
const LOOK: Duration = Duration::from_millis(250);
/// Rows compared in one look: 100,000 per second.
const LOOK_ROWS: usize = 25_000;
/// Hits listed in one event.
const ITEMS_MAX: usize = 100;
/// Between two events with figures; they also keep the connection open.
const FIGURES: Duration = Duration::from_secs(1);
/// Events that wait for a slow reader.
const EVENTS_MAX: usize = 8;

/// What a stream is about.
#[derive(Clone, Debug)]
pub struct LiveQuestion(Scope);

impl LiveQuestion {
    /// Reads `unit` and `q`; others are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub fn from_params(params: &BTreeMap<String, String>, now: UnixNanos) -> Result<Self> {
        let text = |name: &str| match name {
            "unit" | "q" => params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        };
        Scope::read(&text, now).map(Self)
    }
}

/// Server-sent events. Dropping it ends the work.
pub struct Live {
    events: mpsc::Receiver<Bytes>,
    _work: Running<()>,
    _place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Stream for Live {
    type Item = std::result::Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context).map(|event| event.map(Ok))
    }
}

impl Engine {
    /// Rows that match, from now on, until the reader goes or `is_stopping`.
    ///
    /// # Errors
    /// [`Error::Streams`] when too many streams are open.
    pub fn live(
        &self,
        tenant: &TenantId,
        LiveQuestion(scope): LiveQuestion,
        is_stopping: impl Fn() -> bool + Send + 'static,
    ) -> Result<Live> {
        let place = self.live_place().ok_or(Error::Streams { open: LIVE_MAX })?;
        let table: &'static Table = if scope.unit == Unit::Journeys { &JOURNEYS } else { &SPANS };
        let session = self.session(self.snapshot(tenant))?;
        let filter = if scope.unit == Unit::Journeys { None } else { filter(&session, &scope)? };
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let tail = Tail {
            engine: self.clone(),
            tenant: tenant.clone(),
            scope,
            table,
            filter,
            follower: self.follow(table),
            seen: Seen::default(),
        };
        let work = self.spawn(tail.run(tell, is_stopping));
        Ok(Live { events, _work: work, _place: place })
    }
}

/// Every condition as one expression over rows of the table; `None` when there is none.
fn filter(session: &Session, scope: &Scope) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let root = (scope.unit == Unit::Traces).then(|| ident("parent_span_id").is_null());
    let Some(all) = scope.conditions.iter().cloned().chain(root).reduce(Expr::and) else { return Ok(None) };
    let schema = DFSchema::try_from(sql_schema(&SPANS).as_ref().clone())?;
    Ok(Some(session.context.create_physical_expr(all, &schema)?))
}

/// What was seen since the last figures, and since the beginning.
#[derive(Debug, Default)]
struct Seen {
    rows: u64,
    hits: u64,
    skipped: u64,
}

struct Tail {
    engine: Engine,
    tenant: TenantId,
    scope: Scope,
    table: &'static Table,
    filter: Option<Arc<dyn PhysicalExpr>>,
    follower: Follower,
    seen: Seen,
}

impl Tail {
    async fn run(mut self, tell: mpsc::Sender<Bytes>, is_stopping: impl Fn() -> bool) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut figured = Instant::now();
        let begin = Bytes::from_static(b"retry: 2000\n\n");
        if tell.send(begin).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                biased;
                () = tell.closed() => return,
                _ = looks.tick() => {}
            }
            if is_stopping() {
                return;
            }
            let items = match self.look().await {
                Ok(items) => items,
                Err(error) => {
                    tracing::error!(%error, "a live stream ended");
                    return;
                }
            };
            let is_worth = items.gap || items.skipped > 0 || !items.items.is_empty();
            if is_worth && tell.send(event("items", &items)).await.is_err() {
                return;
            }
            let elapsed = figured.elapsed();
            if elapsed >= FIGURES {
                figured = Instant::now();
                let per_second = |n: u64| (n as f64 / elapsed.as_secs_f64() * 10.0).round() / 10.0;
                let figures = LiveFigures {
                    at_unix_nano: self.engine.now().0.to_string(),
                    rows_per_second: per_second(std::mem::take(&mut self.seen.rows)),
                    hits_per_second: per_second(std::mem::take(&mut self.seen.hits)),
                    skipped: self.seen.skipped,
                };
                if tell.send(event("figures", &figures)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Compares what came since the last look, the newest first.
    async fn look(&mut self) -> Result<LiveItems> {
        let followed = self.follower.take();
        let mut found = LiveItems { gap: followed.has_gap, ..LiveItems::default() };
        let (mut n_looked, mut n_hits) = (0, 0);
        let schema = sql_schema(self.table);
        let snapshot = self.engine.snapshot(&self.tenant);
        let erasures = snapshot.table(self.table).map(|entry| &entry.erasures);
        let mut hits: Vec<RecordBatch> = Vec::new();
        for (_, rows) in followed.rows.iter().rev().filter(|(tenant, _)| *tenant == self.tenant) {
            let n_rows = rows.records.num_rows();
            self.seen.rows += n_rows as u64;
            if n_looked > 0 && n_looked + n_rows > LOOK_ROWS {
                found.skipped += n_rows as u64;
                continue;
            }
            n_looked += n_rows;
            let visible = erasures.and_then(|erasures| erasures.visible(&rows.records));
            let shown = match visible {
                Some(visible) => filter_record_batch(&rows.records, &visible).map_err(internal)?,
                None => rows.records.clone(),
            };
            let batch = as_sql(&shown, None, &schema)?;
            let batch = match &self.filter {
                None => batch,
                Some(filter) => {
                    let holds = filter.evaluate(&batch)?.into_array(batch.num_rows())?;
                    let Some(holds) = holds.as_boolean_opt() else {
                        return Err(Error::Internal("a filter is no condition".to_owned()));
                    };
                    filter_record_batch(&batch, holds).map_err(internal)?
                }
            };
            if batch.num_rows() > 0 {
                n_hits += batch.num_rows();
                hits.push(batch);
            }
        }
        let mut items = match self.scope.unit {
            Unit::Spans => spans::items(&hits),
            Unit::Traces => traces::items_of_roots(&hits),
            Unit::Journeys => {
                let all: Vec<_> = hits.iter().flat_map(journeys::read).collect();
                n_hits = all.len();
                let (items, n_unknown) = self.journeys_that_match(all).await?;
                n_hits -= n_unknown;
                items
            }
        };
        items.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
        items.truncate(ITEMS_MAX);
        found.left_out = (n_hits as u64).saturating_sub(items.len() as u64);
        found.items = items.into_iter().map(|(_, item)| item).collect();
        self.seen.hits += n_hits as u64;
        self.seen.skipped += found.skipped;
        Ok(found)
    }

    /// The newest journeys of which a span matches, and how many of all do not match. Older ones than are listed in an
    /// event are not asked about: they count as hits that are left out.
    async fn journeys_that_match(
        &self,
        mut all: Vec<(i64, TraceId, api::JourneyItem)>,
    ) -> Result<(Vec<(i64, SearchItem)>, usize)> {
        all.sort_by_key(|(time, id, _)| (std::cmp::Reverse(*time), *id));
        all.truncate(ITEMS_MAX);
        let item = |(time, _, item): (i64, TraceId, api::JourneyItem)| (time, SearchItem::Journey(item));
        if self.scope.has_no_conditions() || all.is_empty() {
            return Ok((all.into_iter().map(item).collect(), 0));
        }
        let ids: Vec<Expr> = all.iter().map(|(_, id, _)| literal(id.as_bytes())).collect();
        let times = || all.iter().map(|(time, _, _)| *time);
        let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        // Spans of a journey start after it, for as long as it takes.
        let settled = all.iter().map(|(_, _, item)| i64::try_from(item.settled_nanos).unwrap_or(i64::MAX)).max();
        let end = last.saturating_add(settled.unwrap_or_default()).saturating_add(1);
        let scope = self.scope.within(TimeRange::new(UnixNanos(first), UnixNanos(end)));
        let matching = self.engine.run(&self.tenant, move |session| async move {
            let frame = items::journeys(&session, &scope).await?;
            let frame = frame.filter(ident("journey").in_list(ids, false))?.select(vec![ident("journey")])?;
            let collected = session.collect(frame, ITEMS_MAX as u64).await?;
            let mut found = std::collections::HashSet::new();
            for batch in &collected.batches {
                let column = Ids::of(batch, "journey");
                found.extend((0..batch.num_rows()).filter_map(|row| column.get(row).and_then(TraceId::from_bytes)));
            }
            Ok(found)
        });
        let matching = matching.await?;
        let n_asked = all.len();
        all.retain(|(_, id, _)| matching.contains(id));
        let n_unknown = n_asked - all.len();
        Ok((all.into_iter().map(item).collect(), n_unknown))
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

/// One server-sent event.
fn event(name: &str, data: &impl serde::Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
