//! One journey as swimlanes with its hops.
//!
//! | file           | draws                                                                   |
//! |----------------|-------------------------------------------------------------------------|
//! | `diagram.rs`   | lanes, bars, waits, arrows, critical path                               |
//! | `minimap.rs`   | the whole journey in true scale; drag to zoom                           |
//! | `hop_table.rs` | the hops as a table: the diagram's equal twin                           |
//! | `inspector.rs` | where the time went, the selected hop, findings, how the traces join    |
//! | `flame.rs`     | the Flame tab                                                           |
//! | `tabs.rs`      | links to the tabs                                                       |
//! | `lanes.rs`     | which lanes are drawn, and in which order                               |
//! | `table.rs`     | the Table tab                                                           |
//! | `moments.rs`   | the Logs & events tab                                                   |
//!
//! The picture is laid out as plain values in `view/journey`; here it becomes nodes.

pub(crate) mod diagram;
pub(crate) mod flame;
pub(crate) mod hop_table;
pub(crate) mod inspector;
pub(crate) mod lanes;
pub(crate) mod minimap;
pub(crate) mod moments;
pub(crate) mod table;
pub(crate) mod tabs;

use std::collections::HashMap;
use std::sync::Arc;

use api::{CompareAnswer, JourneyAnswer};
use leptos::prelude::*;
use model::SpanId;

use crate::view::journey::breakdown::{Kind, breakdown};
use crate::view::journey::facts::{Facts, Family};
use crate::view::journey::hops::{self, Hop, Verdict};
use crate::view::journey::lanes::LaneChoice;
use crate::view::journey::listing::{Group, Key};
use crate::view::journey::picture::Picture;
use crate::view::journey::scale::quiet;
use crate::view::timeline::Window;

/// What is drawn of a journey: made again when clocks are aligned or the usual arrives.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The answer, read.
    pub(crate) facts: Facts,
    /// Lanes, bars, waits.
    pub(crate) picture: Picture,
    /// Stretches in which nothing runs.
    pub(crate) quiet: Vec<(f64, f64)>,
    /// Rows of the hop table.
    pub(crate) hops: Vec<Hop>,
    /// What held it up most.
    pub(crate) verdict: Verdict,
    /// Where the time went.
    pub(crate) breakdown: Vec<(Kind, f64)>,
    /// Messages that waited too long, by position in the facts' hops.
    pub(crate) hot: Vec<bool>,
    /// Row of each span that belongs to a hop.
    pub(crate) hop_of_span: HashMap<usize, usize>,
    /// Row of each message.
    pub(crate) hop_of_message: HashMap<usize, usize>,
    spans: HashMap<SpanId, usize>,
}

impl Scene {
    fn new(answer: &JourneyAnswer, usual: Option<&CompareAnswer>, aligned: bool) -> Self {
        let facts = Facts::read(answer, aligned);
        let picture = Picture::new(&facts);
        let quiet = quiet(&mut picture.busy(), facts.length);
        let mut rows = hops::hops(&facts);
        if let Some(usual) = usual {
            hops::set_usual(&mut rows, &facts, usual);
        }
        let verdict = hops::verdict(&rows, facts.settled_nanos);
        let hot = hops::hot_messages(&rows, &facts, verdict);
        let breakdown = breakdown(&facts, &picture);
        let (mut hop_of_span, mut hop_of_message) = (HashMap::new(), HashMap::new());
        for (at, row) in rows.iter().enumerate() {
            for span in &row.spans {
                hop_of_span.entry(*span).or_insert(at);
            }
            for message in &row.messages {
                hop_of_message.insert(*message, at);
            }
        }
        // A producer stands in the hop of its message; a call's own hop comes first.
        let spans = moments::by_id(&facts);
        Self { facts, picture, quiet, hops: rows, verdict, breakdown, hot, hop_of_span, hop_of_message, spans }
    }

