//! Which lanes the reader sees, and in which order; in the address as `lanes`.
//!
//! ```text
//! lanes=all                                  none folds away, however many there are
//! lanes=queue:kafka/mail,service:shop        these first, in this order, then the others as they were touched
//! lanes=-service:proxy                       this one is hidden
//! ```
//!
//! Lanes are named as the API names their nodes, so that an address means the same when late spans add a lane.

use super::layout::fold_lanes;
use super::picture::Picture;

/// Parts of an address that are read.
const PARTS_MAX: usize = 64;

/// What the reader chose; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneChoice {
    /// Lanes off the critical path are shown too, however many.
    pub(crate) all: bool,
    /// Nodes that stand first, in this order.
    first: Vec<String>,
    /// Nodes without a lane.
    hidden: Vec<String>,
}

impl LaneChoice {
    /// From the address; what it does not understand is a node that this journey does not have.
    pub(crate) fn read(text: &str) -> Self {
        let mut choice = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()).take(PARTS_MAX) {
            let name = |part: &str| part.replace("%2C", ",").replace("%25", "%");
            match part.strip_prefix('-') {
                _ if part == "all" => choice.all = true,
                Some(hidden) => choice.hidden.push(name(hidden)),
                None => choice.first.push(name(part)),
            }
        }
        choice
    }

    /// For the address; `None` for the default.
    pub(crate) fn text(&self) -> Option<String> {
        let name = |node: &String| node.replace('%', "%25").replace(',', "%2C");
        let all = self.all.then(|| "all".to_owned());
        let hidden = self.hidden.iter().map(|node| format!("-{}", name(node)));
        let parts: Vec<String> = all.into_iter().chain(self.first.iter().map(name)).chain(hidden).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// All lanes in the reader's order, hidden ones among them; `nodes` are those of the lanes as they were touched.
    pub(crate) fn order(&self, nodes: &[&str]) -> Vec<usize> {
        let place = |at: &usize| self.first.iter().position(|node| node == nodes[*at]).unwrap_or(usize::MAX);
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|at| (place(at), *at));
        order
    }

    /// True when the reader hid this node.
    pub(crate) fn hides(&self, node: &str) -> bool {
        self.hidden.iter().any(|hidden| hidden == node)
    }

    /// Lanes that are drawn, top to bottom; with many, those that fold are left out.
    pub(crate) fn shown(&self, picture: &Picture, nodes: &[&str]) -> Vec<usize> {
        let mut order = self.order(nodes);
        order.retain(|at| !self.hides(nodes[*at]));
        if self.all { order } else { fold_lanes(picture, order) }
    }

    /// Hides a node, or shows it again.
    pub(crate) fn hide(&mut self, node: &str, hide: bool) {
        self.hidden.retain(|hidden| hidden != node);
        if hide {
            self.hidden.push(node.to_owned());
        }
    }

    /// Shows what was hidden.
    pub(crate) fn show_hidden(&mut self) {
        self.hidden.clear();
    }

    /// Moves a lane up or down by one among all.
    pub(crate) fn step(&mut self, nodes: &[&str], node: &str, down: bool) {
        let mut order = self.order(nodes);
        let Some(at) = order.iter().position(|lane| nodes[*lane] == node) else { return };
        let to = if down { at + 1 } else { at.wrapping_sub(1) };
        if to >= order.len() {
            return;
        }
        order.swap(at, to);
        // As short as it can be: lanes that follow in their own order need not be said.
        let said = (0..order.len()).find(|at| order[*at..].is_sorted()).unwrap_or_default();
        self.first = order[..said].iter().map(|lane| nodes[*lane].to_owned()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [&str; 4] = ["service:shop", "queue:kafka/mail", "service:a,b%", "service:mailer"];

    fn show(choice: &LaneChoice) -> String {
        let order: Vec<&str> =
            choice.order(&NODES).into_iter().map(|at| NODES[at]).filter(|node| !choice.hides(node)).collect();
        order.join(" ")
    }

    /// Lanes move by one, the address says no more than it must, and reads back as it was written.
    #[test]
    fn lanes_move_and_the_address_knows() {
        let mut choice = LaneChoice::default();
        assert_eq!((choice.text(), show(&choice)), (None, NODES.join(" ")));
        choice.step(&NODES, "service:a,b%", false);
        assert_eq!(choice.text().as_deref(), Some("service:shop,service:a%2Cb%25"));
        assert_eq!(show(&choice), "service:shop service:a,b% queue:kafka/mail service:mailer");
        choice.hide("service:shop", true);
        choice.all = true;
        assert_eq!(LaneChoice::read(&choice.text().expect("not the default")), choice);
        assert_eq!(show(&choice), "service:a,b% queue:kafka/mail service:mailer");
        // Beyond the ends there is nothing, and back again is the default.
        choice.step(&NODES, "service:mailer", true);
        choice.step(&NODES, "service:a,b%", true);
        choice.hide("service:shop", false);
        choice.all = false;
        assert_eq!(choice, LaneChoice::default());
    }

    /// An address of another journey, or of nonsense, changes nothing here.
    #[test]
    fn what_is_not_here_is_ignored() {
        for text in ["", "service:gone", "-service:gone", ",,-", "all,all"] {
            assert_eq!(show(&LaneChoice::read(text)), NODES.join(" "), "{text}");
        }
    }
}
