//! One data point to one row, one line per column; exemplars to rows of their own table.
//!
//! Every point table begins with the same columns (the series), which [`SeriesColumns`] keeps; what a
//! point says stands in the columns of its own table.

use arrow::array::ArrayRef;
use model::{MetricKind, Repairs};
use storage::Batch;
use storage::table::{
    EXEMPLARS, EXP_HISTOGRAM_POINTS, HISTOGRAM_POINTS, NUMBER_POINTS, SUMMARY_POINTS, Table, floats_item, ints_item,
};

use super::columns::{Bools, Bytes, Doubles, Ints, Labels, Lists, Named, ShortInts};
use super::keys::Keys;
use super::message::{
    Attributes, Buckets, Data, Exemplar, ExponentialHistogramPoint, HistogramPoint, List, Metric, Metrics, Number,
    NumberPoint, Resource, Scope, Sink, SummaryPoint, Text,
};
use super::origin::{Origin, OriginColumns};
use super::series::{AttributesText, OriginParts, SeriesHash};
use super::{BATCH_ROWS_MAX, Request, text};
use crate::outcome::Reason;
use crate::sanitize::{self, Rules, ids, points, times};

/// Takes metrics: sanitizes each data point and writes it into columns.
#[derive(Debug)]
pub(crate) struct MetricSink<'r> {
    request: Request<'r>,
    origin: Origin,
    parts: OriginParts,
    rows: &'r mut PointRows,
    keys: &'r mut Keys,
}

impl<'r> MetricSink<'r> {
    /// A sink for one request; `rows` is empty.
    pub(crate) fn new(request: Request<'r>, rows: &'r mut PointRows, keys: &'r mut Keys) -> Self {
        Self { request, origin: Origin::default(), parts: OriginParts::default(), rows, keys }
    }

    /// What was taken.
    pub(crate) fn finish(mut self) -> storage::Result<Vec<Batch>> {
        self.end_batches();
        self.request.finish()
    }

    fn end_batches(&mut self) {
        self.rows.fill_origin(&self.origin);
        self.rows.finish(&mut self.request);
    }
}

impl Sink<Metrics> for MetricSink<'_> {
    fn resource(&mut self, mut resource: Option<Resource<'_>>, schema_url: Text<'_>, repairs: Repairs) {
        self.rows.fill_origin(&self.origin);
        self.origin.set_resource(resource.as_mut(), schema_url, repairs, self.keys);
        self.parts.set_resource(resource.as_ref());
    }

    fn scope(&mut self, mut scope: Option<Scope<'_>>, schema_url: Text<'_>, repairs: Repairs) {
        self.rows.fill_origin(&self.origin);
        self.origin.set_scope(scope.as_mut(), schema_url, repairs, self.keys);
        self.parts.set_scope(scope.as_ref());
    }

    fn item(&mut self, metric: &mut Metric<'_>, repairs: Repairs) {
        let Self { request, origin, parts, rows, keys } = self;
        let rules = request.rules;
        rows.push_metric(metric, repairs, &From { origin, parts }, keys, rules, |kept| match kept {
            Ok(repairs) => request.outcome.keep(repairs),
            Err(reason) => request.outcome.reject(reason),
        });
        if self.rows.is_full() {
            self.end_batches();
        }
    }
}

/// Where a metric comes from.
struct From<'s> {
    origin: &'s Origin,
    parts: &'s OriginParts,
}

/// Rows of all point tables under construction; used again for the next batches.
#[derive(Debug, Default)]
pub(crate) struct PointRows {
    numbers: NumberRows,
    histograms: HistogramRows,
    exp_histograms: ExpHistogramRows,
    summaries: SummaryRows,
    exemplars: ExemplarRows,
    /// Attributes of the point at hand.
    attributes: AttributesText,
}

/// What the points of one metric share.
struct Series<'s> {
    name: Text<'s>,
    unit: Text<'s>,
    description: Text<'s>,
    metadata: Option<Vec<u8>>,
    temporality: i32,
    is_monotonic: bool,
    kind: MetricKind,
    hash: SeriesHash,
    origin: &'s Origin,
    /// Of the metric, its scope and its resource: they concern all points.
    repairs: Repairs,
}

/// What every point has.
struct PointHead {
    time: i64,
    start_time: i64,
    series_id: i64,
    flags: i64,
    repairs: Repairs,
}

/// What every point of any shape has, as sent.
struct SentHead {
    time: u64,
    start_time: u64,
    flags: u32,
    repairs: Repairs,
}

