//! One data point to one row; exemplars to rows of their own table. The columns are in `point_rows.rs`.

use model::{MetricKind, Repairs};
use storage::Batch;
use storage::table::{EXEMPLARS, EXP_HISTOGRAM_POINTS, HISTOGRAM_POINTS, NUMBER_POINTS, SUMMARY_POINTS, Table};

use super::columns::Named;
use super::keys::Keys;
use super::message::{
    Attributes, Data, ExponentialHistogramPoint, HistogramPoint, Metric, Metrics, NumberPoint, SummaryPoint, Text,
};
use super::origin::Origin;
use super::point_rows::{ExemplarRows, ExpHistogramRows, HistogramRows, NumberRows, SummaryRows, double, int};
use super::series::{AttributesText, SeriesHash};
use super::sink::{From, Rows};
use super::{BATCH_ROWS_MAX, Request, text};
use crate::admission::SeriesGate;
use crate::outcome::Reason;
use crate::sanitize::{self, Rules, points, times};

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
    /// Ends the request at hand when its tenant cannot have its series.
    pub(super) gate: Option<SeriesGate>,
}

impl Rows<Metrics> for PointRows {
    const HAS_SERIES: bool = true;

    fn take(
        &mut self,
        metric: &mut Metric<'_>,
        repairs: Repairs,
        from: &From,
        keys: &mut Keys,
        rules: &Rules,
        count: impl FnMut(Result<Repairs, Reason>),
    ) {
        self.push_metric(metric, repairs, from, keys, rules, count);
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

/// What the points of one metric share.
pub(super) struct Series<'s> {
    pub(super) name: Text<'s>,
    pub(super) unit: Text<'s>,
    pub(super) description: Text<'s>,
    pub(super) metadata: Option<Vec<u8>>,
    pub(super) temporality: i32,
    pub(super) is_monotonic: bool,
    pub(super) kind: MetricKind,
    pub(super) hash: SeriesHash,
    pub(super) origin: &'s Origin,
    /// Of the metric, its scope and its resource: they concern all points.
    pub(super) repairs: Repairs,
}

/// What every point has.
pub(super) struct PointHead {
    pub(super) time: i64,
    pub(super) start_time: i64,
    pub(super) series_id: i64,
    pub(super) flags: i64,
    pub(super) repairs: Repairs,
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
        from: &From,
        keys: &mut Keys,
        rules: &Rules,
        mut count: impl FnMut(Result<Repairs, Reason>),
    ) {
        let Some(data) = metric.data.take().filter(|_| !self.is_refused()) else { return };
        let (kind, temporality, is_monotonic) = match &data {
            Data::Gauge(_) => (MetricKind::Gauge, 0, false),
            Data::Sum(sum) => (MetricKind::Sum, sum.temporality, sum.is_monotonic),
            Data::Histogram(histogram) => (MetricKind::Histogram, histogram.temporality, false),
            Data::ExponentialHistogram(histogram) => (MetricKind::ExponentialHistogram, histogram.temporality, false),
            Data::Summary(_) => (MetricKind::Summary, 0, false),
        };
        let mended = sanitize::metric(metric, keys);
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
                .origin(&from.parts),
            origin: &from.origin,
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

    /// True when nothing of the request will be kept.
    fn is_refused(&self) -> bool {
        self.gate.as_ref().is_some_and(SeriesGate::is_shut)
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
        if self.is_refused() {
            return Err(Reason::NoValue);
        }
        let (time, repairs) = times::point(sent.time, rules)?;
        let mended = sanitize::attributes(&mut attributes, &mut 0, keys);
        self.attributes.write(&attributes);
        let series_id = series.hash.point(&self.attributes);
        // Then the request is refused as a whole, and nobody hears the reason given here.
        if self.gate.as_mut().is_some_and(|gate| !gate.passes(series_id)) {
            return Err(Reason::NoValue);
        }
        Ok(PointHead {
            time,
            start_time: sent.start_time.cast_signed(),
            series_id,
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
}
