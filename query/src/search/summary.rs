//! A trace in a list, summed up from its spans one after the other in bounded memory.

use std::collections::HashMap;

use api::{ServiceShare, ShapeBar, TraceItem};
use model::TraceId;

use crate::trace::row::SpanRow;

/// Bars of a picture.
const BARS_MAX: usize = 32;
/// Rows of a picture.
const BAR_ROWS_MAX: usize = 8;
/// Services told apart in a list; further ones are counted under the last one.
const SERVICES_MAX: usize = 100;

/// A trace, as far as its spans were seen.
#[derive(Debug)]
pub(super) struct Summary {
    /// Earliest start.
    pub(super) start: i64,
    end: i64,
    spans: u64,
    errors: u64,
    /// The span that names the trace: the earliest root, else the earliest span.
    head: SpanRow,
    services: Vec<Share>,
    service_index: HashMap<String, usize>,
    bars: Vec<Bar>,
}

#[derive(Debug)]
struct Share {
    name: String,
    first: i64,
    spans: u64,
    errors: u64,
}

#[derive(Debug)]
struct Bar {
    service: usize,
    start: i64,
    duration: i64,
    error: bool,
}

/// Summaries by trace.
#[derive(Debug, Default)]
pub(super) struct Summaries(HashMap<TraceId, Summary>);

impl Summaries {
    pub(super) fn add(&mut self, row: SpanRow) {
        match self.0.get_mut(&row.trace_id) {
            Some(summary) => summary.add(row),
            None => {
                self.0.insert(row.trace_id, Summary::new(row));
            }
        }
    }

    pub(super) fn get(&self, trace_id: TraceId) -> Option<&Summary> {
        self.0.get(&trace_id)
    }
}

impl Summary {
    fn new(row: SpanRow) -> Self {
        let mut summary = Self {
            start: row.start,
            end: row.end(),
            spans: 0,
            errors: 0,
            head: row.clone(),
            services: Vec::new(),
            service_index: HashMap::new(),
            bars: Vec::new(),
        };
        summary.add(row);
        summary
    }

    fn add(&mut self, row: SpanRow) {
        self.start = self.start.min(row.start);
        self.end = self.end.max(row.end());
        self.spans += 1;
        self.errors += u64::from(row.is_error);

        let service = self.service(&row.service);
        let share = &mut self.services[service];
        share.first = share.first.min(row.start);
        share.spans += 1;
        share.errors += u64::from(row.is_error);

        self.bars.push(Bar { service, start: row.start, duration: row.duration, error: row.is_error });
        if self.bars.len() >= 4 * BARS_MAX {
            self.keep_longest_bars();
        }
        let rank = |row: &SpanRow| (row.parent.is_some(), row.start, row.span_id);
        if rank(&row) < rank(&self.head) {
            self.head = row;
        }
    }

    fn service(&mut self, name: &str) -> usize {
        if let Some(index) = self.service_index.get(name) {
            return *index;
        }
        if self.services.len() == SERVICES_MAX {
            return SERVICES_MAX - 1;
        }
        self.services.push(Share { name: name.to_owned(), first: i64::MAX, spans: 0, errors: 0 });
        self.service_index.insert(name.to_owned(), self.services.len() - 1);
        self.services.len() - 1
    }

    fn keep_longest_bars(&mut self) {
        self.bars.sort_by_key(|bar| (std::cmp::Reverse(bar.duration), bar.start, bar.service));
        self.bars.truncate(BARS_MAX);
    }

    /// From the earliest start to the latest end.
    pub(super) const fn duration(&self) -> u64 {
        self.end.abs_diff(self.start)
    }

    /// The list's entry.
    pub(super) fn item(&self, trace_id: TraceId) -> TraceItem {
        let mut order: Vec<usize> = (0..self.services.len()).collect();
        order.sort_by_key(|index| (self.services[*index].first, &self.services[*index].name));
        let mut place = vec![0u32; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = u32::try_from(new).unwrap_or_default();
        }
        let share = |index: &usize| {
            let share = &self.services[*index];
            ServiceShare { name: share.name.clone(), spans: share.spans, errors: share.errors }
        };
        let has_root = self.head.parent.is_none();
        TraceItem {
            trace_id,
            service: self.head.service.clone(),
            name: self.head.name.clone(),
            badge: self.head.badge.clone(),
            has_root,
            start_unix_nano: self.start.to_string(),
            duration_nanos: self.duration(),
            root_duration_nanos: has_root.then(|| self.head.duration.unsigned_abs()),
            spans: self.spans,
            errors: self.errors,
            result: self.head.result.clone(),
            services: order.iter().map(share).collect(),
            shape: self.shape(&place),
        }
    }

    /// The longest spans, packed into rows so that bars of one row do not overlap.
    fn shape(&self, place: &[u32]) -> Vec<ShapeBar> {
        let mut bars: Vec<&Bar> = self.bars.iter().collect();
        bars.sort_by_key(|bar| (std::cmp::Reverse(bar.duration), bar.start, place[bar.service]));
        bars.truncate(BARS_MAX);
        bars.sort_by_key(|bar| (bar.start, std::cmp::Reverse(bar.duration), place[bar.service]));
        let mut row_ends: Vec<i64> = Vec::new();
        let mut shape = Vec::with_capacity(bars.len());
        for bar in bars {
            let row = row_ends.iter().position(|end| *end <= bar.start).unwrap_or(row_ends.len());
            if row >= BAR_ROWS_MAX {
                continue;
            }
            let end = bar.start.saturating_add(bar.duration);
            match row_ends.get_mut(row) {
                Some(row_end) => *row_end = end,
                None => row_ends.push(end),
            }
            shape.push(ShapeBar {
                service: place[bar.service],
                offset_nanos: bar.start.abs_diff(self.start),
                duration_nanos: bar.duration.unsigned_abs(),
                row: u8::try_from(row).unwrap_or_default(),
                error: bar.error,
            });
        }
        shape
    }
}
