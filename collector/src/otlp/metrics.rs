//! One data point to one row, one line per column; exemplars to rows of their own table.
//!
//! Every point table begins with the same columns (the series), which [`SeriesColumns`] keeps; what a
//! point says stands in the columns of its own table.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::builder::{BinaryBuilder, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow::datatypes::DataType;
use model::{MetricKind, Repairs};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint, exemplar,
    number_data_point,
};
use storage::Batch;
use storage::table::{EXEMPLARS, EXP_HISTOGRAM_POINTS, HISTOGRAM_POINTS, NUMBER_POINTS, SUMMARY_POINTS, Table};

use super::columns::{Labels, Named, Structs, batch, fill_ints};
use super::origin::{Origin, OriginColumns};
use super::series::SeriesHash;
use super::{BATCH_ROWS_MAX, text};
use crate::outcome::{Outcome, Reason};
use crate::sanitize::{self, Rules, ids, points, times};

/// Sanitizes and maps a request; refused points are counted in `outcome`.
pub(crate) fn batches(
    request: ExportMetricsServiceRequest,
    rules: &Rules,
    outcome: &mut Outcome,
) -> storage::Result<Vec<Batch>> {
    let mut rows = PointRows::default();
    let mut batches = Vec::new();
    for resource_metrics in request.resource_metrics {
        let mut origin = Origin::new(resource_metrics.resource, resource_metrics.schema_url);
        for scope_metrics in resource_metrics.scope_metrics {
            let scope = origin.set_scope(scope_metrics.scope, scope_metrics.schema_url);
            for metric in scope_metrics.metrics {
                rows.push_metric(metric, &origin, scope.as_ref(), rules, outcome);
                if rows.is_full() {
                    rows.fill_origin(&origin);
                    batches.extend(std::mem::take(&mut rows).finish(rules)?);
                }
            }
            rows.fill_origin(&origin);
        }
    }
    batches.extend(rows.finish(rules)?);
    Ok(batches)
}

/// Rows of all point tables under construction.
#[derive(Debug, Default)]
struct PointRows {
    numbers: NumberRows,
    histograms: HistogramRows,
    exp_histograms: ExpHistogramRows,
    summaries: SummaryRows,
    exemplars: ExemplarRows,
}

/// What the points of one metric share.
struct Series<'a> {
    metric_name: &'a str,
    metric_unit: &'a str,
    metric_description: &'a str,
    metric_metadata: Option<String>,
    temporality: i32,
    is_monotonic: bool,
    kind: MetricKind,
    hash: SeriesHash,
    origin: &'a Origin,
    metadata_repairs: Repairs,
}

/// What every point has.
struct PointHead {
    time: i64,
    start_time: i64,
    series_id: i64,
    flags: i64,
    attributes: String,
    repairs: Repairs,
}

impl PointRows {
    fn push_metric(
        &mut self,
        mut metric: Metric,
        origin: &Origin,
        scope: Option<&InstrumentationScope>,
        rules: &Rules,
        outcome: &mut Outcome,
    ) {
        let Some(data) = metric.data.take() else { return };
        let (kind, temporality, is_monotonic) = match &data {
            Data::Gauge(_) => (MetricKind::Gauge, 0, false),
            Data::Sum(sum) => (MetricKind::Sum, sum.aggregation_temporality, sum.is_monotonic),
            Data::Histogram(histogram) => (MetricKind::Histogram, histogram.aggregation_temporality, false),
            Data::ExponentialHistogram(histogram) => {
                (MetricKind::ExponentialHistogram, histogram.aggregation_temporality, false)
            }
            Data::Summary(_) => (MetricKind::Summary, 0, false),
        };
        let metadata_repairs = sanitize::attributes(&mut metric.metadata, &mut 0);
        let series = Series {
            metric_name: &metric.name,
            metric_unit: &metric.unit,
            metric_description: &metric.description,
            metric_metadata: (!metric.metadata.is_empty()).then(|| attributes_text(&metric.metadata)),
            temporality,
            is_monotonic,
            kind,
            hash: SeriesHash::of_metric(&metric.name, &metric.unit, kind.code(), temporality, is_monotonic)
                .origin(origin.resource_attributes(), scope),
            origin,
            metadata_repairs,
        };
        let count = |kept: Result<Repairs, Reason>, outcome: &mut Outcome| match kept {
            Ok(repairs) => outcome.keep(repairs),
            Err(reason) => outcome.reject(reason),
        };
        match data {
            Data::Gauge(gauge) => {
                for point in gauge.data_points {
                    count(self.push_number(point, &series, rules), outcome);
                }
            }
            Data::Sum(sum) => {
                for point in sum.data_points {
                    let kept = points::temporality(temporality).and_then(|()| self.push_number(point, &series, rules));
                    count(kept, outcome);
                }
            }
            Data::Histogram(histogram) => {
                for point in histogram.data_points {
                    let kept =
                        points::temporality(temporality).and_then(|()| self.push_histogram(point, &series, rules));
                    count(kept, outcome);
                }
            }
            Data::ExponentialHistogram(histogram) => {
                for point in histogram.data_points {
                    let kept =
                        points::temporality(temporality).and_then(|()| self.push_exp_histogram(point, &series, rules));
                    count(kept, outcome);
                }
            }
            Data::Summary(summary) => {
                for point in summary.data_points {
                    count(self.push_summary(point, &series, rules), outcome);
                }
            }
        }
    }

