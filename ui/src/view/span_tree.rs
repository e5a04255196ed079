//! Spans in columns, and which of them are rows at the moment.
//!
//! A trace of 100,000 spans stays in the plain columns the server sent; what is open or shut is one bit a
//! span, and the visible rows are one array that is written again in place. Nothing is allocated per row.
//!
//! The order is the server's: depth first, so the subtree of a span is the range `index..subtree_end[index]`
//! and hiding it is a jump.
//!
//! At least [`FOLD_MIN`] siblings in a row with the same service and name, each without children, fold into
//! one row "× 12".

use api::{TimelineSpans, span_flag};

use super::journey::scale::quiet;
use super::stitched::CROSSING;

/// Similar siblings needed for a fold.
pub(crate) const FOLD_MIN: usize = 5;
/// Marks a row that stands for a whole fold.
const FOLD_BIT: u32 = 1 << 31;
/// Shut spans that an address tells.
const SHUT_MAX: usize = 60;
/// Span is in no fold.
const NO_FOLD: u32 = u32::MAX;

/// A visible row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// The span with this index.
    Span(usize),
    /// The fold whose first span has this index.
    Fold(usize),
}

impl Row {
    /// The span, or the first span of the fold.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Span(index) | Self::Fold(index) => index,
        }
    }
}

/// The spans of a trace and which of them are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanTree {
    /// Columns as the server sent them.
    pub(crate) spans: TimelineSpans,
    /// First index after the subtree of each span.
    subtree_end: Vec<u32>,
    /// Spans whose children are hidden.
    shut: Vec<bool>,
    /// For the first span of a fold: how many spans it holds; 0 elsewhere.
    fold_size: Vec<u32>,
    /// For each span in a fold: the first span of it; [`NO_FOLD`] elsewhere.
    fold_first: Vec<u32>,
    /// Errors before each index; one longer than the columns.
    errors_before: Vec<u32>,
    /// Folds (by first span) whose members are shown.
    fold_open: Vec<bool>,
    /// Spans that may be rows, ancestors of each among them; `None` for all.
    kept: Option<Vec<bool>>,
    /// Only this span and what is below it.
    root: Option<usize>,
    /// Visible rows, top to bottom: span index, or that with [`FOLD_BIT`].
    rows: Vec<u32>,
}

impl SpanTree {
    /// Takes the columns; everything open, folds folded.
    ///
    /// Columns of unequal length are cut to the shortest, a parent that is not earlier counts as missing:
    /// a broken answer draws fewer rows but never panics.
    pub(crate) fn new(mut spans: TimelineSpans) -> Self {
        let n_spans = [
            spans.span_id.len(),
            spans.parent.len(),
            spans.depth.len(),
            spans.start_nanos.len(),
            spans.duration_nanos.len(),
            spans.service.len(),
            spans.name.len(),
            spans.badge.len(),
            spans.detail.len(),
            spans.kind.len(),
            spans.flags.len(),
            FOLD_BIT as usize - 1,
        ]
        .into_iter()
        .min()
        .unwrap_or(0);
        spans.span_id.truncate(n_spans);
        spans.parent.truncate(n_spans);
        for (index, parent) in spans.parent.iter_mut().enumerate() {
            if *parent >= index as i32 || *parent < -1 {
                *parent = -1;
            }
        }
        let mut subtree_end: Vec<u32> = (1..=n_spans as u32).collect();
        for index in (0..n_spans).rev() {
            let parent = spans.parent[index];
            if parent >= 0 {
                let parent = parent as usize;
                subtree_end[parent] = subtree_end[parent].max(subtree_end[index]);
            }
        }
        let fold_size = folds(&spans, &subtree_end);
        let mut fold_first = vec![NO_FOLD; n_spans];
        for (first, size) in fold_size.iter().enumerate() {
            fold_first[first..first + *size as usize].fill(first as u32);
        }
        let mut errors_before = vec![0; n_spans + 1];
        for (index, flags) in spans.flags.iter().take(n_spans).enumerate() {
            errors_before[index + 1] = errors_before[index] + u32::from(flags & span_flag::ERROR);
        }
        let mut tree = Self {
            shut: vec![false; n_spans],
            fold_open: vec![false; n_spans],
            kept: None,
            root: None,
            rows: Vec::with_capacity(n_spans),
            spans,
            subtree_end,
            fold_size,
            fold_first,
            errors_before,
        };
        tree.lay_out();
        tree
    }

    /// Spans.
    pub(crate) fn len(&self) -> usize {
        self.spans.span_id.len()
    }

