//! Rows to a tree in drawing order, whatever their parents say.
//!
//! ```text
//!   root ─┬─ child            depth first, siblings by start, then span id
//!         └─ child ── leaf
//!   orphan                    its parent is not stored: an extra root
//!   cycle ── member           spans that are each other's ancestors: the earliest becomes a root
//! ```
//!
//! Every row stands in the tree exactly once. Two rows of one id are both kept; children hang under the
//! first of them. No recursion: 100,000 spans and 10,000 levels are fine. Cost: O(n log n).

use std::collections::HashMap;

use model::SpanId;

/// What the tree needs to know of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The span.
    pub(crate) id: SpanId,
    /// The parent it names.
    pub(crate) parent: Option<SpanId>,
    /// Its start, nanoseconds since 1970.
    pub(crate) start: i64,
}

/// One row's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Index of the row in the input.
    pub(crate) row: usize,
    /// Index of the parent in the tree; always smaller than the own one. `None` for roots.
    pub(crate) parent: Option<usize>,
    /// Levels below the root.
    pub(crate) depth: u32,
    /// Why it is a root or doubtful.
    pub(crate) mark: Mark,
}

/// What is odd about a row's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing.
    Plain,
    /// Names a parent that is not stored.
    Orphan,
    /// Is its own ancestor; the tree was cut here.
    Cycle,
}

/// Puts rows in drawing order.
pub(crate) fn assemble(rows: &[Link]) -> Vec<Node> {
    let mut by_start: Vec<usize> = (0..rows.len()).collect();
    by_start.sort_by_key(|row| (rows[*row].start, rows[*row].id, *row));

    let mut first_of: HashMap<SpanId, usize> = HashMap::with_capacity(rows.len());
    for row in &by_start {
        first_of.entry(rows[*row].id).or_insert(*row);
    }
    let parent_of = |row: usize| match rows[row].parent {
        Some(parent) if parent == rows[row].id => (None, Mark::Plain),
        Some(parent) => match first_of.get(&parent) {
            Some(found) => (Some(*found), Mark::Plain),
            None => (None, Mark::Orphan),
        },
        None => (None, Mark::Plain),
    };

    // Children of each row, latest first, because the walk below takes from the end.
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let mut roots = Vec::new();
    for row in by_start.iter().rev() {
        match parent_of(*row) {
            (Some(parent), _) => children[parent].push(*row),
            (None, mark) => roots.push((*row, mark)),
        }
    }

    let mut nodes: Vec<Node> = Vec::with_capacity(rows.len());
    let mut is_placed = vec![false; rows.len()];
    let mut waiting: Vec<Node> =
        roots.into_iter().map(|(row, mark)| Node { row, parent: None, depth: 0, mark }).collect();
    let mut unplaced = by_start.iter();
    loop {
        while let Some(node) = waiting.pop() {
            if std::mem::replace(&mut is_placed[node.row], true) {
                continue;
            }
            let index = nodes.len();
            nodes.push(node);
            let child = |row: &usize| Node { row: *row, parent: Some(index), depth: node.depth + 1, mark: Mark::Plain };
            waiting.extend(children[node.row].iter().filter(|row| !is_placed[**row]).map(child));
        }
        // What no root reaches hangs on a cycle: cut it at its earliest span.
        match unplaced.find(|row| !is_placed[**row]) {
            Some(row) => waiting.push(Node { row: *row, parent: None, depth: 0, mark: Mark::Cycle }),
            None => return nodes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u64) -> SpanId {
        SpanId::from_bytes(&(n + 1).to_be_bytes()).expect("not zero")
    }

    fn link(n: u64, parent: Option<u64>, start: i64) -> Link {
        Link { id: id(n), parent: parent.map(id), start }
    }

    /// Draws the tree: one letter per span (a is 0), two spaces per level, `?` orphan, `@` cut cycle.
    fn draw(rows: &[Link]) -> String {
        let line = |node: &Node| {
            let n = u64::from_be_bytes(*rows[node.row].id.as_bytes()) - 1;
            let letter = char::from(b'a' + (n % 26) as u8);
            let mark = match node.mark {
                Mark::Plain => "",
                Mark::Orphan => "?",
                Mark::Cycle => "@",
            };
            format!("{}{letter}{mark}", "  ".repeat(node.depth as usize))
        };
        assemble(rows).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn siblings_stand_by_start_then_id() {
        let rows =
            [link(3, Some(0), 20), link(2, Some(0), 20), link(1, Some(0), 10), link(0, None, 15), link(4, Some(1), 11)];
        assert_eq!(draw(&rows), "a\n  b\n    e\n  c\n  d");
    }

    /// A span whose parent never arrived is an extra root, not lost.
    #[test]
    fn orphans_are_roots() {
        assert_eq!(draw(&[link(0, None, 0), link(1, Some(9), 5), link(2, Some(1), 6)]), "a\nb?\n  c");
    }

    #[test]
    fn own_parents_and_cycles_survive() {
        assert_eq!(draw(&[link(0, Some(0), 0)]), "a");
        assert_eq!(draw(&[link(0, Some(1), 5), link(1, Some(0), 3), link(2, Some(0), 9)]), "b@\n  a\n    c");
        assert_eq!(draw(&[]), "");
    }

    /// Two rows of one id: both stand, children under the first.
    #[test]
    fn an_id_may_stand_twice() {
        assert_eq!(
            draw(&[link(0, None, 0), link(1, Some(0), 1), link(1, Some(0), 2), link(2, Some(1), 3)]),
            "a\n  b\n    c\n  b"
        );
    }

    #[test]
    fn deep_and_wide_traces_are_fine() {
        let chain: Vec<Link> = (0..10_000).map(|n| link(n, n.checked_sub(1), n as i64)).collect();
        let nodes = assemble(&chain);
        assert_eq!(nodes.last().map(|node| node.depth), Some(9_999));
        let wide: Vec<Link> = (0..100_000).map(|n| link(n, (n > 0).then_some(0), n as i64)).collect();
        assert_eq!(assemble(&wide).len(), 100_000);
    }

    proptest! {
        /// Any rows: each stands exactly once, parents stand before their children.
        #[test]
        fn every_row_stands_once(picks in proptest::collection::vec((0u64..12, proptest::option::of(0u64..14), -5i64..5), 0..40)) {
            let rows: Vec<Link> = picks.into_iter().map(|(n, parent, start)| link(n, parent, start)).collect();
            let nodes = assemble(&rows);
            let mut placed: Vec<usize> = nodes.iter().map(|node| node.row).collect();
            placed.sort_unstable();
            prop_assert_eq!(placed, (0..rows.len()).collect::<Vec<_>>());
            for (index, node) in nodes.iter().enumerate() {
                match node.parent {
                    Some(parent) => {
                        prop_assert!(parent < index);
                        prop_assert_eq!(nodes[parent].depth + 1, node.depth);
                        prop_assert_eq!(rows[node.row].parent, Some(rows[nodes[parent].row].id));
                    }
                    None => prop_assert_eq!(node.depth, 0),
                }
            }
        }
    }
}