    fn push_number(&mut self, point: NumberDataPoint, series: &Series<'_>, rules: &Rules) -> Result<Repairs, Reason> {
        points::number(&point)?;
        let (time, start) = (point.time_unix_nano, point.start_time_unix_nano);
        let head = series.head(time, start, point.flags, point.attributes, Repairs::NONE, rules)?;
        let (double, int) = match point.value {
            Some(number_data_point::Value::AsDouble(value)) => (Some(value), None),
            Some(number_data_point::Value::AsInt(value)) => (None, Some(value)),
            None => (None, None),
        };
        self.numbers.series.push(&head, series);
        self.numbers.metric_kind.append_value(series.kind.code());
        self.numbers.temporality.append_value(series.temporality);
        self.numbers.is_monotonic.append_value(series.is_monotonic);
        self.numbers.value_double.append_option(double);
        self.numbers.value_int.append_option(int);
        Ok(head.repairs | self.exemplars.push_all(point.exemplars, &head, series, rules))
    }

    fn push_histogram(
        &mut self,
        point: HistogramDataPoint,
        series: &Series<'_>,
        rules: &Rules,
    ) -> Result<Repairs, Reason> {
        let repairs = points::histogram(&point)?;
        let (time, start) = (point.time_unix_nano, point.start_time_unix_nano);
        let head = series.head(time, start, point.flags, point.attributes, repairs, rules)?;
        let rows = &mut self.histograms;
        rows.series.push(&head, series);
        rows.temporality.append_value(series.temporality);
        rows.count.append_value(point.count.cast_signed());
        rows.sum.append_option(point.sum);
        rows.min.append_option(point.min);
        rows.max.append_option(point.max);
        rows.bounds.push(&point.explicit_bounds);
        rows.bucket_counts.push(&point.bucket_counts);
        Ok(head.repairs | self.exemplars.push_all(point.exemplars, &head, series, rules))
    }

    fn push_exp_histogram(
        &mut self,
        point: ExponentialHistogramDataPoint,
        series: &Series<'_>,
        rules: &Rules,
    ) -> Result<Repairs, Reason> {
        let repairs = points::exponential_histogram(&point)?;
        let (time, start) = (point.time_unix_nano, point.start_time_unix_nano);
        let head = series.head(time, start, point.flags, point.attributes, repairs, rules)?;
        let rows = &mut self.exp_histograms;
        rows.series.push(&head, series);
        rows.temporality.append_value(series.temporality);
        rows.count.append_value(point.count.cast_signed());
        rows.sum.append_option(point.sum);
        rows.min.append_option(point.min);
        rows.max.append_option(point.max);
        rows.scale.append_value(point.scale);
        rows.zero_count.append_value(point.zero_count.cast_signed());
        rows.zero_threshold.append_value(point.zero_threshold);
        rows.positive.push(point.positive.as_ref());
        rows.negative.push(point.negative.as_ref());
        Ok(head.repairs | self.exemplars.push_all(point.exemplars, &head, series, rules))
    }