    /// Rows visible at the moment.
    pub(crate) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// The row at a position from the top.
    pub(crate) fn row(&self, position: usize) -> Option<Row> {
        let row = *self.rows.get(position)?;
        Some(if row & FOLD_BIT == 0 { Row::Span(row as usize) } else { Row::Fold((row & !FOLD_BIT) as usize) })
    }

    /// The parent of a span.
    pub(crate) fn parent(&self, index: usize) -> Option<usize> {
        usize::try_from(self.spans.parent[index]).ok()
    }

    /// True when the span has children.
    pub(crate) fn has_children(&self, index: usize) -> bool {
        self.subtree_end[index] as usize > index + 1
    }

    /// True when the children of the row are visible.
    pub(crate) fn is_open(&self, row: Row) -> bool {
        match row {
            Row::Span(index) => !self.shut[index],
            Row::Fold(index) => self.fold_open[index],
        }
    }

    /// Spans in the fold.
    pub(crate) fn fold_size(&self, first: usize) -> usize {
        self.fold_size[first] as usize
    }

    /// Levels below the root; members of an open fold stand one deeper than their siblings.
    pub(crate) fn level(&self, row: Row) -> u32 {
        match row {
            Row::Span(index) => {
                self.spans.depth[index] + u32::from(self.fold_of(index).is_some_and(|first| self.fold_open[first]))
            }
            Row::Fold(index) => self.spans.depth[index],
        }
    }

    /// The first span of the fold that holds this span.
    pub(crate) fn fold_of(&self, index: usize) -> Option<usize> {
        let first = self.fold_first[index];
        (first != NO_FOLD).then_some(first as usize)
    }

    /// From the start of the first to the end of the last span of a row, in nanoseconds after the trace's start.
    pub(crate) fn extent(&self, row: Row) -> (u64, u64) {
        let end = |index: usize| self.spans.start_nanos[index].saturating_add(self.spans.duration_nanos[index]);
        match row {
            Row::Span(index) => (self.spans.start_nanos[index], end(index)),
            Row::Fold(first) => {
                let last = (first..first + self.fold_size(first)).map(end).max().unwrap_or_default();
                (self.spans.start_nanos[first], last)
            }
        }
    }

    /// Sum, shortest and longest duration in a fold.
    pub(crate) fn fold_durations(&self, first: usize) -> (u64, u64, u64) {
        let all = &self.spans.duration_nanos[first..first + self.fold_size(first)];
        let sum = all.iter().fold(0u64, |sum, nanos| sum.saturating_add(*nanos));
        (sum, all.iter().copied().min().unwrap_or_default(), all.iter().copied().max().unwrap_or_default())
    }

    /// Spans with an error in a row (in a fold: in all its members).
    pub(crate) fn row_errors(&self, row: Row) -> usize {
        match row {
            Row::Span(index) => usize::from(self.is_error(index)),
            Row::Fold(first) => self.errors_in(first, first + self.fold_size(first)),
        }
    }

    /// Spans below this one that failed.
    pub(crate) fn errors_below(&self, index: usize) -> usize {
        self.errors_in(index + 1, self.subtree_end[index] as usize)
    }

    fn errors_in(&self, from: usize, to: usize) -> usize {
        (self.errors_before[to] - self.errors_before[from]) as usize
    }

    /// Spans below this one.
    pub(crate) fn n_below(&self, index: usize) -> usize {
        self.subtree_end[index] as usize - index - 1
    }

    /// True when the span's status is error.
    pub(crate) fn is_error(&self, index: usize) -> bool {
        self.spans.flags[index] & span_flag::ERROR != 0
    }

    /// Opens or shuts a row. False when there is nothing to open or shut.
    pub(crate) fn set_open(&mut self, row: Row, open: bool) -> bool {
        let changed = match row {
            Row::Span(index) => self.has_children(index) && std::mem::replace(&mut self.shut[index], !open) == open,
            Row::Fold(index) => std::mem::replace(&mut self.fold_open[index], open) != open,
        };
        if changed {
            self.lay_out();
        }
        changed
    }

    /// Shows `levels` levels below the roots; `None` opens all (folds stay folded).
    pub(crate) fn open_to(&mut self, levels: Option<u32>) {
        for (shut, depth) in self.shut.iter_mut().zip(&self.spans.depth) {
            *shut = levels.is_some_and(|levels| *depth + 1 >= levels);
        }
        self.fold_open.fill(false);
        self.lay_out();
    }

