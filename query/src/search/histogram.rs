//! Items over time and duration, in one pass and fixed memory.
//!
//! Values fall into bins of a 32nd of an octave (2.2 % wide), so that percentiles are within 1.1 % and rows of the
//! picture are whole numbers of bins: the same data gives the same bytes, in whatever order it is read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use api::{HistogramAnswer, HistogramCell, HistogramDot, HistogramTime};
use model::{TenantId, TimeRange, UnixNanos};

use super::Scope;
use super::items::{self, Items, Plot};
use crate::engine::Engine;
use crate::engine::session::{Cost, Session, incomplete};
use crate::error::{Error, Result};

/// Bins per doubling of the value.
const BINS_PER_OCTAVE: f64 = 32.0;
/// Bins until 2^63 nanoseconds.
const BINS: usize = 32 * 63 + 2;
/// Bins of a row: a quarter of an octave at least.
const ROW_BINS: [usize; 6] = [8, 16, 32, 64, 128, 256];

/// Columns and rows of a picture when nobody says, and at most.
const COLUMNS: (usize, usize) = (60, 240);
const ROWS: (usize, usize) = (24, 96);
/// Items that are listed one by one, at most.
const DOTS_MAX: usize = 5_000;

/// A picture, as asked for.
#[derive(Clone, Debug)]
pub struct Picture {
    scope: Scope,
    plot: Plot,
    columns: usize,
    rows: usize,
    dots: usize,
}

impl Picture {
    /// Reads the parameters of a request; those it does not know are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`]; for the filter text with a position.
    pub fn from_params(params: &BTreeMap<String, String>, now: UnixNanos) -> Result<Self> {
        let text = |name: &str| params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let number = |name: &str, default: usize, low: usize, high: usize| match text(name).map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(n)) if (low..=high).contains(&n) => Ok(n),
            Some(_) => Err(Error::invalid(format!("{name} is a number from {low} to {high}"))),
        };
        let scope = Scope::read(&text, now)?;
        Ok(Self {
            plot: Plot::read(text("plot"), scope.unit)?,
            columns: number("columns", COLUMNS.0, 1, COLUMNS.1)?,
            rows: number("rows", ROWS.0, 2, ROWS.1)?,
            dots: number("dots", 0, 0, DOTS_MAX)?,
            scope,
        })
    }
}

/// The bin of a value.
fn bin(nanos: u64) -> usize {
    // 0 and 1 ns share the first bin.
    if nanos < 2 { 0 } else { ((nanos as f64).log2() * BINS_PER_OCTAVE) as usize }
}

/// Smallest value of a bin.
fn edge(bin: usize) -> u64 {
    if bin == 0 { 0 } else { (bin as f64 / BINS_PER_OCTAVE).exp2().ceil() as u64 }
}

/// What stands for the values of a bin: its middle on the logarithmic scale.
fn middle(bin: usize) -> u64 {
    if bin == 0 { 1 } else { ((bin as f64 + 0.5) / BINS_PER_OCTAVE).exp2().round() as u64 }
}

/// Counts of one part of the items.
#[derive(Debug)]
struct Counts {
    /// By column, then bin: items and failed items.
    cells: Vec<[u32; 2]>,
    dots: Vec<HistogramDot>,
    n_items: u64,
}

/// Columns of equal width over a range.
#[derive(Clone, Copy, Debug)]
struct Grid {
    range: TimeRange,
    step: i64,
    columns: usize,
    dots_max: usize,
}

impl Grid {
    fn new(range: TimeRange, columns: usize, dots_max: usize) -> Self {
        let length = range.end.0.saturating_sub(range.start.0).max(1);
        let wanted = i64::try_from(columns).unwrap_or(1);
        let step = (length / wanted + i64::from(length % wanted != 0)).max(1);
        let columns = usize::try_from(length / step + i64::from(length % step != 0)).unwrap_or(1);
        Self { range, step, columns, dots_max }
    }

    fn empty(self) -> Counts {
        Counts { cells: vec![[0; 2]; self.columns * BINS], dots: Vec::new(), n_items: 0 }
    }

    fn add(self, counts: &mut Counts, items: &Items) {
        for row in 0..items.len() {
            let (start, value, error) = (items.start(row), items.value(row), items.is_error(row));
            let offset = start.saturating_sub(self.range.start.0);
            let Some(column) = usize::try_from(offset / self.step).ok().filter(|column| *column < self.columns) else {
                continue; // the frame holds the range only
            };
            let cell = &mut counts.cells[column * BINS + bin(value).min(BINS - 1)];
            cell[0] += 1;
            cell[1] += u32::from(error);
            counts.n_items += 1;
            if counts.dots.len() < self.dots_max
                && let Some(trace_id) = items.trace_id(row)
            {
                let start_unix_nano = start.to_string();
                let span_id = items.span_id(row);
                counts.dots.push(HistogramDot { trace_id, span_id, start_unix_nano, nanos: value, error });
            }
        }
    }
}

/// The value below which a share `q` of the counted items lies; `None` without items.
fn percentile(bins: &[u64], q: f64) -> Option<u64> {
    let total: u64 = bins.iter().sum();
    let wanted = ((total as f64 * q).ceil() as u64).max(1);
    let mut seen = 0;
    for (index, n) in bins.iter().enumerate() {
        seen += n;
        if *n > 0 && seen >= wanted {
            return Some(middle(index));
        }
    }
    None
}

