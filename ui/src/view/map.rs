//! The service map as plain values: which nodes and edges are shown, in layers from left to right.
//!
//! ```text
//! layer 0        1           2            3
//! web ─────── gateway ─── order ─────── payment
//!                           └──(orders)─── stock       a broker is a pipe between two services
//! ```
//!
//! Edges that lead back are left out of the layering, so cycles end. Within a layer nodes stand near the middle of
//! those they talk to; a few sweeps untangle most crossings.

use std::collections::{BTreeMap, HashMap};

use api::{MapAnswer, MapEdge, MapFigures, MapNode};

use super::format::{self, rate};
use super::journey::facts::Family;

/// Nodes drawn at most; the table holds all.
pub(crate) const NODES_MAX: usize = 60;
/// From layer to layer, and from node to node in a layer, in pixels.
const LAYER_PITCH: f64 = 184.0;
const NODE_PITCH: f64 = 78.0;
/// Free space around.
const MARGIN: f64 = 18.0;
/// Passes over all layers that move nodes towards their neighbours.
const SWEEPS: usize = 6;

/// What an edge says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Measure {
    /// 95th percentile: of the call, or of the wait.
    #[default]
    P95,
    /// Per second.
    Rate,
    /// Share that failed.
    Errors,
}

impl Measure {
    /// All, with what the URL and the button say.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 3] =
        [(Self::P95, "p95", "p95"), (Self::Rate, "rate", "Rate"), (Self::Errors, "errors", "Errors")];
}

/// Which kinds are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// Edges that wait for an answer.
    pub(crate) sync: bool,
    /// Messages.
    pub(crate) messages: bool,
    /// Databases, caches.
    pub(crate) stores: bool,
    /// Hosts outside.
    pub(crate) outside: bool,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { sync: true, messages: true, stores: false, outside: true }
    }
}

impl Kinds {
    /// As the URL says it; `None` for the default.
    pub(crate) fn text(self) -> Option<String> {
        let all = [(self.sync, "sync"), (self.messages, "async"), (self.stores, "stores"), (self.outside, "external")];
        let names: Vec<&str> = all.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
        (self != Self::default()).then(|| names.join(","))
    }

    /// From the URL's text.
    pub(crate) fn read(text: &str) -> Self {
        let has = |name: &str| text.split(',').any(|part| part == name);
        Self { sync: has("sync"), messages: has("async"), stores: has("stores"), outside: has("external") }
    }

    fn shows_node(self, node: &str) -> bool {
        match Family::of(node) {
            Family::Service => true,
            Family::Broker => self.messages,
            Family::Store => self.stores,
            Family::Outside | Family::Client | Family::Missing => self.outside,
        }
    }

    /// Nodes that may be drawn.
    pub(crate) fn n_nodes(self, answer: &MapAnswer) -> usize {
        answer.nodes.iter().filter(|node| self.shows_node(&node.node)).count()
    }

    fn shows_edge(self, edge: &MapEdge) -> bool {
        let kind = if edge.style == "async" { self.messages } else { self.sync };
        kind && self.shows_node(&edge.source) && self.shows_node(&edge.target)
    }
}

/// A node with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Card {
    /// Position in the answer's nodes.
    pub(crate) node: usize,
    /// What kind.
    pub(crate) family: Family,
    /// Column.
    pub(crate) layer: usize,
    /// Left.
    pub(crate) x: f64,
    /// Top.
    pub(crate) y: f64,
    /// Width.
    pub(crate) width: f64,
    /// Height.
    pub(crate) height: f64,
}

/// An edge with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wire {
    /// Position in the answer's edges.
    pub(crate) edge: usize,
    /// Cards at its ends.
    pub(crate) ends: (usize, usize),
    /// The curve: start, two handles, end.
    pub(crate) curve: [(f64, f64); 4],
    /// Width of the line.
    pub(crate) width: f64,
    /// Middle of its label, when there is room.
    pub(crate) label: Option<(f64, f64)>,
}

/// The map in pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chart {
    /// Nodes.
    pub(crate) cards: Vec<Card>,
    /// Edges.
    pub(crate) wires: Vec<Wire>,
    /// Width of everything.
    pub(crate) width: f64,
    /// Height of everything.
    pub(crate) height: f64,
    /// Nodes left out because there are too many.
    pub(crate) left_out: usize,
}