    /// Opens whatever hides this span. True when rows changed.
    pub(crate) fn reveal(&mut self, index: usize) -> bool {
        let mut changed = false;
        if let Some(first) = self.fold_of(index) {
            changed |= !std::mem::replace(&mut self.fold_open[first], true);
        }
        let mut at = index;
        while let Some(parent) = self.parent(at) {
            changed |= std::mem::replace(&mut self.shut[parent], false);
            at = parent;
        }
        if changed {
            self.lay_out();
        }
        changed
    }

    /// Where a span stands: its own row, or that of whatever hides it.
    pub(crate) fn position(&self, index: usize) -> Option<usize> {
        // Rows are in span order; a fold stands directly before its first member.
        let after = self.rows.partition_point(|row| (row & !FOLD_BIT) as usize <= index);
        after.checked_sub(1)
    }

    /// The span with this id; never what is between spans, which has the id of the span it leads to.
    pub(crate) fn find_id(&self, id: model::SpanId) -> Option<usize> {
        (0..self.len()).find(|index| self.spans.span_id[*index] == id && !self.is_between(*index))
    }

    /// A message between two traces, or a pause between two attempts, instead of a span.
    pub(crate) fn is_between(&self, index: usize) -> bool {
        self.spans.kind[index] >= CROSSING
    }

    /// Stretches of a trace of this length in which no span runs, in order; messages wait, they do not run.
    pub(crate) fn quiet(&self, length_nanos: u64) -> Vec<(f64, f64)> {
        let extent = |index: usize| self.extent(Row::Span(index));
        // What runs inside its parent fills no gap: of 100,000 spans few are left to be sorted.
        let is_inside = |index: usize| {
            let ((start, end), parent) = (extent(index), self.parent(index).map(extent));
            parent.is_some_and(|(from, to)| from <= start && end <= to)
        };
        let busy = (0..self.len()).filter(|index| !self.is_between(*index) && !is_inside(*index)).map(extent);
        quiet(&mut busy.map(|(start, end)| (start as f64, end as f64)).collect::<Vec<_>>(), length_nanos as f64)
    }

    /// Shows only rows that are wanted, each below its parents, and only those at or below `root`.
    pub(crate) fn keep(&mut self, wanted: Option<&dyn Fn(usize) -> bool>, root: Option<usize>) {
        self.root = root.filter(|root| *root < self.len());
        self.kept = wanted.map(|wanted| {
            let mut kept = vec![false; self.len()];
            // Children stand after their parents: one pass from the end marks those above, too.
            for index in (0..self.len()).rev() {
                kept[index] |= wanted(index);
                if let Some(parent) = self.parent(index).filter(|_| kept[index]) {
                    kept[parent] = true;
                }
            }
            kept
        });
        self.lay_out();
    }

    /// True when the span can be no row, whatever is opened.
    pub(crate) fn is_left_out(&self, index: usize) -> bool {
        let outside = self.root.is_some_and(|root| index < root || index >= self.subtree_end[root] as usize);
        outside || self.kept.as_ref().is_some_and(|kept| !kept[index])
    }

    /// Spans whose children are hidden, as text: distances from one to the next in base 36, points between. `None` when none is, or more
    /// than an address should hold.
    pub(crate) fn shut_text(&self) -> Option<String> {
        let mut last = 0;
        let mut parts = Vec::new();
        for index in (0..self.len()).filter(|index| self.shut[*index] && self.has_children(*index)) {
            if parts.len() == SHUT_MAX {
                return None;
            }
            parts.push(base36(index - last));
            last = index;
        }
        (!parts.is_empty()).then(|| parts.join("."))
    }

    /// Opens all but the spans that [`Self::shut_text`] told; what cannot be read shuts nothing.
    pub(crate) fn shut_like(&mut self, text: &str) {
        self.shut.fill(false);
        let mut at = 0_usize;
        for part in text.split('.').take(SHUT_MAX) {
            let Ok(step) = usize::from_str_radix(part, 36) else { break };
            at = at.saturating_add(step);
            match self.shut.get_mut(at) {
                Some(shut) => *shut = true,
                None => break,
            }
        }
        self.lay_out();
    }