    /// The span with this id.
    pub(crate) fn span_of(&self, id: SpanId) -> Option<usize> {
        self.spans.get(&id).copied()
    }

    /// Nodes of the lanes, as they were touched.
    pub(crate) fn lane_nodes(&self) -> Vec<&str> {
        self.picture.lanes.iter().map(|lane| self.facts.nodes[lane.node].as_str()).collect()
    }

    /// True when there is something to draw between lanes.
    pub(crate) fn has_lanes(&self) -> bool {
        self.picture.lanes.len() > 1
    }
}

/// What the parts of the tab share. Copied freely: it holds handles.
#[derive(Clone, Copy)]
pub(crate) struct Tour {
    /// The answer.
    answer: StoredValue<Arc<JourneyAnswer>>,
    usual: RwSignal<Option<Arc<CompareAnswer>>>,
    /// What is drawn.
    pub(crate) scene: RwSignal<Arc<Scene>>,
    /// The selected hop; [`Tour::choose`] selects another.
    pub(crate) hop: RwSignal<Option<usize>>,
    /// The reader, or the link that led here, has selected a hop.
    is_chosen: StoredValue<bool>,
    /// The part of the time on screen; `None` for all.
    pub(crate) window: RwSignal<Option<Window>>,
    /// The critical path is drawn.
    pub(crate) track: RwSignal<bool>,
    /// Quiet stretches fold.
    pub(crate) fold: RwSignal<bool>,
    /// Folds opened one by one.
    pub(crate) opened: RwSignal<Vec<usize>>,
    /// Corrected times are drawn.
    pub(crate) aligned: RwSignal<bool>,
    /// Which lanes are drawn, and in which order.
    pub(crate) lanes: RwSignal<LaneChoice>,
    /// The inspector is shown.
    pub(crate) inspector: RwSignal<bool>,
    /// Text looked for in the tabs that list spans.
    pub(crate) find: RwSignal<String>,
    /// What a row of the Table tab stands for, what it is ordered by, and whether from the greatest.
    pub(crate) order: RwSignal<(Group, Key, bool)>,
    /// A moment marked in the minimap, in nanoseconds after the start.
    pub(crate) moment: RwSignal<Option<f64>>,
}

impl Tour {
    /// For a journey that has just arrived.
    pub(crate) fn new(answer: Arc<JourneyAnswer>, aligned: bool) -> Self {
        let scene = Scene::new(&answer, None, aligned);
        let first = hops::first_selected(&scene.hops, scene.facts.settled_nanos);
        let tour = Self {
            answer: StoredValue::new(answer),
            usual: RwSignal::new(None),
            scene: RwSignal::new(Arc::new(scene)),
            hop: RwSignal::new(first),
            is_chosen: StoredValue::new(false),
            window: RwSignal::new(None),
            track: RwSignal::new(true),
            fold: RwSignal::new(true),
            opened: RwSignal::new(Vec::new()),
            aligned: RwSignal::new(aligned),
            lanes: RwSignal::new(LaneChoice::default()),
            inspector: RwSignal::new(true),
            find: RwSignal::new(String::new()),
            order: RwSignal::new((Group::Span, Key::Start, false)),
            moment: RwSignal::new(None),
        };
        Effect::new(move |before: Option<(bool, bool)>| {
            let (aligned, has_usual) = (tour.aligned.get(), tour.usual.with(Option::is_some));
            if before.is_some_and(|before| before != (aligned, has_usual)) {
                let usual = tour.usual.get_untracked();
                let scene = tour.answer.with_value(|answer| Scene::new(answer, usual.as_deref(), aligned));
                tour.scene.set(Arc::new(scene));
            }
            (aligned, has_usual)
        });
        tour
    }

    /// Selects a hop for the reader.
    pub(crate) fn choose(self, hop: Option<usize>) {
        self.is_chosen.set_value(true);
        self.hop.set(hop);
    }