fn size(family: Family) -> (f64, f64) {
    match family {
        Family::Service => (146.0, 52.0),
        Family::Broker => (132.0, 38.0),
        _ => (118.0, 36.0),
    }
}

/// Positions of the edges that are shown.
pub(crate) fn shown_edges(answer: &MapAnswer, kinds: Kinds) -> Vec<usize> {
    (0..answer.edges.len()).filter(|at| kinds.shows_edge(&answer.edges[*at])).collect()
}

impl Chart {
    /// Lays out what is shown. `focus`: only nodes of which this is true, and their neighbours.
    pub(crate) fn new(
        answer: &MapAnswer,
        kinds: Kinds,
        focus: Option<&dyn Fn(&str) -> bool>,
        measure: Measure,
        room: (f64, f64),
    ) -> Self {
        let index: HashMap<&str, usize> =
            answer.nodes.iter().enumerate().map(|(at, node)| (node.node.as_str(), at)).collect();
        let mut edges: Vec<(usize, usize, usize)> = shown_edges(answer, kinds)
            .into_iter()
            .filter_map(|at| {
                let edge = &answer.edges[at];
                let near = focus.is_none_or(|focus| focus(&edge.source) || focus(&edge.target));
                near.then_some((at, *index.get(edge.source.as_str())?, *index.get(edge.target.as_str())?))
            })
            .collect();
        let mut busy: BTreeMap<usize, u64> = BTreeMap::new();
        for (at, from, to) in &edges {
            for node in [from, to] {
                *busy.entry(*node).or_default() += answer.edges[*at].now.calls;
            }
        }
        let alone = answer.nodes.iter().enumerate();
        let alone = alone.filter(|(_, node)| Family::of(&node.node) == Family::Service && focus.is_none());
        alone.for_each(|(at, node)| *busy.entry(at).or_default() += node.now.calls);
        let mut nodes: Vec<(usize, u64)> = busy.into_iter().collect();
        nodes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let left_out = nodes.len().saturating_sub(NODES_MAX);
        nodes.truncate(NODES_MAX);
        let mut nodes: Vec<usize> = nodes.into_iter().map(|(node, _)| node).collect();
        nodes.sort_unstable();
        let card_of: HashMap<usize, usize> = nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
        edges.retain(|(_, from, to)| card_of.contains_key(from) && card_of.contains_key(to) && from != to);
        let links: Vec<(usize, usize)> = edges.iter().map(|(_, from, to)| (card_of[from], card_of[to])).collect();
        let layers = layers(nodes.len(), &links);
        let rows = rows(&layers, &links);
        let mut chart = Self { left_out, ..Self::default() };
        let n_layers = layers.iter().max().map_or(1, |last| last + 1);
        let most = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let pitch = ((room.0 - 2.0 * MARGIN - 146.0) / (n_layers - 1).max(1) as f64).clamp(LAYER_PITCH, 300.0);
        let step = ((room.1 - 2.0 * MARGIN) / most as f64).clamp(NODE_PITCH, 150.0);
        chart.width = (2.0 * MARGIN + 146.0 + (n_layers - 1) as f64 * pitch).max(room.0);
        chart.height = (2.0 * MARGIN + most as f64 * step).max(room.1);
        chart.cards = nodes
            .iter()
            .enumerate()
            .map(|(at, node)| {
                let family = Family::of(&answer.nodes[*node].node);
                let (width, height) = size(family);
                let column = &rows[layers[at]];
                let row = column.iter().position(|card| *card == at).unwrap_or_default() as f64;
                let top = (chart.height - column.len() as f64 * step) / 2.0;
                let x = MARGIN + layers[at] as f64 * pitch + (146.0 - width) / 2.0;
                let y = top + row * step + (step - height) / 2.0;
                Card { node: *node, family, layer: layers[at], x, y, width, height }
            })
            .collect();
        let widest = edges.iter().map(|(at, ..)| answer.edges[*at].now.calls).max().unwrap_or(1).max(1) as f64;
        for ((at, ..), ends) in edges.iter().zip(&links) {
            let calls = answer.edges[*at].now.calls.max(1) as f64;
            let width = 1.0 + 1.6 * (calls.ln() / widest.ln().max(1.0)).clamp(0.0, 1.0);
            let curve = curve(&chart.cards[ends.0], &chart.cards[ends.1]);
            chart.wires.push(Wire { edge: *at, ends: *ends, curve, width, label: None });
        }
        chart.place_labels(answer, measure);
        chart
    }