    /// Writes the visible rows again. Cost: one pass over the visible spans.
    fn lay_out(&mut self) {
        self.rows.clear();
        let (mut index, end) = self.root.map_or((0, self.len()), |root| (root, self.subtree_end[root] as usize));
        while index < end {
            let fold_size = self.fold_size[index] as usize;
            if let Some(kept) = &self.kept {
                // Who is kept has all above it kept, so that a whole subtree goes at once. Those left are told one by one.
                if kept[index] {
                    self.rows.push(index as u32);
                }
                index = if kept[index] && !self.shut[index] { index + 1 } else { self.subtree_end[index] as usize };
            } else if fold_size > 0 {
                self.rows.push(index as u32 | FOLD_BIT);
                if self.fold_open[index] {
                    self.rows.extend(index as u32..(index + fold_size) as u32);
                }
                index += fold_size;
            } else {
                self.rows.push(index as u32);
                index = if self.shut[index] { self.subtree_end[index] as usize } else { index + 1 };
            }
        }
    }
}

fn base36(mut number: usize) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// Finds the folds: runs of childless siblings with one service and one name.
fn folds(spans: &TimelineSpans, subtree_end: &[u32]) -> Vec<u32> {
    let n_spans = subtree_end.len();
    let mut sizes = vec![0; n_spans];
    let mut first = 0;
    while first < n_spans {
        let similar = |index: usize| {
            subtree_end[index] as usize == index + 1
                && spans.parent[index] >= 0
                && spans.parent[index] == spans.parent[first]
                && spans.name[index] == spans.name[first]
                && spans.service[index] == spans.service[first]
        };
        let mut end = first;
        while end < n_spans && similar(end) {
            end += 1;
        }
        if end - first >= FOLD_MIN {
            sizes[first] = (end - first) as u32;
        }
        first = end.max(first + 1);
    }
    sizes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::SpanId;

    /// One line a span: indentation (two spaces) is parenthood, `!` marks an error, the rest is the name.
    pub(crate) fn draw(drawing: &str) -> (SpanTree, Vec<String>) {
        let mut spans = TimelineSpans::default();
        let mut texts: Vec<String> = vec![String::new()];
        let mut path: Vec<usize> = Vec::new();
        for (index, line) in drawing.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            let depth = (line.len() - line.trim_start().len()) / 2;
            path.truncate(depth);
            let parent = path.last().map_or(-1, |parent| *parent as i32);
            path.push(index);
            let name = line.trim().trim_start_matches('!');
            let text = texts.iter().position(|text| text == name).unwrap_or_else(|| {
                texts.push(name.to_owned());
                texts.len() - 1
            });
            spans.span_id.push(SpanId::from_bytes(&(index as u64 + 1).to_be_bytes()).expect("not zero"));
            spans.parent.push(parent);
            spans.depth.push(depth as u32);
            spans.start_nanos.push(index as u64 * 10);
            spans.duration_nanos.push(10 + index as u64);
            spans.service.push(0);
            spans.name.push(text as u32);
            spans.badge.push(0);
            spans.detail.push(0);
            spans.kind.push(1);
            spans.flags.push(u8::from(line.trim().starts_with('!')));
        }
        (SpanTree::new(spans), texts)
    }

    fn show(tree: &SpanTree, texts: &[String]) -> String {
        (0..tree.n_rows())
            .filter_map(|position| tree.row(position))
            .map(|row| {
                let indent = "  ".repeat(tree.level(row) as usize);
                let name = &texts[tree.spans.name[row.index()] as usize];
                match row {
                    Row::Span(_) => format!("{indent}{name}\n"),
                    Row::Fold(first) => format!("{indent}{name} x {}\n", tree.fold_size(first)),
                }
            })
            .collect()
    }

    const SHOP: &str = "\
POST /orders
  auth
  reserve
    select
    update
    update
    update
    !update
    update
    commit
  publish
