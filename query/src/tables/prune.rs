//! Which segments can hold rows that a query wants: pure, decided from what is known without opening them.
//!
//! Only top-level conjunctions on the table's time column, `service_name` and `trace_id` are looked at.
//! Everything else is left to the scan, which prunes row groups and pages by their own statistics.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use model::{TimeRange, TraceId, UnixNanos};
use storage::SegmentMeta;

/// What the rows of a query have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Their time lies in here.
    pub(crate) time: TimeRange,
    /// Their service is one of these; `None` when any may be.
    pub(crate) services: Option<BTreeSet<String>>,
    /// Their trace is one of these; `None` when any may be.
    pub(crate) traces: Option<BTreeSet<TraceId>>,
}

impl Bounds {
    /// Every row.
    pub(crate) const ALL: Self = Self { time: TimeRange::ALL, services: None, traces: None };

    /// What follows from filters that must all hold; never narrower than the filters.
    pub(crate) fn from_filters(time_column: &str, filters: &[Expr]) -> Self {
        let mut bounds = Self::ALL;
        let mut waiting: Vec<&Expr> = filters.iter().collect();
        while let Some(filter) = waiting.pop() {
            if let Some(traces) = traces(filter) {
                bounds.narrow_traces(traces);
                continue;
            }
            if let Some(services) = services(filter) {
                bounds.narrow_services(services);
                continue;
            }
            match filter {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => waiting.extend([&**left, &**right]),
                Expr::Alias(alias) => waiting.push(&alias.expr),
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                    bounds.compare(time_column, left, *op, right);
                    if let Some(op) = op.swap() {
                        bounds.compare(time_column, right, op, left);
                    }
                }
                Expr::Between(Between { expr, negated: false, low, high }) => {
                    bounds.compare(time_column, expr, Operator::GtEq, low);
                    bounds.compare(time_column, expr, Operator::LtEq, high);
                }
                _ => {}
            }
        }
        bounds
    }

    /// True when the segment may hold wanted rows.
    pub(crate) fn may_hold(&self, segment: &SegmentMeta) -> bool {
        let service_fits = match (&self.services, &segment.service_range) {
            (Some(services), Some((low, high))) => services.iter().any(|service| low <= service && service <= high),
            _ => true,
        };
        service_fits && self.may_hold_time(segment.time_range)
    }

    /// True when rows of this time range may be wanted.
    pub(crate) fn may_hold_time(&self, range: TimeRange) -> bool {
        self.time.overlaps(range)
    }

    fn compare(&mut self, time_column: &str, left: &Expr, op: Operator, right: &Expr) {
        if !is_column(left, time_column) {
            return;
        }
        if let Some(moment) = moment(right) {
            let after = moment.saturating_add(1);
            match op {
                Operator::Gt => self.start_at(after),
                Operator::GtEq => self.start_at(moment),
                Operator::Lt => self.end_at(moment),
                Operator::LtEq => self.end_at(after),
                Operator::Eq => {
                    self.start_at(moment);
                    self.end_at(after);
                }
                _ => {}
            }
        }
    }

    fn start_at(&mut self, nanos: i64) {
        self.time.start = self.time.start.max(UnixNanos(nanos));
    }

    fn end_at(&mut self, nanos: i64) {
        self.time.end = self.time.end.min(UnixNanos(nanos));
    }

    fn narrow_traces(&mut self, traces: BTreeSet<TraceId>) {
        self.traces = Some(match self.traces.take() {
            Some(known) => known.intersection(&traces).copied().collect(),
            None => traces,
        });
    }

    fn narrow_services(&mut self, services: BTreeSet<String>) {
        self.services = Some(match self.services.take() {
            Some(known) => known.intersection(&services).cloned().collect(),
            None => services,
        });
    }
}

