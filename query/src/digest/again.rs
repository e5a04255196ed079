//! Late traces: looked at together with what is at rest around them, which is corrected.
//!
//! Many at once, because what such a look asks of storage costs nearly the same for one trace and for hundreds. Bounded by
//! the spans of one journey, 20,000: a group that does not fit is halved, down to a single trace, which is cut as any
//! journey is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use model::TraceId;

use super::desk::Desk;
use super::look::{Look, Owner, Told, extent};
use super::run::Task;
use super::settled::Taken;
use super::stored::AtRest;
use crate::analysis::journey::{journey, origin};
use crate::analysis::span::Span;
use crate::analysis::thresholds::Bounds;
use crate::analysis::{Analysis, Options, analyze};
use crate::breakers::open_breakers;
use crate::engine::session::Session;
use crate::error::Result;
use crate::journey::gather::{gather_all, gather_lean};

/// Late traces of one group, and what they may have as spans at rest and open together.
const GROUP_TRACES_MAX: usize = 256;
const GROUP_SPANS_MAX: usize = 8_000;
/// Groups looked at before other traces have their turn.
const GROUPS_MAX: usize = 32;
/// Other ends of joins that are gathered for one late trace.
const JOINED_MAX: usize = 16;
/// Traces read because an owner links to them, for each late trace.
const CAUSES_MAX: usize = 256;
/// Times that more of them are read.
const ROUNDS_MAX: usize = 3;