    /// Puts labels where they hide no node and no other label: the most important first.
    fn place_labels(&mut self, answer: &MapAnswer, measure: Measure) {
        let mut taken: Vec<(f64, f64, f64, f64)> =
            self.cards.iter().map(|card| (card.x, card.y, card.x + card.width, card.y + card.height)).collect();
        let mut order: Vec<usize> = (0..self.wires.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(answer.edges[self.wires[*at].edge].now.calls));
        for at in order {
            let wire = &self.wires[at];
            let text = edge_label(&answer.edges[wire.edge], measure);
            let wide = text.chars().count() as f64 * 5.6 + 14.0;
            let place = [0.5, 0.4, 0.6, 0.3, 0.7].into_iter().find_map(|share| {
                let (x, y) = point(&wire.curve, share);
                let area = (x - wide / 2.0, y - 10.0, x + wide / 2.0, y + 10.0);
                let hits = |other: &(f64, f64, f64, f64)| {
                    area.0 < other.2 && area.2 > other.0 && area.1 < other.3 && area.3 > other.1
                };
                (!taken.iter().any(hits)).then_some((x, y, area))
            });
            if let Some((x, y, area)) = place {
                taken.push(area);
                self.wires[at].label = Some((x, y));
            }
        }
    }
}

/// A point of a cubic curve.
fn point(curve: &[(f64, f64); 4], share: f64) -> (f64, f64) {
    let rest = 1.0 - share;
    let weights = [rest.powi(3), 3.0 * rest * rest * share, 3.0 * rest * share * share, share.powi(3)];
    let sum = |of: fn(&(f64, f64)) -> f64| weights.iter().zip(curve).map(|(weight, at)| weight * of(at)).sum();
    (sum(|at| at.0), sum(|at| at.1))
}

fn curve(from: &Card, to: &Card) -> [(f64, f64); 4] {
    let middle = |card: &Card| card.y + card.height / 2.0;
    if to.layer > from.layer {
        let (start, end) = ((from.x + from.width, middle(from)), (to.x - 7.0, middle(to)));
        let reach = ((end.0 - start.0) * 0.5).max(16.0);
        [start, (start.0 + reach, start.1), (end.0 - reach, end.1), end]
    } else if to.layer < from.layer {
        let (start, end) = ((from.x, middle(from) + 9.0), (to.x + to.width + 7.0, middle(to) + 9.0));
        let reach = ((start.0 - end.0) * 0.5).max(16.0);
        [start, (start.0 - reach, start.1 + 24.0), (end.0 + reach, end.1 + 24.0), end]
    } else {
        let down = to.y > from.y;
        let start = (from.x + from.width / 2.0, if down { from.y + from.height } else { from.y });
        let end = (to.x + to.width / 2.0, if down { to.y - 7.0 } else { to.y + to.height + 7.0 });
        let bend = if (to.y - from.y).abs() > 1.6 * NODE_PITCH { 90.0 } else { 0.0 };
        let lean = if down { 24.0 } else { -24.0 };
        [start, (start.0 + bend, start.1 + lean), (end.0 + bend, end.1 - lean), end]
    }
}

/// The column of each node: as many steps from a source as the longest way without going back.
fn layers(n: usize, links: &[(usize, usize)]) -> Vec<usize> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut n_in = vec![0; n];
    for (from, to) in links {
        out[*from].push(*to);
        n_in[*to] += 1;
    }
    // Depth first from the sources: an edge to a node that is being walked leads back.
    let mut state = vec![0_u8; n];
    let mut forward: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut finished = Vec::with_capacity(n);
    let mut starts: Vec<usize> = (0..n).collect();
    starts.sort_by_key(|at| (n_in[*at], *at));
    for start in starts {
        let mut walk = vec![(start, 0)];
        while let Some((node, next)) = walk.pop() {
            if next == 0 {
                if state[node] != 0 {
                    continue;
                }
                state[node] = 1;
            }
            match out[node].get(next) {
                Some(&to) => {
                    walk.push((node, next + 1));
                    if state[to] != 1 {
                        forward[node].push(to);
                        walk.push((to, 0));
                    }
                }
                None => {
                    state[node] = 2;
                    finished.push(node);
                }
            }
        }
    }
    let mut layer = vec![0; n];
    for node in finished.into_iter().rev() {
        for &to in &forward[node] {
            layer[to] = layer[to].max(layer[node] + 1);
        }
    }
    layer
}