impl PointRows {
    /// Takes the points of a metric; `count` hears what became of each.
    fn push_metric(
        &mut self,
        metric: &mut Metric<'_>,
        repairs: Repairs,
        from: &From<'_>,
        keys: &mut Keys,
        rules: &Rules,
        mut count: impl FnMut(Result<Repairs, Reason>),
    ) {
        let Some(data) = metric.data.take() else { return };
        let (kind, temporality, is_monotonic) = match &data {
            Data::Gauge(_) => (MetricKind::Gauge, 0, false),
            Data::Sum(sum) => (MetricKind::Sum, sum.temporality, sum.is_monotonic),
            Data::Histogram(histogram) => (MetricKind::Histogram, histogram.temporality, false),
            Data::ExponentialHistogram(histogram) => (MetricKind::ExponentialHistogram, histogram.temporality, false),
            Data::Summary(_) => (MetricKind::Summary, 0, false),
        };
        let mended = sanitize::attributes(&mut metric.metadata, &mut 0, keys);
        let metadata = (!metric.metadata.is_empty()).then(|| {
            let mut text = Vec::new();
            text::write_attributes(&mut text, &metric.metadata);
            text
        });
        let series = Series {
            name: metric.name,
            unit: metric.unit,
            description: metric.description,
            metadata,
            temporality,
            is_monotonic,
            kind,
            hash: SeriesHash::of_metric(metric.name, metric.unit, kind.code(), temporality, is_monotonic)
                .origin(from.parts),
            origin: from.origin,
            repairs: repairs | mended | from.origin.repairs(),
        };
        let known = points::temporality(temporality);
        match data {
            Data::Gauge(gauge) => {
                gauge.points.into_iter().for_each(|point| count(self.push_number(point, &series, keys, rules)));
            }
            Data::Sum(sum) => {
                let push = |point| known.and_then(|()| self.push_number(point, &series, keys, rules));
                sum.points.into_iter().map(push).for_each(count);
            }
            Data::Histogram(histogram) => {
                let push = |point| known.and_then(|()| self.push_histogram(point, &series, keys, rules));
                histogram.points.into_iter().map(push).for_each(count);
            }
            Data::ExponentialHistogram(histogram) => {
                let push = |point| known.and_then(|()| self.push_exp_histogram(point, &series, keys, rules));
                histogram.points.into_iter().map(push).for_each(count);
            }
            Data::Summary(summary) => {
                summary.points.into_iter().for_each(|point| count(self.push_summary(point, &series, keys, rules)));
            }
        }
    }

    /// Checks the moment, mends the attributes and names the series.
    fn head(
        &mut self,
        sent: &SentHead,
        mut attributes: Attributes<'_>,
        series: &Series<'_>,
        keys: &mut Keys,
        rules: &Rules,
    ) -> Result<PointHead, Reason> {
        let (time, repairs) = times::point(sent.time, rules)?;
        let mended = sanitize::attributes(&mut attributes, &mut 0, keys);
        self.attributes.write(&attributes);
        Ok(PointHead {
            time,
            start_time: sent.start_time.cast_signed(),
            series_id: series.hash.point(&self.attributes),
            flags: i64::from(sent.flags),
            repairs: sent.repairs | repairs | mended | series.repairs,
        })
    }

    fn push_number(
        &mut self,
        point: NumberPoint<'_>,
        series: &Series<'_>,
        keys: &mut Keys,
        rules: &Rules,
    ) -> Result<Repairs, Reason> {
        points::number(&point)?;
        let NumberPoint { attributes, start_time, time, value, exemplars, flags } = point;
        let sent = SentHead { time, start_time, flags, repairs: Repairs::NONE };
        let head = self.head(&sent, attributes, series, keys, rules)?;
        let rows = &mut self.numbers;
        rows.series.push(&head, self.attributes.text(), series);
        rows.metric_kind.push(series.kind.code());
        rows.temporality.push(series.temporality);
        rows.is_monotonic.push(series.is_monotonic);
        rows.value_double.push_option(double(value));
        rows.value_int.push_option(int(value));
        Ok(head.repairs | self.exemplars.push_all(exemplars, &head, series, keys, rules))
    }