    fn push_summary(&mut self, point: SummaryDataPoint, series: &Series<'_>, rules: &Rules) -> Result<Repairs, Reason> {
        let (time, start) = (point.time_unix_nano, point.start_time_unix_nano);
        let head = series.head(time, start, point.flags, point.attributes, Repairs::NONE, rules)?;
        let rows = &mut self.summaries;
        rows.series.push(&head, series);
        rows.count.append_value(point.count.cast_signed());
        rows.sum.append_value(point.sum);
        rows.quantiles.push_each(point.quantile_values.iter().map(|quantile| quantile.quantile));
        rows.quantile_values.push_each(point.quantile_values.iter().map(|quantile| quantile.value));
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
    fn finish(self, rules: &Rules) -> storage::Result<Vec<Batch>> {
        let tables: [(&'static Table, usize, Vec<Named>); 5] = [
            (&NUMBER_POINTS, self.numbers.series.n_rows, self.numbers.finish(rules)),
            (&HISTOGRAM_POINTS, self.histograms.series.n_rows, self.histograms.finish(rules)),
            (&EXP_HISTOGRAM_POINTS, self.exp_histograms.series.n_rows, self.exp_histograms.finish(rules)),
            (&SUMMARY_POINTS, self.summaries.series.n_rows, self.summaries.finish(rules)),
            (&EXEMPLARS, self.exemplars.n_rows, self.exemplars.finish(rules)),
        ];
        let filled = tables.into_iter().filter(|(_, n_rows, _)| *n_rows > 0);
        filled.map(|(table, n_rows, columns)| batch(table, n_rows, columns)).collect()
    }
}

impl Series<'_> {
    /// Checks the moment, mends the attributes and names the series.
    fn head(
        &self,
        time: u64,
        start_time: u64,
        flags: u32,
        mut attributes: Vec<KeyValue>,
        mut repairs: Repairs,
        rules: &Rules,
    ) -> Result<PointHead, Reason> {
        let (time, time_repairs) = times::point(time, rules)?;
        repairs |= time_repairs | self.origin.repairs() | self.metadata_repairs;
        repairs |= sanitize::attributes(&mut attributes, &mut 0);
        Ok(PointHead {
            time,
            start_time: start_time.cast_signed(),
            series_id: self.hash.point(&attributes),
            flags: i64::from(flags),
            attributes: attributes_text(&attributes),
            repairs,
        })
    }
}

fn attributes_text(attributes: &[KeyValue]) -> String {
    let mut out = String::new();
    text::write_attributes(&mut out, attributes);
    out
}

/// The columns with which every point table begins.
#[derive(Debug, Default)]
struct SeriesColumns {
    n_rows: usize,
    time: Int64Builder,
    start_time: Int64Builder,
    metric_name: Labels,
    metric_unit: Labels,
    metric_description: Labels,
    metric_metadata: Labels,
    series_id: Int64Builder,
    flags: Int64Builder,
    attributes: Labels,
    repairs: Int32Builder,
    origin: OriginColumns,
}

impl SeriesColumns {
    fn push(&mut self, head: &PointHead, series: &Series<'_>) {
        self.time.append_value(head.time);
        self.start_time.append_value(head.start_time);
        self.metric_name.push(series.metric_name);
        self.metric_unit.push(series.metric_unit);
        self.metric_description.push(series.metric_description);
        self.metric_metadata.push_option(series.metric_metadata.as_deref());
        self.series_id.append_value(head.series_id);
        self.flags.append_value(head.flags);
        self.attributes.push(&head.attributes);
        self.repairs.append_value(head.repairs.bits());
        self.n_rows += 1;
    }