/// Nodes of each layer, top to bottom.
fn rows(layers: &[usize], links: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let n_layers = layers.iter().max().map_or(0, |last| last + 1);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); n_layers];
    for (node, layer) in layers.iter().enumerate() {
        rows[*layer].push(node);
    }
    let mut place = vec![0.0_f64; layers.len()];
    let renew = |rows: &[Vec<usize>], place: &mut Vec<f64>| {
        for row in rows {
            for (at, node) in row.iter().enumerate() {
                place[*node] = (at as f64 + 0.5) / row.len() as f64;
            }
        }
    };
    renew(&rows, &mut place);
    for sweep in 0..SWEEPS {
        for layer in 0..n_layers {
            let layer = if sweep % 2 == 0 { layer } else { n_layers - 1 - layer };
            let middle = |node: usize| {
                let near = links.iter().filter_map(|(from, to)| match node {
                    _ if *from == node => Some(place[*to]),
                    _ if *to == node => Some(place[*from]),
                    _ => None,
                });
                let (sum, count) = near.fold((0.0, 0.0), |(sum, count), at| (sum + at, count + 1.0));
                if count > 0.0 { sum / count } else { place[node] }
            };
            let mut row: Vec<(f64, usize)> = rows[layer].iter().map(|node| (middle(*node), *node)).collect();
            row.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            rows[layer] = row.into_iter().map(|(_, node)| node).collect();
            renew(&rows, &mut place);
        }
    }
    rows
}

/// Share of failures.
pub(crate) fn errors(figures: &MapFigures) -> String {
    format::percent(figures.errors, figures.calls)
}

/// At least one percent fails.
pub(crate) fn is_bad(figures: &MapFigures) -> bool {
    figures.errors > 0 && figures.errors.saturating_mul(100) >= figures.calls
}

/// What counts as slow on an edge: the wait of a delivery, else the call.
pub(crate) fn slow_nanos(edge: &MapEdge, figures: &MapFigures) -> Option<i64> {
    if edge.source.starts_with("queue:") { figures.lag_p95_nanos.or(figures.p95_nanos) } else { figures.p95_nanos }
}

/// How many times slower than before; `None` when one side is not known.
pub(crate) fn slower(edge: &MapEdge) -> Option<f64> {
    let (now, before) = (slow_nanos(edge, &edge.now)?, slow_nanos(edge, edge.before.as_ref()?)?);
    (before > 0).then(|| now as f64 / before as f64)
}

/// What stands on an edge.
pub(crate) fn edge_label(edge: &MapEdge, measure: Measure) -> String {
    match measure {
        // A message that changes its queue takes no time that anybody measured.
        Measure::P95 if edge.protocol == "route" => rate(edge.now.per_minute),
        Measure::P95 => {
            let word = if edge.source.starts_with("queue:") { "waits" } else { "p95" };
            slow_nanos(edge, &edge.now).map_or_else(
                || rate(edge.now.per_minute),
                |nanos| format!("{word} {}", format::duration(nanos.max(0) as u64)),
            )
        }
        Measure::Rate => rate(edge.now.per_minute),
        Measure::Errors => errors(&edge.now),
    }
}

