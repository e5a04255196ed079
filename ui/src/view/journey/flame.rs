//! The journey merged by service and name: who worked under whom, and for how long in all.
//!
//! A delivery stands under the span that sent its message, so one flame holds every trace of the journey.

use std::collections::{HashMap, HashSet};

use super::facts::Facts;

/// What the width of a slab says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Width {
    /// Time from start to end, with that of the deliveries it caused; children that ran at once share their
    /// parent's width.
    #[default]
    Total,
    /// Time in which no child ran, summed over everything below: parts add up to the whole.
    Own,
}

/// Spans of one service and name under the same frames.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    /// Whose, by position in the nodes.
    pub(crate) node: usize,
    /// What they do.
    pub(crate) name: String,
    /// The spans, by start.
    pub(crate) spans: Vec<usize>,
    /// Frame above.
    pub(crate) parent: Option<usize>,
    /// Frames below, by first start.
    pub(crate) children: Vec<usize>,
    /// Nanoseconds from start to end, summed.
    pub(crate) total: f64,
    /// Nanoseconds in which no child ran, summed.
    pub(crate) own: f64,
    /// Own time of this frame and all below.
    below: f64,
    /// Total time of this frame and of the deliveries below, which run after it.
    whole: f64,
    /// It handles messages that the frame above sent.
    is_delivery: bool,
    /// Spans that failed.
    pub(crate) errors: u64,
}

/// The merged journey.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Flame {
    /// Frames; a parent stands before its children.
    pub(crate) frames: Vec<Frame>,
    /// Frames without a parent.
    pub(crate) roots: Vec<usize>,
}

/// A frame's place in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slab {
    /// The frame.
    pub(crate) frame: usize,
    /// Left edge.
    pub(crate) x: f64,
    /// Width.
    pub(crate) width: f64,
    /// Levels below the root.
    pub(crate) depth: usize,
}

impl Flame {
    /// Merges the spans of a journey. Cost: O(n) for its spans. Spans in a circle of parents stand as roots.
    pub(crate) fn new(facts: &Facts) -> Self {
        let n_spans = facts.spans.len();
        let mut parent: Vec<Option<usize>> = facts.spans.iter().map(|span| span.parent).collect();
        let mut is_delivery = vec![false; n_spans];
        for hop in &facts.hops {
            is_delivery[hop.consumer] = true;
            if parent[hop.consumer].is_none() {
                parent[hop.consumer] = hop.send.filter(|send| *send != hop.consumer);
            }
        }
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); n_spans];
        let mut heads = Vec::new();
        for (span, parent) in parent.iter().enumerate() {
            match parent {
                Some(parent) => below[*parent].push(span),
                None => heads.push(span),
            }
        }
        let mut flame = Self::default();
        let mut seen = HashSet::new();
        flame.grow(facts, &below, &is_delivery, heads, &mut seen);
        let lost: Vec<usize> = (0..n_spans).filter(|span| !seen.contains(span)).collect();
        for span in lost {
            if !seen.contains(&span) {
                flame.grow(facts, &below, &is_delivery, vec![span], &mut seen);
            }
        }
        for at in (0..flame.frames.len()).rev() {
            let frame = &flame.frames[at];
            let (mut below, mut whole) = (frame.own, frame.total);
            for child in frame.children.iter().map(|child| &flame.frames[*child]) {
                below += child.below;
                whole += if child.is_delivery { child.whole } else { child.whole - child.total };
            }
            let frame = &mut flame.frames[at];
            (frame.below, frame.whole) = (below, whole);
        }
        flame
    }

    fn grow(
        &mut self,
        facts: &Facts,
        below: &[Vec<usize>],
        is_delivery: &[bool],
        heads: Vec<usize>,
        seen: &mut HashSet<usize>,
    ) {
        let mut open = vec![(None, heads)];
        while let Some((parent, spans)) = open.pop() {
            let mut groups: HashMap<(usize, &str), usize> = HashMap::new();
            let mut made = Vec::new();
            for span in spans {
                if !seen.insert(span) {
                    continue;
                }
                let fact = &facts.spans[span];
                let at = *groups.entry((fact.node, fact.name.as_str())).or_insert_with(|| {
                    self.frames.push(Frame {
                        node: fact.node,
                        name: fact.name.clone(),
                        spans: Vec::new(),
                        parent,
                        children: Vec::new(),
                        total: 0.0,
                        own: 0.0,
                        below: 0.0,
                        whole: 0.0,
                        is_delivery: is_delivery[span],
                        errors: 0,
                    });
                    made.push(self.frames.len() - 1);
                    self.frames.len() - 1
                });
                let frame = &mut self.frames[at];
                frame.spans.push(span);
                frame.total += fact.end - fact.start;
                frame.own += fact.own;
                frame.errors += u64::from(fact.failed);
            }
            for at in &made {
                let children: Vec<usize> =
                    self.frames[*at].spans.iter().flat_map(|span| &below[*span]).copied().collect();
                if !children.is_empty() {
                    open.push((Some(*at), children));
                }
            }
            match parent {
                Some(parent) => self.frames[parent].children = made,
                None => self.roots.extend(made),
            }
        }
    }

    /// Places of all frames at least `narrowest` pixels wide, below `root` or all of them.
    pub(crate) fn layout(&self, root: Option<usize>, measure: Width, width: f64, narrowest: f64) -> Vec<Slab> {
        let value = |frame: usize| match measure {
            Width::Total => self.frames[frame].whole,
            Width::Own => self.frames[frame].below,
        };
        let heads: Vec<usize> = root.map_or_else(|| self.roots.clone(), |root| vec![root]);
        let mut slabs = Vec::new();
        let mut open = vec![(heads, 0.0, width, None::<f64>, 0)];
        while let Some((frames, from, room, whole, depth)) = open.pop() {
            let sum: f64 = frames.iter().map(|frame| value(*frame)).sum();
            // What ran at once, or after its caller, shares the room; what is shorter leaves the rest empty.
            let whole = whole.map_or(sum, |whole| whole.max(sum)).max(1.0);
            let mut x = from;
            for frame in frames {
                let wide = value(frame) / whole * room;
                if wide >= narrowest {
                    slabs.push(Slab { frame, x, width: wide, depth });
                    let below = &self.frames[frame];
                    if !below.children.is_empty() {
                        open.push((below.children.clone(), x, wide, Some(value(frame)), depth + 1));
                    }
                }
                x += wide;
            }
        }
        slabs
    }

    /// The frame an arrow key leads to: above, first below, before or after among its siblings.
    pub(crate) fn step(&self, from: usize, key: &str) -> Option<usize> {
        let frame = &self.frames[from];
        let siblings = frame.parent.map_or(&self.roots, |parent| &self.frames[parent].children);
        let at = siblings.iter().position(|sibling| *sibling == from)?;
        match key {
            "ArrowUp" => frame.parent,
            "ArrowDown" => {
                frame.children.iter().copied().max_by(|a, b| self.frames[*a].total.total_cmp(&self.frames[*b].total))
            }
            "ArrowRight" => siblings.get(at + 1).copied(),
            _ => at.checked_sub(1).and_then(|at| siblings.get(at)).copied(),
        }
    }
}