    fn finish(mut self, rules: &Rules) -> Vec<Named> {
        let mut arrival_time = Int64Builder::new();
        fill_ints(&mut arrival_time, rules.now.0, self.n_rows);
        let mut columns: Vec<Named> = vec![
            ("time", Arc::new(self.time.finish())),
            ("start_time", Arc::new(self.start_time.finish())),
            ("arrival_time", Arc::new(arrival_time.finish())),
            ("metric_name", self.metric_name.finish()),
            ("metric_unit", self.metric_unit.finish()),
            ("metric_description", self.metric_description.finish()),
            ("metric_metadata", self.metric_metadata.finish()),
            ("series_id", Arc::new(self.series_id.finish())),
            ("flags", Arc::new(self.flags.finish())),
            ("attributes", self.attributes.finish()),
            ("repairs", Arc::new(self.repairs.finish())),
        ];
        columns.extend(self.origin.finish(self.n_rows));
        columns
    }
}

/// Rows of `number_points`.
#[derive(Debug, Default)]
struct NumberRows {
    series: SeriesColumns,
    metric_kind: Int32Builder,
    temporality: Int32Builder,
    is_monotonic: BooleanBuilder,
    value_double: Float64Builder,
    value_int: Int64Builder,
}

impl NumberRows {
    fn finish(mut self, rules: &Rules) -> Vec<Named> {
        let mut columns = self.series.finish(rules);
        columns.extend::<[Named; 5]>([
            ("metric_kind", Arc::new(self.metric_kind.finish())),
            ("temporality", Arc::new(self.temporality.finish())),
            ("is_monotonic", Arc::new(self.is_monotonic.finish())),
            ("value_double", Arc::new(self.value_double.finish())),
            ("value_int", Arc::new(self.value_int.finish())),
        ]);
        columns
    }
}

/// Rows of `histogram_points`.
#[derive(Debug, Default)]
struct HistogramRows {
    series: SeriesColumns,
    temporality: Int32Builder,
    count: Int64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    bounds: DoubleLists,
    bucket_counts: CountLists,
}

impl HistogramRows {
    fn finish(mut self, rules: &Rules) -> Vec<Named> {
        let mut columns = self.series.finish(rules);
        columns.extend::<[Named; 7]>([
            ("temporality", Arc::new(self.temporality.finish())),
            ("count", Arc::new(self.count.finish())),
            ("sum", Arc::new(self.sum.finish())),
            ("min", Arc::new(self.min.finish())),
            ("max", Arc::new(self.max.finish())),
            ("bounds", self.bounds.finish()),
            ("bucket_counts", self.bucket_counts.finish()),
        ]);
        columns
    }
}

/// Rows of `exp_histogram_points`.
#[derive(Debug, Default)]
struct ExpHistogramRows {
    series: SeriesColumns,
    temporality: Int32Builder,
    count: Int64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    scale: Int32Builder,
    zero_count: Int64Builder,
    zero_threshold: Float64Builder,
    positive: BucketColumns,
    negative: BucketColumns,
}

impl ExpHistogramRows {
    fn finish(mut self, rules: &Rules) -> Vec<Named> {
        let mut columns = self.series.finish(rules);
        columns.extend::<[Named; 14]>([
            ("temporality", Arc::new(self.temporality.finish())),
            ("count", Arc::new(self.count.finish())),
            ("sum", Arc::new(self.sum.finish())),
            ("min", Arc::new(self.min.finish())),
            ("max", Arc::new(self.max.finish())),
            ("scale", Arc::new(self.scale.finish())),
            ("zero_count", Arc::new(self.zero_count.finish())),
            ("zero_threshold", Arc::new(self.zero_threshold.finish())),
            ("has_positive", Arc::new(self.positive.is_sent.finish())),
            ("positive_offset", Arc::new(self.positive.offset.finish())),
            ("positive_counts", self.positive.counts.finish()),
            ("has_negative", Arc::new(self.negative.is_sent.finish())),
            ("negative_offset", Arc::new(self.negative.offset.finish())),
            ("negative_counts", self.negative.counts.finish()),
        ]);
        columns
    }
}

/// Buckets on one side of an exponential histogram.
#[derive(Debug, Default)]
struct BucketColumns {
    is_sent: BooleanBuilder,
    offset: Int32Builder,
    counts: CountLists,
}

impl BucketColumns {
    fn push(&mut self, buckets: Option<&Buckets>) {
        self.is_sent.append_value(buckets.is_some());
        self.offset.append_value(buckets.map_or(0, |buckets| buckets.offset));
        self.counts.push(buckets.map_or(&[], |buckets| &buckets.bucket_counts));
    }
}

/// Rows of `summary_points`.
#[derive(Debug, Default)]
struct SummaryRows {
    series: SeriesColumns,
    count: Int64Builder,
    sum: Float64Builder,
    quantiles: DoubleLists,
    quantile_values: DoubleLists,
}

impl SummaryRows {
    fn finish(mut self, rules: &Rules) -> Vec<Named> {
        let mut columns = self.series.finish(rules);
        columns.extend::<[Named; 4]>([
            ("count", Arc::new(self.count.finish())),
            ("sum", Arc::new(self.sum.finish())),
            ("quantiles", self.quantiles.finish()),
            ("quantile_values", self.quantile_values.finish()),
        ]);
        columns
    }
}

/// Rows of `exemplars`.
#[derive(Debug, Default)]
struct ExemplarRows {
    n_rows: usize,
    time: Int64Builder,
    sent_time: Int64Builder,
    point_time: Int64Builder,
    metric_name: Labels,
    service_name: Labels,
    series_id: Int64Builder,
    trace_id: BinaryBuilder,
    span_id: BinaryBuilder,
    value_double: Float64Builder,
    value_int: Int64Builder,
    attributes: StringBuilder,
    repairs: Int32Builder,
}

impl ExemplarRows {
    /// Gives back what was mended on any of them, for the counters; each row has its own.
    fn push_all(&mut self, exemplars: Vec<Exemplar>, point: &PointHead, series: &Series<'_>, rules: &Rules) -> Repairs {
        let mut all_repairs = Repairs::NONE;
        for mut exemplar in exemplars {
            let time = times::exemplar(exemplar.time_unix_nano, point.time, rules);
            let mut repairs = time.repairs | ids::exemplar(&mut exemplar);
            repairs |= sanitize::attributes(&mut exemplar.filtered_attributes, &mut 0);
            let (double, int) = match exemplar.value {
                Some(exemplar::Value::AsDouble(value)) => (Some(value), None),
                Some(exemplar::Value::AsInt(value)) => (None, Some(value)),
                None => (None, None),
            };
            self.time.append_value(time.time);
            self.sent_time.append_option(time.sent);
            self.point_time.append_value(point.time);
            self.metric_name.push(series.metric_name);
            self.service_name.push(series.origin.service_name());
            self.series_id.append_value(point.series_id);
            self.trace_id.append_option((!exemplar.trace_id.is_empty()).then_some(&exemplar.trace_id));
            self.span_id.append_option((!exemplar.span_id.is_empty()).then_some(&exemplar.span_id));
            self.value_double.append_option(double);
            self.value_int.append_option(int);
            self.attributes.append_value(attributes_text(&exemplar.filtered_attributes));
            self.repairs.append_value(repairs.bits());
            self.n_rows += 1;
            all_repairs |= repairs;
        }
        all_repairs
    }