impl Task {
    /// Looks at late traces that are open; those that were written are no longer. One that cannot be read does not hold
    /// up the others.
    ///
    /// # Errors
    /// What went wrong with one of those that are still open.
    pub(super) async fn look_again(&self, desk: &mut Desk, late: BTreeSet<TraceId>, now: i64) -> Result<()> {
        let mut groups = groups(late.into_iter().map(|trace| (trace, desk.open.n_spans_of(trace))));
        let (mut n_groups, mut failed) = (0, None);
        while let Some(group) = groups.pop() {
            if n_groups >= GROUPS_MAX || self.stop.is_cancelled() {
                break;
            }
            n_groups += 1;
            let taken: Vec<Taken> = group.iter().filter_map(|trace| desk.open.take(*trace, now)).collect();
            let written = self.look_at_late(desk, &taken).await;
            if matches!(written, Ok(true)) {
                desk.open.remember_leads(&taken);
                continue;
            }
            desk.open.put_back(&taken);
            if group.len() > 1 {
                let (first, second) = group.split_at(group.len() / 2);
                groups.extend([first.to_vec(), second.to_vec()]);
            } else if let Err(error) = written {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Looks at a group of late traces. False when what belongs to them does not fit; nothing was written then.
    async fn look_at_late(&self, desk: &mut Desk, taken: &[Taken]) -> Result<bool> {
        let session = self.session(&desk.tenant)?;
        let stored = &session.derived.stored;
        let config = self.engine.config();
        let (options, bounds) = (config.options(), &self.bounds);
        let late: BTreeSet<TraceId> = taken.iter().map(|taken| taken.trace).collect();
        let before = stored.at_rest(&late).await?;
        if let [one] = taken
            && before.get(&one.trace).is_some_and(|before| before.spans >= bounds.spans_max as i64)
        {
            // Only so many are ever looked at again, which may be fewer than were: its rows stay as they are.
            self.figures.left_out.fetch_add(one.spans.len() as u64, Ordering::Relaxed);
            return Ok(true);
        }
        let Some(mut spans) = self.around(&session, taken, bounds, &options).await? else { return Ok(false) };
        // Their journeys at rest may hold traces that nothing leads to any more.
        let origins: BTreeSet<TraceId> = before.values().map(|before| before.journey).collect();
        let origins = stored.at_rest(&origins).await?.into_iter().map(|(origin, at_rest)| (origin, at_rest.start));
        let loaded: BTreeSet<TraceId> = spans.iter().map(|span| span.trace_id).collect();
        let members = stored.members(&origins.collect()).await?;
        let members: BTreeSet<TraceId> = members.difference(&loaded).copied().collect();
        spans.extend(stored.spans_of(&members, bounds.spans_max).await?.into_iter().map(|(span, _)| span));
        for taken in taken.iter().filter(|taken| !loaded.contains(&taken.trace)) {
            spans.extend(taken.spans.iter().cloned());
        }
        if taken.len() > 1 && spans.len() > bounds.spans_max {
            return Ok(false);
        }
        let (mut known, mut asked, mut fetched) = (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut round = 0;
        let (analysis, owners) = loop {
            let analysis = analyze(std::mem::take(&mut spans), &options);
            let traces = analysis.graph.traces.iter().map(|(trace, _)| *trace);
            let new: BTreeSet<TraceId> = traces.filter(|trace| asked.insert(*trace)).collect();
            known.extend(stored.at_rest(&new).await?);
            let owners = owners(&analysis, taken, &before, &known, bounds);
            // What an owner links to decides about its hops, also where it does not decide about the journey.
            let spans_of = |trace: &TraceId| analysis.graph.trace(*trace).map(|at| &analysis.graph.spans[at].span);
            let links = owners.keys().flat_map(spans_of).flat_map(|span| &span.links);
            let unseen = links.filter(|link| analysis.graph.find(link.trace_id, link.span_id).is_none());
            let missing: BTreeSet<TraceId> = unseen
                .map(|link| link.trace_id)
                .filter(|trace| fetched.insert(*trace))
                .take(CAUSES_MAX * taken.len())
                .collect();
            round += 1;
            if missing.is_empty() || round > ROUNDS_MAX {
                break (analysis, owners);
            }
            let more = stored.spans_of(&missing, bounds.spans_max).await?;
            if more.is_empty() {
                break (analysis, owners);
            }
            if taken.len() > 1 && more.len() > bounds.spans_max {
                // Cut: others may be missing.
                return Ok(false);
            }
            spans = analysis.graph.spans.into_iter().map(|known| known.span).collect();
            spans.extend(more.into_iter().map(|(span, _)| span));
            if taken.len() > 1 && spans.len() > 2 * bounds.spans_max {
                return Ok(false);
            }
        };
        let breakers = open_breakers(stored, extent(&analysis)).await?;
        let told = Told { thresholds: &config.findings, breakers: &breakers };
        let look = Look::new(&analysis, &owners, &told);
        self.write(desk, &look, &known).await.map(|()| true)
    }

    /// Spans of the journeys of late traces and of those that they may be joined to: their causes', of which they are a
    /// part whatever their own, and joins that only the other end tells. `None` when there are too many, of several traces.
    async fn around(
        &self,
        session: &Session,
        taken: &[Taken],
        bounds: &Bounds,
        options: &Options,
    ) -> Result<Option<Vec<Span>>> {
        let joined = |taken: &Taken| taken.links.iter().take(JOINED_MAX).copied().collect::<Vec<_>>();
        let late = taken.iter().map(|taken| taken.trace);
        let seeds: BTreeSet<TraceId> = late.chain(taken.iter().flat_map(joined)).collect();
        let together = gather_all(session, &seeds, bounds, options).await?;
        if together.is_none() && taken.len() > 1 {
            return Ok(None);
        }
        let mut n_unchecked: usize = taken.iter().map(|taken| taken.links.len().saturating_sub(JOINED_MAX)).sum();
        let spans = match together {
            Some(spans) => spans,
            None => {
                // One trace with too much around it: as much as fits, its own journey first.
                let mut spans = Vec::new();
                for taken in taken {
                    spans = gather_lean(session, taken.trace, bounds, options).await?;
                    for other in joined(taken) {
                        if spans.len() > bounds.spans_max {
                            n_unchecked += 1;
                        } else {
                            spans.extend(gather_lean(session, other, bounds, options).await?);
                        }
                    }
                }
                spans
            }
        };
        self.figures.unchecked.fetch_add(n_unchecked as u64, Ordering::Relaxed);
        Ok(Some(spans))
    }
}

/// Late traces with their spans, in groups that probably fit.
fn groups(late: impl Iterator<Item = (TraceId, usize)>) -> Vec<Vec<TraceId>> {
    let (mut groups, mut group, mut n_spans) = (Vec::new(), Vec::new(), 0);
    for (trace, n) in late {
        if !group.is_empty() && (group.len() >= GROUP_TRACES_MAX || n_spans + n > GROUP_SPANS_MAX) {
            groups.push(std::mem::take(&mut group));
            n_spans = 0;
        }
        group.push(trace);
        n_spans += n;
    }
    groups.push(group);
    // The last is looked at first.
    groups.retain(|group| !group.is_empty());
    groups.reverse();
    groups
}

/// Traces whose rows change because of late spans of some: themselves, the origins of their journeys before and now and of
/// those they are other inputs of, the consumers of their messages, and those whose origin is another now.
fn owners(
    analysis: &Analysis,
    taken: &[Taken],
    before: &HashMap<TraceId, AtRest>,
    known: &HashMap<TraceId, AtRest>,
    bounds: &Bounds,
) -> BTreeMap<TraceId, Owner> {
    let home_of = |trace: TraceId| origin(analysis, trace, None).0;
    let old_homes: BTreeSet<TraceId> = before.values().map(|before| before.journey).collect();
    let homes: BTreeSet<TraceId> = taken.iter().map(|taken| home_of(taken.trace)).collect();
    let mut touched: BTreeSet<TraceId> = old_homes.union(&homes).copied().collect();
    for taken in taken {
        touched.extend(analysis.causes(taken.trace).map(|join| home_of(join.from)));
        touched.extend(analysis.effects(taken.trace).map(|join| join.to));
    }
    let journeys = homes.iter().filter_map(|home| journey(analysis, *home, None, bounds));
    let members: BTreeSet<TraceId> = journeys.flat_map(|journey| journey.members).map(|member| member.trace).collect();
    let mut owners: BTreeMap<TraceId, Owner> = BTreeMap::new();
    for (trace, at_rest) in known {
        let was_near = members.contains(trace) || old_homes.contains(&at_rest.journey);
        let is_touched = touched.contains(trace) || was_near && home_of(*trace) != at_rest.journey;
        // A trace that is not wholly here keeps its rows.
        let is_whole = analysis.graph.trace(*trace).len() as i64 >= at_rest.spans;
        if is_touched && is_whole {
            let owner = Owner { revision: at_rest.revision + 1, arrival_max: at_rest.arrival_max, early: false };
            owners.insert(*trace, owner);
        }
    }
    for taken in taken {
        let own = known.get(&taken.trace);
        let owner = Owner {
            revision: own.map_or(1, |own| own.revision + 1),
            arrival_max: own.map_or(taken.arrival_max, |own| own.arrival_max.max(taken.arrival_max)),
            early: taken.early,
        };
        owners.insert(taken.trace, owner);
    }
    owners
}