";

    #[test]
    fn similar_siblings_fold() {
        let (mut tree, texts) = draw(SHOP);
        assert_eq!(
            show(&tree, &texts),
            "POST /orders\n  auth\n  reserve\n    select\n    update x 5\n    commit\n  publish\n"
        );
        assert_eq!(tree.row_errors(Row::Fold(4)), 1);
        assert_eq!(tree.extent(Row::Fold(4)), (40, 98));
        assert_eq!(tree.fold_durations(4), (80, 14, 18));
        assert!(tree.set_open(Row::Fold(4), true));
        assert!(show(&tree, &texts).contains("    update x 5\n      update\n      update\n"));
    }

    #[test]
    fn four_are_not_folded_and_parents_are_not_either() {
        let (tree, texts) = draw("a\n  b\n  b\n  b\n  b\n");
        assert_eq!(show(&tree, &texts), "a\n  b\n  b\n  b\n  b\n");
        let (tree, _) = draw("a\n  b\n    c\n  b\n    c\n  b\n    c\n  b\n    c\n  b\n    c\n");
        assert_eq!(tree.n_rows(), 11);
    }

    #[test]
    fn shutting_hides_the_subtree() {
        let (mut tree, texts) = draw(SHOP);
        assert!(tree.set_open(Row::Span(2), false));
        assert!(!tree.set_open(Row::Span(2), false));
        assert!(!tree.set_open(Row::Span(1), false));
        assert_eq!(show(&tree, &texts), "POST /orders\n  auth\n  reserve\n  publish\n");
        assert_eq!((tree.errors_below(2), tree.errors_below(1), tree.n_below(2)), (1, 0, 7));
        tree.open_to(Some(1));
        assert_eq!(show(&tree, &texts), "POST /orders\n");
        tree.open_to(Some(2));
        assert_eq!(tree.n_rows(), 4);
        tree.open_to(None);
        assert_eq!(tree.n_rows(), 7);
    }

    /// A hidden span is found where it hides; revealing it opens all above it and its fold.
    #[test]
    fn hidden_spans_are_revealed() {
        let (mut tree, _) = draw(SHOP);
        tree.open_to(Some(1));
        assert_eq!(tree.position(7), Some(0));
        assert!(tree.reveal(7));
        assert!(!tree.reveal(7));
        let position = tree.position(7).expect("is there");
        assert_eq!(tree.row(position), Some(Row::Span(7)));
        assert_eq!(tree.position(10), Some(tree.n_rows() - 1));
    }

    /// Rows that are not wanted go, those above wanted ones stay; a part of the tree stands alone; an address restores what is shut.
    #[test]
    fn only_wanted_rows_stay() {
        let (mut tree, texts) = draw(SHOP);
        let failed = tree.clone();
        tree.keep(Some(&|index| failed.is_error(index)), None);
        assert_eq!(show(&tree, &texts), "POST /orders\n  reserve\n    update\n");
        assert!(tree.is_left_out(1) && !tree.is_left_out(0));
        tree.keep(None, Some(2));
        assert_eq!(show(&tree, &texts), "  reserve\n    select\n    update x 5\n    commit\n");
        assert!(tree.is_left_out(10) && !tree.is_left_out(4));
        tree.keep(None, None);
        assert_eq!(tree.shut_text(), None);
        tree.set_open(Row::Span(2), false);
        let text = tree.shut_text().expect("one is shut");
        let (mut other, _) = draw(SHOP);
        other.shut_like(&text);
        assert_eq!(show(&other, &texts), show(&tree, &texts));
        for nonsense in ["", "-1", "zzzzzzzzzzzzzzzzzzzz", "9999", "1.x"] {
            other.shut_like(nonsense);
        }
        assert_eq!(base36(0) + &base36(35) + &base36(36), "0z10");
    }

    /// Columns that do not fit together draw what they can.
    #[test]
    fn broken_columns_do_not_panic() {
        let (tree, _) = draw("a\n  b\n");
        let mut spans = tree.spans;
        spans.parent = vec![7, 1];
        spans.flags.pop();
        let tree = SpanTree::new(spans);
        assert_eq!((tree.len(), tree.n_rows(), tree.parent(0)), (1, 1, None));
    }

    proptest::proptest! {
        /// Whatever is opened and shut, rows are in order, distinct, and every span has a position.
        #[test]
        fn rows_stay_in_order(depths in proptest::collection::vec(0usize..5, 1..60), shut in proptest::collection::vec(0usize..60, 0..10)) {
            let mut drawing = String::new();
            let mut deepest = 0;
            for (index, depth) in depths.iter().enumerate() {
                let depth = if index == 0 { 0 } else { (*depth).min(deepest + 1) };
                deepest = depth;
                drawing.push_str(&format!("{}n{}\n", "  ".repeat(depth), depth % 2));
            }
            let (mut tree, _) = draw(&drawing);
            for index in shut {
                if index < tree.len() {
                    tree.set_open(Row::Span(index), false);
                }
            }
            let rows: Vec<usize> = (0..tree.n_rows()).filter_map(|at| tree.row(at)).filter(|row| matches!(row, Row::Span(_))).map(Row::index).collect();
            proptest::prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
            for index in 0..tree.len() {
                proptest::prop_assert!(tree.position(index).is_some());
                tree.reveal(index);
                let position = tree.position(index).expect("has one");
                proptest::prop_assert_eq!(tree.row(position), Some(Row::Span(index)));
            }
        }
    }
}
