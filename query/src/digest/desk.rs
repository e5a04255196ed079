//! What the digest knows about one tenant: its open traces, how far it has come, and when to look again. No IO.

use model::TenantId;

use super::settled::OpenTraces;
use super::stored::with_arrival;
use crate::analysis::span::Span;
use crate::trace::plain;

/// Resources that the reader remembers before it begins anew.
const READS_MAX: usize = 10_000;

/// What the task knows about one tenant.
pub(crate) struct Desk {
    pub(super) tenant: TenantId,
    pub(super) open: OpenTraces,
    reader: plain::Reader,
    n_reads: usize,
    /// Number of the newest batch.
    pub(super) batch: i64,
    /// Arrival of the newest span that was handed over.
    pub(super) newest_arrival: i64,
    /// Until when what had become visible was handed over.
    pub(crate) taken_until: i64,
    /// Until when everything that had settled was looked at.
    pub(super) looked: i64,
    /// What had settled at this moment is being looked at.
    pub(super) due: Option<i64>,
}

impl Desk {
    pub(super) fn new(tenant: TenantId, now: i64, settle_nanos: i64) -> Self {
        Self {
            tenant,
            open: OpenTraces::new(now, settle_nanos),
            reader: plain::Reader::lean(),
            n_reads: 0,
            batch: 0,
            newest_arrival: 0,
            taken_until: now,
            looked: now,
            due: None,
        }
    }

    pub(super) fn add(&mut self, spans: &[(Span, i64)]) {
        self.newest_arrival = spans.iter().map(|(_, arrival)| *arrival).fold(self.newest_arrival, i64::max);
        self.open.add(spans);
    }

    /// The moment as of which what has settled is to be looked at now; `None` when there is time.
    ///
    /// Seldom and much at once: a batch costs as much as a thousand spans, and sums of a minute come to rest in few
    /// parts. What settles while this is done waits for the next time, so that it ends.
    pub(super) fn due(&mut self, now: i64, every_nanos: i64, bytes_max: usize) -> Option<i64> {
        if self.due.is_none() && (now - self.looked).abs() >= every_nanos {
            self.due = Some(now);
        }
        self.due.or_else(|| (self.open.bytes() > bytes_max).then_some(now))
    }

    /// Takes rows of spans.
    pub(crate) fn read(&mut self, records: &arrow::array::RecordBatch) {
        self.n_reads += 1;
        if self.n_reads > READS_MAX {
            (self.reader, self.n_reads) = (plain::Reader::lean(), 0);
        }
        let spans = with_arrival(&mut self.reader, records);
        self.add(&spans);
    }

    /// Spans that arrived before are at rest, once those that were taken out are written.
    pub(super) fn arrival_low(&self) -> i64 {
        self.open.arrival_min().unwrap_or_else(|| self.newest_arrival.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One look is over what had settled when it began, however much settles meanwhile.
    #[test]
    fn a_look_has_an_end() {
        let tenant = crate::testing::tenant();
        let mut desk = Desk::new(tenant, 100, 30);
        let mut due = |now| {
            let due = desk.due(now, 10, usize::MAX);
            if now == 115 {
                (desk.due, desk.looked) = (None, 110);
            }
            due
        };
        let found: Vec<_> = [105, 110, 112, 115, 116, 119, 121].map(&mut due).to_vec();
        assert_eq!(found, [None, Some(110), Some(110), Some(110), None, None, Some(121)]);
        assert_eq!(Desk::new(crate::testing::tenant(), 100, 30).due(101, 10, 0), None, "nothing is open");
    }
}
