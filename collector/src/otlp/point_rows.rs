//! Rows of the point tables under construction, one line per column.
//!
//! Every point table begins with the same columns (the series), which [`SeriesColumns`] keeps; what a point says stands
//! in the columns of its own table.

use arrow::array::ArrayRef;
use model::Repairs;
use storage::table::{floats_item, ints_item};

use super::columns::{Bools, Bytes, Doubles, Ints, Labels, Lists, Named, ShortInts};
use super::keys::Keys;
use super::message::{Buckets, Exemplar, List, Number, Text};
use super::metrics::{PointHead, Series};
use super::origin::OriginColumns;
use super::text;
use crate::sanitize::{self, Rules, ids, times};

pub(super) const fn double(value: Option<Number>) -> Option<f64> {
    match value {
        Some(Number::Double(value)) => Some(value),
        _ => None,
    }
}

pub(super) const fn int(value: Option<Number>) -> Option<i64> {
    match value {
        Some(Number::Int(value)) => Some(value),
        _ => None,
    }
}

/// The columns with which every point table begins.
#[derive(Debug, Default)]
pub(super) struct SeriesColumns {
    pub(super) n_rows: usize,
    pub(super) time: Ints,
    pub(super) start_time: Ints,
    pub(super) arrival_time: Ints,
    pub(super) metric_name: Labels,
    pub(super) metric_unit: Labels,
    pub(super) metric_description: Labels,
    pub(super) metric_metadata: Labels,
    pub(super) series_id: Ints,
    pub(super) flags: Ints,
    pub(super) attributes: Labels,
    pub(super) repairs: ShortInts,
    pub(super) origin: OriginColumns,
}

impl SeriesColumns {
    pub(super) fn push(&mut self, head: &PointHead, attributes: Text<'_>, series: &Series<'_>) {
        self.time.push(head.time);
        self.start_time.push(head.start_time);
        self.metric_name.push(series.name);
        self.metric_unit.push(series.unit);
        self.metric_description.push(series.description);
        self.metric_metadata.push_option(series.metadata.as_deref());
        self.series_id.push(head.series_id);
        self.flags.push(head.flags);
        self.attributes.push(attributes);
        self.repairs.push(head.repairs.bits());
        self.n_rows += 1;
    }

    pub(super) fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
        let n_rows = std::mem::take(&mut self.n_rows);
        self.arrival_time.fill(rules.now.0, n_rows);
        into.extend::<[Named; 10]>([
            ("time", self.time.finish()),
            ("start_time", self.start_time.finish()),
            ("arrival_time", self.arrival_time.finish()),
            ("metric_name", self.metric_name.finish_all()),
            ("metric_unit", self.metric_unit.finish_all()),
            ("metric_description", self.metric_description.finish_all()),
            ("series_id", self.series_id.finish()),
            ("flags", self.flags.finish()),
            ("attributes", self.attributes.finish_all()),
            ("repairs", self.repairs.finish()),
        ]);
        into.extend(self.metric_metadata.finish().map(|column| ("metric_metadata", column)));
        self.origin.finish(n_rows, into);
    }
}

/// Rows of `number_points`.
#[derive(Debug, Default)]
pub(super) struct NumberRows {
    pub(super) series: SeriesColumns,
    pub(super) metric_kind: ShortInts,
    pub(super) temporality: ShortInts,
    pub(super) is_monotonic: Bools,
    pub(super) value_double: Doubles,
    pub(super) value_int: Ints,
}

impl NumberRows {
    pub(super) fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
        self.series.finish(rules, into);
        into.extend::<[Named; 3]>([
            ("metric_kind", self.metric_kind.finish()),
            ("temporality", self.temporality.finish()),
            ("is_monotonic", self.is_monotonic.finish()),
        ]);
        into.extend(self.value_double.finish_some().map(|column| ("value_double", column)));
        into.extend(self.value_int.finish_some().map(|column| ("value_int", column)));
    }
}

/// Rows of `histogram_points`.
#[derive(Debug, Default)]
pub(super) struct HistogramRows {
    pub(super) series: SeriesColumns,
    pub(super) temporality: ShortInts,
    pub(super) count: Ints,
    pub(super) sum: Doubles,
    pub(super) min: Doubles,
    pub(super) max: Doubles,
    pub(super) bounds: DoubleLists,
    pub(super) bucket_counts: CountLists,
}

impl HistogramRows {
    pub(super) fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
        self.series.finish(rules, into);
        into.extend::<[Named; 7]>([
            ("temporality", self.temporality.finish()),
            ("count", self.count.finish()),
            ("sum", self.sum.finish()),
            ("min", self.min.finish()),
            ("max", self.max.finish()),
            ("bounds", self.bounds.finish()),
            ("bucket_counts", self.bucket_counts.finish()),
        ]);
    }
}

/// Rows of `exp_histogram_points`.
#[derive(Debug, Default)]
pub(super) struct ExpHistogramRows {
    pub(super) series: SeriesColumns,
    pub(super) temporality: ShortInts,
    pub(super) count: Ints,
    pub(super) sum: Doubles,
    pub(super) min: Doubles,
    pub(super) max: Doubles,
    pub(super) scale: ShortInts,
    pub(super) zero_count: Ints,
    pub(super) zero_threshold: Doubles,
    pub(super) positive: BucketColumns,
    pub(super) negative: BucketColumns,
}

