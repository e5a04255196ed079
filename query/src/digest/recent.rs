//! What was looked at lately, and what traces that were looked at lead to. Pure, bounded, in memory only.
//!
//! A *lead* is a hash of something that traces share: the name of a message, a status address, the context of a message
//! whose sender was never seen. A trace that settles with the lead of one at rest is looked at together with that one.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use model::TraceId;

/// Traces remembered as looked at; older ones are looked up at rest.
const TRACES_MAX: usize = 300_000;
/// Leads of such traces remembered.
pub(crate) const LEADS_MAX: usize = 300_000;
/// Memory of a trace or lead, which stands in a map and in a queue.
const ENTRY_BYTES: usize = 48;

/// Traces and leads, oldest out first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    traces: HashSet<TraceId>,
    order: VecDeque<(TraceId, i64)>,
    leads: HashMap<u64, TraceId>,
    leads_order: VecDeque<u64>,
    /// Traces that were looked at before this moment may have been forgotten.
    pub(crate) since: i64,
}

impl Recent {
    /// Remembers from a moment on.
    pub(crate) fn new(since: i64) -> Self {
        Self { since, ..Self::default() }
    }

    /// Memory it takes, estimated.
    pub(crate) fn bytes(&self) -> usize {
        (self.traces.len() + self.leads.len()) * ENTRY_BYTES
    }

    /// The trace was looked at lately.
    pub(crate) fn contains(&self, trace: TraceId) -> bool {
        self.traces.contains(&trace)
    }

    /// The trace that was last looked at with this lead.
    pub(crate) fn leads_to(&self, lead: u64) -> Option<TraceId> {
        self.leads.get(&lead).copied()
    }

    /// Remembers a trace as looked at, at this moment.
    pub(crate) fn remember(&mut self, trace: TraceId, now: i64) {
        if self.traces.insert(trace) {
            self.order.push_back((trace, now));
        }
        while self.order.len() > TRACES_MAX {
            if let Some((trace, then)) = self.order.pop_front() {
                self.traces.remove(&trace);
                self.since = self.since.max(then);
            }
        }
    }

    /// Remembers that a trace at rest has a lead.
    pub(crate) fn remember_lead(&mut self, lead: u64, trace: TraceId) {
        if self.leads.insert(lead, trace).is_none() {
            self.leads_order.push_back(lead);
        }
        while self.leads_order.len() > LEADS_MAX {
            let oldest = self.leads_order.pop_front();
            oldest.map(|oldest| self.leads.remove(&oldest));
        }
    }
}