/// The second line of a node.
pub(crate) fn node_line(node: &MapNode) -> (String, String, String) {
    let p95 = node.now.p95_nanos.map_or_else(String::new, |nanos| format::duration(nanos.max(0) as u64));
    // A card has room for two digits.
    let failed = match node.now.errors.saturating_mul(100) / node.now.calls.max(1) {
        share @ 10.. => format!("{share}\u{202f}%"),
        _ => errors(&node.now),
    };
    (rate(node.now.per_minute), failed, p95)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a > b` calls, `a - q` sends: one edge a line.
    fn answer(drawing: &str) -> MapAnswer {
        let mut answer = MapAnswer::default();
        let node = |name: &str| if name.contains(':') { name.to_owned() } else { format!("service:{name}") };
        for line in drawing.lines() {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let [source, style, target] = parts[..] else { panic!("a line has three words: {line}") };
            let (source, target) = (node(source), node(target));
            for name in [&source, &target] {
                if !answer.nodes.iter().any(|node| node.node == *name) {
                    answer.nodes.push(MapNode { node: name.clone(), ..MapNode::default() });
                }
            }
            let style = if style == ">" { "sync" } else { "async" };
            let now = MapFigures { calls: 10, per_minute: 5.0, p95_nanos: Some(3_000_000), ..MapFigures::default() };
            answer.edges.push(MapEdge { source, target, style: style.to_owned(), now, ..MapEdge::default() });
        }
        answer
    }

    fn columns(chart: &Chart, answer: &MapAnswer) -> String {
        let n_layers = chart.cards.iter().map(|card| card.layer + 1).max().unwrap_or(0);
        let column = |layer: usize| {
            let mut cards: Vec<&Card> = chart.cards.iter().filter(|card| card.layer == layer).collect();
            cards.sort_by(|a, b| a.y.total_cmp(&b.y));
            cards
                .iter()
                .map(|card| answer.nodes[card.node].node.split_once(':').expect("a colon").1)
                .collect::<Vec<_>>()
                .join(" ")
        };
        (0..n_layers).map(column).collect::<Vec<_>>().join(" | ")
    }

    const SHOP: &str = "web > gateway\ngateway > order\norder > payment\norder - queue:kafka/orders\nqueue:kafka/orders - stock\norder > db:pg/orders\npayment > ext:bank\nstock > order";

    #[test]
    fn calls_lead_right_and_cycles_end() {
        let answer = answer(SHOP);
        let chart = Chart::new(&answer, Kinds::default(), None, Measure::P95, (900.0, 600.0));
        assert_eq!(columns(&chart, &answer), "web | gateway | order | kafka/orders payment | stock bank");
        assert_eq!(chart.wires.len(), 7);
        let stores =
            Chart::new(&answer, Kinds { stores: true, ..Kinds::default() }, None, Measure::P95, (900.0, 600.0));
        assert!(columns(&stores, &answer).contains("pg/orders"));
        let near = Chart::new(
            &answer,
            Kinds::default(),
            Some(&|node| node == "service:payment"),
            Measure::P95,
            (900.0, 600.0),
        );
        assert_eq!(columns(&near, &answer), "order | payment | bank");
    }

    #[test]
    fn cards_and_labels_stand_apart() {
        let answer = answer(SHOP);
        let chart = Chart::new(&answer, Kinds::default(), None, Measure::P95, (300.0, 200.0));
        for (at, card) in chart.cards.iter().enumerate() {
            for other in &chart.cards[..at] {
                let apart = card.x + card.width <= other.x
                    || other.x + other.width <= card.x
                    || card.y + card.height <= other.y
                    || other.y + other.height <= card.y;
                assert!(apart, "{card:?} on {other:?}");
            }
            assert!(card.x >= 0.0 && card.x + card.width <= chart.width && card.y + card.height <= chart.height);
        }
    }

    #[test]
    fn kinds_are_in_the_url() {
        assert_eq!(Kinds::default().text(), None);
        let kinds = Kinds { stores: true, outside: false, ..Kinds::default() };
        assert_eq!(Kinds::read(&kinds.text().expect("differs")), kinds);
    }

    #[test]
    fn edges_say_what_was_asked() {
        let edge = &answer("a > b").edges[0];
        assert_eq!(edge_label(edge, Measure::P95).replace('\u{a0}', " "), "p95 3 ms");
        assert_eq!(edge_label(edge, Measure::Rate).replace('\u{a0}', " "), "5 /min");
    }

    proptest::proptest! {
        /// Any graph is laid out, whatever cycles it has.
        #[test]
        fn every_graph_ends(links in proptest::collection::vec((0usize..30, 0usize..30), 0..120)) {
            let text: Vec<String> = links.iter().map(|(a, b)| format!("s{a} > s{b}")).collect();
            let answer = answer(&text.join("\n"));
            let chart = Chart::new(&answer, Kinds::default(), None, Measure::Rate, (800.0, 600.0));
            proptest::prop_assert!(chart.cards.len() <= NODES_MAX);
            proptest::prop_assert_eq!(chart.cards.len(), answer.nodes.len());
        }
    }
}