/// Ids that a filter on `trace_id` allows; `None` for any other filter. A value that is no trace id allows none.
fn traces(filter: &Expr) -> Option<BTreeSet<TraceId>> {
    let id = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Binary(Some(bytes)), _) => Some(TraceId::from_bytes(bytes)),
        _ => None,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let literal = if is_column(left, "trace_id") {
                right
            } else if is_column(right, "trace_id") {
                left
            } else {
                return None;
            };
            id(literal).map(|id| id.into_iter().collect())
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut allowed = traces(left)?;
            allowed.append(&mut traces(right)?);
            Some(allowed)
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr, "trace_id") => {
            let ids = list.list.iter().map(id).collect::<Option<Vec<_>>>()?;
            Some(ids.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// Services that a filter on `service_name` allows; `None` for any other filter.
fn services(filter: &Expr) -> Option<BTreeSet<String>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let literal = if is_column(left, "service_name") {
                right
            } else if is_column(right, "service_name") {
                left
            } else {
                return None;
            };
            text(literal).map(|service| BTreeSet::from([service]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut allowed = services(left)?;
            allowed.append(&mut services(right)?);
            Some(allowed)
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr, "service_name") => {
            list.list.iter().map(text).collect()
        }
        _ => None,
    }
}

/// True when a filter asks about this column and no other.
pub(crate) fn is_about(filter: &Expr, name: &str) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty() && columns.iter().all(|column| column.name == name)
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// Nanoseconds since 1970 of a literal moment; coarser units only when they do not overflow.
fn moment(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::TimestampNanosecond(Some(nanos), _) => Some(*nanos),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => micros.checked_mul(1_000),
        ScalarValue::TimestampMillisecond(Some(millis), _) => millis.checked_mul(1_000_000),
        ScalarValue::TimestampSecond(Some(seconds), _) => seconds.checked_mul(UnixNanos::SECOND),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    value.try_as_str().flatten().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    fn at(nanos: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), Some("UTC".into())), None)
    }

    fn segment(start: i64, end: i64, services: (&str, &str)) -> SegmentMeta {
        SegmentMeta {
            path: "a.parquet".into(),
            size_bytes: 1,
            n_rows: 1,
            day: 0,
            level: 0,
            created: UnixNanos(0),
            crc32c: None,
            time_range: TimeRange::new(UnixNanos(start), UnixNanos(end)),
            service_range: Some((services.0.to_owned(), services.1.to_owned())),
        }
    }

    /// `filters` keep a segment of moments 100..200 and services cart..payment, or drop it.
    #[track_caller]
    fn check(filters: &[Expr], kept: bool) {
        let bounds = Bounds::from_filters("start_time", filters);
        assert_eq!(bounds.may_hold(&segment(100, 200, ("cart", "payment"))), kept, "{bounds:?}");
    }

    #[test]
    fn time_prunes() {
        check(&[], true);
        check(&[col("start_time").gt_eq(at(199))], true);
        check(&[col("start_time").gt(at(199))], false);
        check(&[col("start_time").lt(at(100))], false);
        check(&[col("start_time").lt_eq(at(100))], true);
        check(&[at(200).lt_eq(col("start_time"))], false);
        check(&[col("start_time").between(at(150), at(160))], true);
        check(&[col("start_time").gt(at(10)).and(col("start_time").lt(at(50)))], false);
        check(&[col("start_time").eq(at(150))], true);
    }

    #[test]
    fn services_prune() {
        check(&[col("service_name").eq(lit("checkout"))], true);
        check(&[col("service_name").eq(lit("stock"))], false);
        check(&[col("service_name").in_list(vec![lit("a"), lit("z")], false)], false);
        check(&[col("service_name").in_list(vec![lit("a"), lit("dns")], false)], true);
        check(&[col("service_name").in_list(vec![lit("a")], true)], true);
        check(&[col("service_name").eq(lit("a")).or(lit("z").eq(col("service_name")))], false);
        check(&[col("service_name").eq(lit("a")).or(col("service_name").eq(lit("checkout")))], true);
    }

    #[test]
    fn traces_are_found_in_filters() {
        let id = |n: u8| Expr::Literal(ScalarValue::Binary(Some(vec![n; 16])), None);
        let bounds = |filters: &[Expr]| {
            let traces = Bounds::from_filters("start_time", filters).traces;
            traces.map(|traces| traces.into_iter().map(|id| id.as_bytes()[0]).collect::<Vec<_>>())
        };
        let trace = || col("trace_id");
        assert_eq!(bounds(&[trace().eq(id(1))]), Some(vec![1]));
        assert_eq!(bounds(&[id(1).eq(trace()).or(trace().eq(id(2)))]), Some(vec![1, 2]));
        assert_eq!(bounds(&[trace().in_list(vec![id(3), id(4)], false), trace().eq(id(4))]), Some(vec![4]));
        assert_eq!(bounds(&[trace().in_list(vec![id(3)], true)]), None);
        assert_eq!(bounds(&[trace().eq(id(1)).or(col("kind").eq(lit(2)))]), None);
        assert_eq!(bounds(&[trace().not_eq(id(1))]), None);
    }

    /// What is not understood keeps the segment: OR, NOT, other columns.
    #[test]
    fn doubt_keeps() {
        check(&[col("service_name").eq(lit("stock")).or(col("kind").eq(lit(2)))], true);
        check(&[col("start_time").not_eq(at(5))], true);
        check(&[col("name").eq(lit("stock"))], true);
    }
}