    fn finish(mut self, rules: &Rules) -> Vec<Named> {
        let mut arrival_time = Int64Builder::new();
        fill_ints(&mut arrival_time, rules.now.0, self.n_rows);
        vec![
            ("time", Arc::new(self.time.finish())),
            ("sent_time", Arc::new(self.sent_time.finish())),
            ("point_time", Arc::new(self.point_time.finish())),
            ("arrival_time", Arc::new(arrival_time.finish())),
            ("metric_name", self.metric_name.finish()),
            ("service_name", self.service_name.finish()),
            ("series_id", Arc::new(self.series_id.finish())),
            ("trace_id", Arc::new(self.trace_id.finish())),
            ("span_id", Arc::new(self.span_id.finish())),
            ("value_double", Arc::new(self.value_double.finish())),
            ("value_int", Arc::new(self.value_int.finish())),
            ("attributes", Arc::new(self.attributes.finish())),
            ("repairs", Arc::new(self.repairs.finish())),
        ]
    }
}

/// A column of lists of doubles.
#[derive(Debug, Default)]
struct DoubleLists {
    rows: Structs,
    items: Float64Builder,
}

impl DoubleLists {
    fn push(&mut self, values: &[f64]) {
        self.push_each(values.iter().copied());
    }

    fn push_each(&mut self, values: impl Iterator<Item = f64>) {
        values.for_each(|value| self.items.append_value(value));
        self.rows.end_row(self.items.values_slice().len());
    }

    fn finish(mut self) -> ArrayRef {
        self.rows.finish_list(DataType::Float64, Arc::new(self.items.finish()))
    }
}

/// A column of lists of counts; unsigned numbers keep their bits.
#[derive(Debug, Default)]
struct CountLists {
    rows: Structs,
    items: Int64Builder,
}

impl CountLists {
    fn push(&mut self, counts: &[u64]) {
        counts.iter().for_each(|count| self.items.append_value(count.cast_signed()));
        self.rows.end_row(self.items.values_slice().len());
    }

    fn finish(mut self) -> ArrayRef {
        self.rows.finish_list(DataType::Int64, Arc::new(self.items.finish()))
    }
}