    fn push_histogram(
        &mut self,
        point: HistogramPoint<'_>,
        series: &Series<'_>,
        keys: &mut Keys,
        rules: &Rules,
    ) -> Result<Repairs, Reason> {
        let repairs = points::histogram(&point)?;
        let HistogramPoint { attributes, start_time, time, count, sum, min, max, .. } = point;
        let sent = SentHead { time, start_time, flags: point.flags, repairs };
        let head = self.head(&sent, attributes, series, keys, rules)?;
        let rows = &mut self.histograms;
        rows.series.push(&head, self.attributes.text(), series);
        rows.temporality.push(series.temporality);
        rows.count.push(count.cast_signed());
        rows.sum.push_option(sum);
        rows.min.push_option(min);
        rows.max.push_option(max);
        rows.bounds.push(point.bounds.iter().copied());
        rows.bucket_counts.push(&point.bucket_counts);
        Ok(head.repairs | self.exemplars.push_all(point.exemplars, &head, series, keys, rules))
    }

    fn push_exp_histogram(
        &mut self,
        point: ExponentialHistogramPoint<'_>,
        series: &Series<'_>,
        keys: &mut Keys,
        rules: &Rules,
    ) -> Result<Repairs, Reason> {
        let repairs = points::exponential_histogram(&point)?;
        let ExponentialHistogramPoint { attributes, start_time, time, count, sum, min, max, .. } = point;
        let sent = SentHead { time, start_time, flags: point.flags, repairs };
        let head = self.head(&sent, attributes, series, keys, rules)?;
        let rows = &mut self.exp_histograms;
        rows.series.push(&head, self.attributes.text(), series);
        rows.temporality.push(series.temporality);
        rows.count.push(count.cast_signed());
        rows.sum.push_option(sum);
        rows.min.push_option(min);
        rows.max.push_option(max);
        rows.scale.push(point.scale);
        rows.zero_count.push(point.zero_count.cast_signed());
        rows.zero_threshold.push(point.zero_threshold);
        rows.positive.push(point.positive.as_ref());
        rows.negative.push(point.negative.as_ref());
        Ok(head.repairs | self.exemplars.push_all(point.exemplars, &head, series, keys, rules))
    }

    fn push_summary(
        &mut self,
        point: SummaryPoint<'_>,
        series: &Series<'_>,
        keys: &mut Keys,
        rules: &Rules,
    ) -> Result<Repairs, Reason> {
        let SummaryPoint { attributes, start_time, time, count, sum, quantiles, flags } = point;
        let sent = SentHead { time, start_time, flags, repairs: Repairs::NONE };
        let head = self.head(&sent, attributes, series, keys, rules)?;
        let rows = &mut self.summaries;
        rows.series.push(&head, self.attributes.text(), series);
        rows.count.push(count.cast_signed());
        rows.sum.push(sum);
        rows.quantiles.push(quantiles.iter().map(|quantile| quantile.quantile));
        rows.quantile_values.push(quantiles.iter().map(|quantile| quantile.value));
        Ok(head.repairs)
    }

    fn fill_origin(&mut self, origin: &Origin) {
        let all = [
            &mut self.numbers.series,
            &mut self.histograms.series,
            &mut self.exp_histograms.series,
            &mut self.summaries.series,
        ];
        for series in all {
            series.origin.fill(origin, series.n_rows);
        }
    }

    fn is_full(&self) -> bool {
        let n_rows = self.numbers.series.n_rows
            + self.histograms.series.n_rows
            + self.exp_histograms.series.n_rows
            + self.summaries.series.n_rows
            + self.exemplars.n_rows;
        n_rows >= BATCH_ROWS_MAX
    }

    /// One batch per table that has rows.
    fn finish(&mut self, request: &mut Request<'_>) {
        let rules = request.rules;
        let mut columns = Vec::new();
        let mut push = |table: &'static Table, n_rows: usize, columns: &mut Vec<Named>| {
            request.push(Batch::from_columns(table, n_rows, columns.drain(..)));
        };
        if let n @ 1.. = self.numbers.series.n_rows {
            self.numbers.finish(rules, &mut columns);
            push(&NUMBER_POINTS, n, &mut columns);
        }
        if let n @ 1.. = self.histograms.series.n_rows {
            self.histograms.finish(rules, &mut columns);
            push(&HISTOGRAM_POINTS, n, &mut columns);
        }
        if let n @ 1.. = self.exp_histograms.series.n_rows {
            self.exp_histograms.finish(rules, &mut columns);
            push(&EXP_HISTOGRAM_POINTS, n, &mut columns);
        }
        if let n @ 1.. = self.summaries.series.n_rows {
            self.summaries.finish(rules, &mut columns);
            push(&SUMMARY_POINTS, n, &mut columns);
        }
        if let n @ 1.. = self.exemplars.n_rows {
            self.exemplars.finish(rules, &mut columns);
            push(&EXEMPLARS, n, &mut columns);
        }
    }
}