fn answer(grid: Grid, rows_max: usize, parts: Vec<Counts>) -> HistogramAnswer {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_else(|| grid.empty());
    for part in parts {
        for (sum, more) in all.cells.iter_mut().zip(part.cells) {
            *sum = [sum[0] + more[0], sum[1] + more[1]];
        }
        all.dots.extend(part.dots);
        all.n_items += part.n_items;
    }
    let mut totals = vec![0u64; BINS];
    let (mut times, mut errors) = (Vec::with_capacity(grid.columns), 0);
    for column in all.cells.chunks_exact(BINS) {
        let bins: Vec<u64> = column.iter().map(|cell| u64::from(cell[0])).collect();
        let failed = column.iter().map(|cell| u64::from(cell[1])).sum();
        totals.iter_mut().zip(&bins).for_each(|(total, n)| *total += n);
        errors += failed;
        times.push(HistogramTime { count: bins.iter().sum(), errors: failed, p95_nanos: percentile(&bins, 0.95) });
    }
    let used = |n: &u64| *n > 0;
    let (low, high) = (totals.iter().position(used).unwrap_or(0), totals.iter().rposition(used).unwrap_or(0));
    let n_rows = |bins: usize| high / bins - low / bins + 1;
    let row_bins = ROW_BINS.into_iter().find(|bins| n_rows(*bins) <= rows_max).unwrap_or(ROW_BINS[5]);
    let first_row = low / row_bins;
    let edges_nanos = (0..=n_rows(row_bins)).map(|row| edge((first_row + row) * row_bins)).collect();
    let mut cells = Vec::new();
    for (column, bins) in all.cells.chunks_exact(BINS).enumerate() {
        let mut rows: BTreeMap<usize, [u64; 2]> = BTreeMap::new();
        for (index, cell) in bins.iter().enumerate().filter(|(_, cell)| cell[0] > 0) {
            let row = rows.entry(index / row_bins - first_row).or_default();
            *row = [row[0] + u64::from(cell[0]), row[1] + u64::from(cell[1])];
        }
        let index = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        cells.extend(rows.into_iter().map(|(row, [count, errors])| HistogramCell {
            column: index(column),
            row: index(row),
            count,
            errors,
        }));
    }
    // One more than wanted was kept of each part: all of them, or too many.
    let mut dots = if all.n_items < grid.dots_max as u64 { all.dots } else { Vec::new() };
    dots.sort_by(|a, b| {
        let key =
            |dot: &HistogramDot| (dot.start_unix_nano.len(), dot.start_unix_nano.clone(), dot.trace_id, dot.span_id);
        key(a).cmp(&key(b))
    });
    HistogramAnswer {
        from_unix_nano: grid.range.start.0.to_string(),
        to_unix_nano: grid.range.end.0.to_string(),
        step_nanos: grid.step.unsigned_abs(),
        times,
        edges_nanos,
        cells,
        count: all.n_items,
        errors,
        p50_nanos: percentile(&totals, 0.50),
        p95_nanos: percentile(&totals, 0.95),
        p99_nanos: percentile(&totals, 0.99),
        dots,
        ..HistogramAnswer::default()
    }
}

async fn draw(session: &Session, picture: &Picture) -> Result<(HistogramAnswer, Cost)> {
    let scope = &picture.scope;
    let range = if scope.range == TimeRange::ALL { items::found_range(session, scope).await? } else { scope.range };
    // One more than asked for tells whether there are more.
    let grid = Grid::new(range, picture.columns, picture.dots + 1);
    let mut columns = items::columns(scope.unit, picture.plot);
    if picture.dots > 0 {
        columns.extend(items::id_columns(scope.unit));
    }
    let frame = items::frame(session, scope).await?.select(columns)?;
    let plan = session.plan(frame.logical_plan()).await?;
    let (parts, cost) = session
        .fold_parts(
            plan,
            move || grid.empty(),
            move |counts, batch| {
                grid.add(counts, &Items::of(&batch));
                Ok(ControlFlow::Continue(()))
            },
        )
        .await?;
    Ok((answer(grid, picture.rows, parts), cost))
}

impl Engine {
    /// Items of a question over time and duration.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn histogram(&self, tenant: &TenantId, picture: Picture) -> Result<HistogramAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move {
            let (answer, cost) = draw(&session, &picture).await?;
            let (incomplete, incomplete_reason) =
                incomplete(&session.snapshot, session.noted(session.derived.reason().as_deref()));
            Ok(HistogramAnswer { incomplete, incomplete_reason, rows_read: cost.rows_read, ..answer })
        });
        let answer = answer.await?;
        Ok(HistogramAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every value lies between the edges of its bin, and what stands for it is within 1.1 %.
    #[test]
    fn bins_hold_their_values() {
        for nanos in [0, 1, 2, 3, 10, 999, 1_000, 123_456_789, 1 << 40, 1 << 62] {
            let bin = bin(nanos);
            assert!(bin < BINS && edge(bin) <= nanos.max(1) && nanos < edge(bin + 1).max(2), "{nanos} in {bin}");
        }
    }

    proptest! {
        #[test]
        fn middles_are_close(nanos in 100u64..1 << 50) {
            let middle = middle(bin(nanos)) as f64;
            prop_assert!((middle / nanos as f64 - 1.0).abs() < 0.011 + 1.0 / nanos as f64, "{nanos}: {middle}");
        }

        #[test]
        fn columns_cover_the_range(start in -1_000i64..1_000, length in 1i64..10_000, columns in 1usize..240) {
            let range = TimeRange::new(UnixNanos(start), UnixNanos(start + length));
            let grid = Grid::new(range, columns, 0);
            prop_assert!(grid.columns <= columns);
            prop_assert!(grid.step * grid.columns as i64 >= length && grid.step * (grid.columns as i64 - 1) < length);
        }
    }
}