    /// Takes what is usual; the reader's selection stays, the page's own moves to the bottleneck.
    pub(crate) fn set_usual(self, usual: CompareAnswer) {
        self.usual.set(Some(Arc::new(usual)));
        // The rows are made again before the next frame.
        request_animation_frame(move || {
            let Some(scene) = self.scene.try_get_untracked() else { return };
            if let Verdict::Bottleneck(at) = scene.verdict
                && self.is_chosen.try_get_value() == Some(false)
            {
                self.hop.try_set(Some(at));
            }
        });
    }

    /// True once the usual is known.
    pub(crate) fn has_usual(self) -> bool {
        self.usual.with(Option::is_some)
    }

    /// The answer.
    pub(crate) fn answer(self) -> Arc<JourneyAnswer> {
        self.answer.get_value()
    }

    /// Lanes that the reader hid.
    pub(crate) fn n_hidden(self) -> usize {
        let choice = self.lanes.read();
        self.scene.with(|scene| scene.lane_nodes().into_iter().filter(|node| choice.hides(node)).count())
    }

    /// From the first start to the last end.
    pub(crate) fn length(self) -> f64 {
        self.scene.with_untracked(|scene| scene.facts.length)
    }

    /// The part of the time on screen.
    pub(crate) fn shown(self) -> Window {
        self.window.get().unwrap_or(Window { start: 0.0, end: self.scene.with(|scene| scene.facts.length) })
    }

    /// Shows a part of the time; all of it when the part is as long.
    pub(crate) fn show(self, start: f64, end: f64) {
        let length = self.length();
        let wide = (end - start).clamp(length.min(1_000.0), length);
        let start = start.clamp(0.0, length - wide);
        self.window.set((wide < length * 0.999).then_some(Window { start, end: start + wide }));
    }

    /// Zooms around a moment; `factor` < 1 shows less.
    pub(crate) fn zoom(self, around: f64, factor: f64) {
        let window = untrack(|| self.shown());
        self.show(around - (around - window.start) * factor, around + (window.end - around) * factor);
    }

    /// Moves the time on screen by a part of its length.
    pub(crate) fn pan(self, by: f64) {
        let window = untrack(|| self.shown());
        let length = window.length();
        let start = (window.start + by * length).clamp(0.0, (self.length() - length).max(0.0));
        self.show(start, start + length);
    }

    /// Selects the next (or previous) hop.
    pub(crate) fn step(self, forward: bool) {
        let count = self.scene.with_untracked(|scene| scene.hops.len());
        if count > 0 {
            let next = match (self.hop.get_untracked(), forward) {
                (None, _) => 0,
                (Some(at), true) => (at + 1).min(count - 1),
                (Some(at), false) => at.saturating_sub(1),
            };
            self.choose(Some(next));
        }
    }

    /// Selects where the message of the selected hop came from, or went on to.
    pub(crate) fn follow(self, back: bool) {
        let scene = self.scene.get_untracked();
        let next = self.hop.get_untracked().and_then(|at| hops::follow(&scene.hops, &scene.facts, at, back));
        if next.is_some() {
            self.choose(next);
        }
    }

    /// Zooms to the selected hop with some air around it.
    pub(crate) fn zoom_to_hop(self) {
        let scene = self.scene.get_untracked();
        if let Some(row) = self.hop.get_untracked().and_then(|at| scene.hops.get(at)) {
            let air = ((row.end - row.start) * 0.25).max(scene.facts.length * 0.002);
            self.show(row.start - air, row.end + air);
        }
    }
}

/// Class names of a node's swatch.
pub(crate) fn node_class(shared: crate::app::Shared, facts: &Facts, node: usize) -> String {
    match facts.family(node) {
        Family::Service => shared.color_class(facts.label(node)),
        Family::Broker => "broker mono".to_owned(),
        _ => "ext".to_owned(),
    }
}
