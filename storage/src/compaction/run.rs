//! Does a merge: reads the inputs, writes the outputs. Commits nothing.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;

use super::merge::{Merger, Source};
use super::plan::Merge;
use crate::erasure::Erasures;
use crate::error::{Error, Result};
use crate::segment::{SegmentScan, SegmentWriter, Shape, Target, Written, gather_runs, remove, sorted};
use crate::snapshot::SegmentMeta;
use crate::table::Table;

/// An output is closed at this size.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// An output is closed at so many rows: its index takes 8 bytes of memory per row and kind of id while it is made.
const OUTPUT_ROWS_MAX: u64 = 4_000_000;
/// Rows of files in another order that are in memory at once.
const UNSORTED_ROWS_MAX: u64 = 300_000;
/// Rows that are put together at once: they lie in memory twice. The labels of all batches get one dictionary each time,
/// which costs little as long as the inputs are few.
const GATHER_ROWS: usize = 8 << 10;
/// Rows of each input in memory, twice: those at hand, and those read before that are still to be written.
const BATCH_ROWS: usize = 2 << 10;

/// What a merge made. The files are durable, and part of nothing.
#[derive(Debug)]
pub(crate) struct Merged {
    /// What was merged: the planned inputs, or the first of them.
    pub inputs: Vec<Arc<SegmentMeta>>,
    pub outputs: Vec<Written>,
    /// Rows left out because they are erased.
    pub n_erased: u64,
}

/// Merges, without the rows that `erasures` hide. `pause` is called after every 8 k rows: it waits as long as others
/// need the machine, or ends the merge with an error.
///
/// Memory: about 4 MiB per input (a row group as it is in the file, 4 k rows, a decoder per column), 8 k rows twice, a row
/// group of pages, a part of the output and its index. On an error nothing is left behind.
///
/// # Errors
/// When an input cannot be read, an output not written, or rows would be lost; and what `pause` says.
pub(crate) fn run(
    target: &Target,
    table: &'static Table,
    merge: &Merge,
    erasures: &Erasures,
    pause: &mut dyn FnMut() -> Result<()>,
) -> Result<Merged> {
    let mut merged = Merged { inputs: Vec::new(), outputs: Vec::new(), n_erased: 0 };
    match write_all(target, table, merge, erasures, pause, &mut merged) {
        Ok(()) => Ok(merged),
        Err(error) => {
            remove(target, merged.outputs.into_iter().map(|output| output.meta.path.clone()));
            Err(error)
        }
    }
}

fn write_all(
    target: &Target,
    table: &'static Table,
    merge: &Merge,
    erasures: &Erasures,
    pause: &mut dyn FnMut() -> Result<()>,
    merged: &mut Merged,
) -> Result<()> {
    let (mut inputs, mut shapes, mut n_unsorted) = (Vec::new(), Vec::new(), 0);
    for segment in &merge.inputs {
        let columns = (0..table.columns().len()).collect();
        let scan = SegmentScan::open(&target.store, &target.runtime, table, segment, columns, BATCH_ROWS)?;
        if !scan.is_sorted() {
            n_unsorted += segment.n_rows;
            // The rest is merged another time.
            if n_unsorted > UNSORTED_ROWS_MAX && !inputs.is_empty() {
                break;
            }
        }
        shapes.push((scan.shape().clone(), segment.n_rows));
        inputs.push(Input::open(table, scan, erasures)?);
        merged.inputs.push(Arc::clone(segment));
    }
    let shapes: Vec<(&Shape, u64)> = shapes.iter().map(|(shape, n_rows)| (shape, *n_rows)).collect();
    let shape = Shape::of_most(table, &shapes);
    let mut merger = Merger::new(table, inputs)?;
    let schema = table.schema();
    let mut writer: Option<SegmentWriter> = None;
    let mut n_written = 0;
    loop {
        let (batches, runs) = merger.next_group(GATHER_ROWS)?;
        if runs.is_empty() {
            break;
        }
        let rows = gather_runs(&schema, &batches, &runs)?;
        drop(batches);
        n_written += rows.num_rows() as u64;
        let output = match &mut writer {
            Some(output) => output,
            None => writer.insert(SegmentWriter::create(target, table, merge.day, merge.level, &shape)?),
        };
        output.write(&rows)?;
        if (output.n_bytes() >= OUTPUT_BYTES_MAX || output.n_rows() >= OUTPUT_ROWS_MAX)
            && let Some(full) = writer.take()
        {
            merged.outputs.push(full.finish()?);
        }
        pause()?;
    }
    if let Some(last) = writer {
        merged.outputs.push(last.finish()?);
    }
    merged.n_erased = merger.sources().iter().map(|input| input.n_erased).sum();
    let n_rows: u64 = merged.inputs.iter().map(|input| input.n_rows).sum();
    if n_rows.checked_sub(merged.n_erased) != Some(n_written) {
        let path = merged.inputs.first().map(|input| input.path.to_string()).unwrap_or_default().into();
        let detail = format!("{n_rows} rows expected in {} segments, {n_written} found", merged.inputs.len());
        return Err(Error::Damaged { path, detail });
    }
    Ok(())
}

/// Rows of one segment that are not erased, sorted.
struct Input<'a> {
    erasures: &'a Erasures,
    rows: Rows,
    n_erased: u64,
}

enum Rows {
    /// As they stand in the file.
    Sorted(SegmentScan),
    /// A file with another order, read and sorted at once, about 250 bytes a row: only builds before the first release wrote such.
    Read(std::vec::IntoIter<RecordBatch>),
}

impl<'a> Input<'a> {
    fn open(table: &'static Table, mut scan: SegmentScan, erasures: &'a Erasures) -> Result<Self> {
        if scan.is_sorted() {
            return Ok(Self { erasures, rows: Rows::Sorted(scan), n_erased: 0 });
        }
        let mut batches = Vec::new();
        while let Some(batch) = scan.next()? {
            batches.push(batch);
        }
        let all = sorted(table, &batches.iter().collect::<Vec<_>>())?;
        let starts = (0..all.num_rows()).step_by(BATCH_ROWS);
        let slices: Vec<_> = starts.map(|at| all.slice(at, BATCH_ROWS.min(all.num_rows() - at))).collect();
        Ok(Self { erasures, rows: Rows::Read(slices.into_iter()), n_erased: 0 })
    }
}

impl Source for Input<'_> {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let rows = match &mut self.rows {
                Rows::Sorted(scan) => scan.next()?,
                Rows::Read(batches) => batches.next(),
            };
            let Some(rows) = rows else { return Ok(None) };
            let kept = match self.erasures.visible(&rows) {
                None => rows,
                Some(visible) => {
                    let kept = filter_record_batch(&rows, &visible)?;
                    self.n_erased += (rows.num_rows() - kept.num_rows()) as u64;
                    kept
                }
            };
            if kept.num_rows() > 0 {
                return Ok(Some(kept));
            }
        }
    }
}