const fn double(value: Option<Number>) -> Option<f64> {
    match value {
        Some(Number::Double(value)) => Some(value),
        _ => None,
    }
}

const fn int(value: Option<Number>) -> Option<i64> {
    match value {
        Some(Number::Int(value)) => Some(value),
        _ => None,
    }
}

/// The columns with which every point table begins.
#[derive(Debug, Default)]
struct SeriesColumns {
    n_rows: usize,
    time: Ints,
    start_time: Ints,
    arrival_time: Ints,
    metric_name: Labels,
    metric_unit: Labels,
    metric_description: Labels,
    metric_metadata: Labels,
    series_id: Ints,
    flags: Ints,
    attributes: Labels,
    repairs: ShortInts,
    origin: OriginColumns,
}

impl SeriesColumns {
    fn push(&mut self, head: &PointHead, attributes: Text<'_>, series: &Series<'_>) {
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

    fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
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
struct NumberRows {
    series: SeriesColumns,
    metric_kind: ShortInts,
    temporality: ShortInts,
    is_monotonic: Bools,
    value_double: Doubles,
    value_int: Ints,
}

impl NumberRows {
    fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
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
struct HistogramRows {
    series: SeriesColumns,
    temporality: ShortInts,
    count: Ints,
    sum: Doubles,
    min: Doubles,
    max: Doubles,
    bounds: DoubleLists,
    bucket_counts: CountLists,
}

impl HistogramRows {
    fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
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
struct ExpHistogramRows {
    series: SeriesColumns,
    temporality: ShortInts,
    count: Ints,
    sum: Doubles,
    min: Doubles,
    max: Doubles,
    scale: ShortInts,
    zero_count: Ints,
    zero_threshold: Doubles,
    positive: BucketColumns,
    negative: BucketColumns,
}

impl ExpHistogramRows {
    fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
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
struct BucketColumns {
    is_sent: Bools,
    offset: ShortInts,
    counts: CountLists,
}

impl BucketColumns {
    fn push(&mut self, buckets: Option<&Buckets<'_>>) {
        self.is_sent.push(buckets.is_some());
        self.offset.push(buckets.map_or(0, |buckets| buckets.offset));
        self.counts.push(buckets.map_or(&[], |buckets| &buckets.counts));
    }
}

/// Rows of `summary_points`.
#[derive(Debug, Default)]
struct SummaryRows {
    series: SeriesColumns,
    count: Ints,
    sum: Doubles,
    quantiles: DoubleLists,
    quantile_values: DoubleLists,
}

impl SummaryRows {
    fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
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
struct ExemplarRows {
    n_rows: usize,
    time: Ints,
    sent_time: Ints,
    point_time: Ints,
    arrival_time: Ints,
    metric_name: Labels,
    service_name: Labels,
    series_id: Ints,
    trace_id: Bytes,
    span_id: Bytes,
    value_double: Doubles,
    value_int: Ints,
    attributes: Bytes,
    repairs: ShortInts,
}

impl ExemplarRows {
    /// Gives back what was mended on any of them, for the counters; each row has its own.
    fn push_all(
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

    fn finish(&mut self, rules: &Rules, into: &mut Vec<Named>) {
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
struct DoubleLists {
    rows: Lists,
    items: Doubles,
}

impl DoubleLists {
    fn push(&mut self, values: impl Iterator<Item = f64>) {
        values.for_each(|value| self.items.push(value));
        self.rows.end_row(self.items.len());
    }

    fn finish(&mut self) -> ArrayRef {
        let items = self.items.finish();
        self.rows.finish(floats_item(), items)
    }
}

/// A column of lists of counts; unsigned numbers keep their bits.
#[derive(Debug, Default)]
struct CountLists {
    rows: Lists,
    items: Ints,
}

impl CountLists {
    fn push(&mut self, counts: &[u64]) {
        counts.iter().for_each(|count| self.items.push(count.cast_signed()));
        self.rows.end_row(self.items.len());
    }

    fn finish(&mut self) -> ArrayRef {
        let items = self.items.finish();
        self.rows.finish(ints_item(), items)
    }
}