impl ExpHistogramRows {
    pub(super) fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
        self.series.finish(rules, into);
        into.extend::<[Named; 14]>([
            ("temporality", self.temporality.finish()),
            ("count", self.count.finish()),
            ("sum", self.sum.finish()),
            ("min", self.min.finish()),
            ("max", self.max.finish()),
            ("scale", self.scale.finish()),
            ("zero_count", self.zero_count.finish()),
            ("zero_threshold", self.zero_threshold.finish()),
            ("has_positive", self.positive.is_sent.finish()),
            ("positive_offset", self.positive.offset.finish()),
            ("positive_counts", self.positive.counts.finish()),
            ("has_negative", self.negative.is_sent.finish()),
            ("negative_offset", self.negative.offset.finish()),
            ("negative_counts", self.negative.counts.finish()),
        ]);
    }
}

/// Buckets on one side of an exponential histogram.
#[derive(Debug, Default)]
pub(super) struct BucketColumns {
    pub(super) is_sent: Bools,
    pub(super) offset: ShortInts,
    pub(super) counts: CountLists,
}

impl BucketColumns {
    pub(super) fn push(&mut self, buckets: Option<&Buckets<'_>>) {
        self.is_sent.push(buckets.is_some());
        self.offset.push(buckets.map_or(0, |buckets| buckets.offset));
        self.counts.push(buckets.map_or(&[], |buckets| &buckets.counts));
    }
}

/// Rows of `summary_points`.
#[derive(Debug, Default)]
pub(super) struct SummaryRows {
    pub(super) series: SeriesColumns,
    pub(super) count: Ints,
    pub(super) sum: Doubles,
    pub(super) quantiles: DoubleLists,
    pub(super) quantile_values: DoubleLists,
}

impl SummaryRows {
    pub(super) fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
        self.series.finish(rules, into);
        into.extend::<[Named; 4]>([
            ("count", self.count.finish()),
            ("sum", self.sum.finish()),
            ("quantiles", self.quantiles.finish()),
            ("quantile_values", self.quantile_values.finish()),
        ]);
    }
}

/// Rows of `exemplars`.
#[derive(Debug, Default)]
pub(super) struct ExemplarRows {
    pub(super) n_rows: usize,
    pub(super) time: Ints,
    pub(super) sent_time: Ints,
    pub(super) point_time: Ints,
    pub(super) arrival_time: Ints,
    pub(super) metric_name: Labels,
    pub(super) service_name: Labels,
    pub(super) series_id: Ints,
    pub(super) trace_id: Bytes,
    pub(super) span_id: Bytes,
    pub(super) value_double: Doubles,
    pub(super) value_int: Ints,
    pub(super) attributes: Bytes,
    pub(super) repairs: ShortInts,
}

impl ExemplarRows {
    /// Gives back what was mended on any of them, for the counters; each row has its own.
    pub(super) fn push_all(
        &mut self,
        exemplars: List<'_, Exemplar<'_>>,
        point: &PointHead,
        series: &Series<'_>,
        keys: &mut Keys,
        rules: &Rules,
    ) -> Repairs {
        let mut all_repairs = Repairs::NONE;
        for mut exemplar in exemplars {
            let time = times::exemplar(exemplar.time, point.time, rules);
            let mut repairs = time.repairs | ids::exemplar(&mut exemplar);
            repairs |= sanitize::attributes(&mut exemplar.attributes, &mut 0, keys);
            self.time.push(time.time);
            self.sent_time.push_option(time.sent);
            self.point_time.push(point.time);
            self.metric_name.push(series.name);
            self.service_name.push(series.origin.service_name());
            self.series_id.push(point.series_id);
            self.trace_id.push_non_empty(exemplar.trace_id);
            self.span_id.push_non_empty(exemplar.span_id);
            self.value_double.push_option(double(exemplar.value));
            self.value_int.push_option(int(exemplar.value));
            self.attributes.push_written(|out| text::write_attributes(out, &exemplar.attributes));
            self.repairs.push(repairs.bits());
            self.n_rows += 1;
            all_repairs |= repairs;
        }
        all_repairs
    }

    pub(super) fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
        let n_rows = std::mem::take(&mut self.n_rows);
        self.arrival_time.fill(rules.now.0, n_rows);
        into.extend::<[Named; 13]>([
            ("time", self.time.finish()),
            ("sent_time", self.sent_time.finish()),
            ("point_time", self.point_time.finish()),
            ("arrival_time", self.arrival_time.finish()),
            ("metric_name", self.metric_name.finish_all()),
            ("service_name", self.service_name.finish_all()),
            ("series_id", self.series_id.finish()),
            ("trace_id", self.trace_id.finish_bytes()),
            ("span_id", self.span_id.finish_bytes()),
            ("value_double", self.value_double.finish()),
            ("value_int", self.value_int.finish()),
            ("attributes", self.attributes.finish_texts()),
            ("repairs", self.repairs.finish()),
        ]);
    }
}

/// A column of lists of doubles.
#[derive(Debug, Default)]
pub(super) struct DoubleLists {
    pub(super) rows: Lists,
    pub(super) items: Doubles,
}

impl DoubleLists {
    pub(super) fn push(&mut self, values: impl Iterator<Item = f64>) {
        values.for_each(|value| self.items.push(value));
        self.rows.end_row(self.items.len());
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let items = self.items.finish();
        self.rows.finish(floats_item(), items)
    }
}

/// A column of lists of counts; unsigned numbers keep their bits.
#[derive(Debug, Default)]
pub(super) struct CountLists {
    pub(super) rows: Lists,
    pub(super) items: Ints,
}

impl CountLists {
    pub(super) fn push(&mut self, counts: &[u64]) {
        counts.iter().for_each(|count| self.items.push(count.cast_signed()));
        self.rows.end_row(self.items.len());
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let items = self.items.finish();
        self.rows.finish(ints_item(), items)
    }
}
