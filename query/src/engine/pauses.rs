//! Plans with pauses, in which they can be cancelled and others have their turn.
//!
//! A plan works on a query thread until it is asked for more than it has. Joins may be asked once and never come back: a
//! condition that no pair of rows fulfils makes no batch, however many billions of pairs are looked at. And what takes all of
//! its input before it gives something, a `GROUP BY` say, has DataFusion's own pauses only: one after 128 batches, each of which may
//! take it 20 ms. So
//!
//! - what reads, sorts, groups, joins or gathers is followed by a pause whenever [`TURN`] has passed, and whatever makes many
//!   batches of one by DataFusion's own pause too;
//! - what probes a join, and what is grouped, comes in pieces, which are small when there is long work on each. A piece begins with
//!   one row and doubles while it takes less than [`PIECE_MIN`], so that quick work has whole batches after thirteen pieces;
//! - joins, for which one row or the table of all of them may be a second's work, look whether anybody still waits (`stoppable.rs`).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::Stream;

use super::label_groups::LabelGroupsExec;
use super::stoppable::stoppable;
use crate::error::Result;

/// How long a plan works before others have their turn.
const TURN: Duration = Duration::from_millis(10);
/// Whoever takes less for a piece gets larger ones, and smaller ones from four times as long on.
const PIECE_MIN: Duration = Duration::from_millis(2);

/// The plan with pauses.
///
/// # Errors
/// When a plan cannot be put together again: a bug.
pub(crate) fn with_pauses(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let pauses = |plan: Arc<dyn ExecutionPlan>| {
        let is_probed = plan.is::<NestedLoopJoinExec>() || plan.is::<HashJoinExec>();
        let is_many =
            is_probed || plan.is::<CrossJoinExec>() || plan.is::<SortMergeJoinExec>() || plan.is::<UnnestExec>();
        let is_busy = is_many
            || plan.children().is_empty()
            || plan.is::<AggregateExec>()
            || plan.is::<LabelGroupsExec>()
            || plan.is::<SortExec>()
            || plan.is::<SortPreservingMergeExec>()
            || plan.is::<CoalescePartitionsExec>()
            || plan.is::<RepartitionExec>();
        if !is_busy {
            return Ok(Transformed::no(plan));
        }
        // Each new group may take 10 KiB: `count(DISTINCT ...)` has a set for each.
        let is_grouped = plan.is::<LabelGroupsExec>()
            || plan.downcast_ref::<AggregateExec>().is_some_and(|plan| !plan.group_expr().is_empty());
        let plan = if is_probed { stoppable(plan)? } else { plan };
        let plan = if is_probed || is_grouped { in_pieces(plan)? } else { plan };
        let plan = if is_many { Arc::new(CooperativeExec::new(plan)) } else { plan };
        Ok(Transformed::yes(Arc::new(TurnsExec { input: plan, are_cut: false }) as _))
    };
    Ok(plan.transform_up(pauses)?.data)
}

/// A plan whose input comes in pieces; of a join the right side, by which it is probed.
fn in_pieces(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let mut children: Vec<_> = plan.children().into_iter().map(Arc::clone).collect();
    if let Some(probe) = children.pop() {
        children.push(Arc::new(TurnsExec { input: probe, are_cut: true }));
    }
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
}

/// The rows of a plan with a pause whenever others should have their turn; cut to pieces that whoever takes them works off in
/// milliseconds, or as they are.
#[derive(Debug)]
pub(super) struct TurnsExec {
    input: Arc<dyn ExecutionPlan>,
    are_cut: bool,
}

impl DisplayAs for TurnsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TurnsExec")
    }
}

impl ExecutionPlan for TurnsExec {
    fn name(&self) -> &'static str {
        "TurnsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, are_cut: self.are_cut })),
            _ => Err(DataFusionError::Internal("TurnsExec has one child".to_owned())),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let piece_rows = self.are_cut.then_some(1);
        Ok(Box::pin(Turns { rows, rest: None, piece_rows, turn_began: None, given: None }))
    }
}

/// Batches of `rows`, in turns.
struct Turns {
    rows: SendableRecordBatchStream,
    /// What is still to be given of the last batch.
    rest: Option<RecordBatch>,
    /// Rows of the next piece; `None` when batches stay whole.
    piece_rows: Option<usize>,
    /// Since when nobody else had a turn.
    turn_began: Option<Instant>,
    /// When the last piece was given, and its rows.
    given: Option<(Instant, usize)>,
}

impl Stream for Turns {
    type Item = DataFusionResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let now = Instant::now();
        if let (Some((at, n_rows)), Some(piece_rows)) = (self.given.take(), self.piece_rows) {
            self.piece_rows = Some(next_piece(piece_rows, n_rows, now.duration_since(at)));
        }
        if self.turn_began.is_some_and(|began| now.duration_since(began) >= TURN) {
            self.turn_began = None;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turn_began.get_or_insert(now);
        let rows = match self.rest.take() {
            Some(rest) => rest,
            None => match Pin::new(&mut self.rows).poll_next(context) {
                Poll::Ready(Some(Ok(rows))) => rows,
                Poll::Pending => {
                    self.turn_began = None;
                    return Poll::Pending;
                }
                end => return end,
            },
        };
        let Some(piece_rows) = self.piece_rows else { return Poll::Ready(Some(Ok(rows))) };
        let n_rows = rows.num_rows().min(piece_rows);
        if n_rows < rows.num_rows() {
            self.rest = Some(rows.slice(n_rows, rows.num_rows() - n_rows));
        }
        self.given = Some((Instant::now(), n_rows));
        Poll::Ready(Some(Ok(rows.slice(0, n_rows))))
    }
}

impl RecordBatchStream for Turns {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// Rows of the next piece, when pieces had up to `piece_rows` and one of `n_rows` took so long.
fn next_piece(piece_rows: usize, n_rows: usize, took: Duration) -> usize {
    if took > 4 * PIECE_MIN {
        (n_rows / 2).max(1)
    } else if took < PIECE_MIN && n_rows == piece_rows {
        // No batch has more.
        (piece_rows * 2).min(1 << 20)
    } else {
        piece_rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_the_join() {
        let (quick, fair, slow) = (Duration::ZERO, PIECE_MIN * 2, PIECE_MIN * 5);
        assert_eq!([1, 64, 1 << 20].map(|rows| next_piece(rows, rows, quick)), [2, 128, 1 << 20]);
        assert_eq!(next_piece(64, 3, quick), 64, "the end of a batch says nothing");
        assert_eq!([1, 64].map(|rows| next_piece(rows, rows, fair)), [1, 64]);
        assert_eq!(next_piece(64, 64, slow), 32);
        assert_eq!((next_piece(64, 9, slow), next_piece(1, 1, slow)), (4, 1));
    }
}
