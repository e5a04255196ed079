//! How promoted attributes and the attribute list interleave, so that both give back what was sent.
//!
//! An attribute of the conventions stands in a column of its own, all others in the `attributes` list.
//! The `attribute_order` column keeps where each stood and under which of its names:
//!
//! ```text
//! http.method,*2,http.route      http.method (a column), two entries of the list, http.route (a column)
//! *,messaging.system             one entry of the list, messaging.system (a column)
//! null                           no column is filled: the list is all there is
//! ```
//!
//! The full description stands in docs/formats/attributes.md.

use std::fmt::Write as _;

use crate::attribute::{Attribute, AttributeValue};
use crate::semconv::{self, Convention};

/// Writes the order of one row, attribute by attribute.
///
/// Reused from row to row: [`OrderWriter::finish`] leaves it empty.
#[derive(Clone, Debug, Default)]
pub struct OrderWriter {
    text: String,
    has_column: bool,
    run: usize,
}

impl OrderWriter {
    /// The next attribute stands in its column; `key` is the name it was sent with.
    pub fn column(&mut self, key: &str) {
        self.end_run();
        self.separate();
        self.text.push_str(key);
        self.has_column = true;
    }

    /// The next attribute stands in the list.
    pub const fn listed(&mut self) {
        self.run += 1;
    }

    /// Gives the text to `take` and starts over; `None` when no attribute stands in a column.
    pub fn finish<T>(&mut self, take: impl FnOnce(Option<&str>) -> T) -> T {
        if self.has_column {
            self.end_run();
        }
        let taken = take(self.has_column.then_some(self.text.as_str()));
        self.text.clear();
        self.has_column = false;
        self.run = 0;
        taken
    }

    fn separate(&mut self) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
    }

    fn end_run(&mut self) {
        match std::mem::take(&mut self.run) {
            0 => {}
            1 => {
                self.separate();
                self.text.push('*');
            }
            n => {
                self.separate();
                let _ = write!(self.text, "*{n}");
            }
        }
    }
}

/// Puts columns and list together again: the attributes in sent order, under the names they were sent with.
///
/// - `order`: the row's `attribute_order`.
/// - `column`: value of a convention's column in this row; `None` when the column is null. Asked once per
///   promoted attribute, in sent order. Text becomes [`AttributeValue::String`], integers
///   [`AttributeValue::Int`].
/// - `list`: the row's `attributes`.
///
/// Rows changed by other hands lose nothing: list entries that the order does not mention come last, names
/// and columns that do not exist are passed over.
pub fn restore(
    order: Option<&str>,
    mut column: impl FnMut(&'static Convention) -> Option<AttributeValue>,
    list: impl IntoIterator<Item = Attribute>,
) -> Vec<Attribute> {
    let mut list = list.into_iter();
    let mut attributes = Vec::with_capacity(list.size_hint().0);
    for place in order.into_iter().flat_map(|text| text.split(',')) {
        if let Some(run) = place.strip_prefix('*') {
            let n = if run.is_empty() { 1 } else { run.parse().unwrap_or(0) };
            attributes.extend(list.by_ref().take(n));
        } else if let Some(value) = semconv::find(place).and_then(&mut column) {
            attributes.push(Attribute { key: place.to_owned(), value });
        }
    }
    attributes.extend(list);
    attributes
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::semconv::On;

    /// Splits as the collector does: the first alias of a convention goes to its column, the rest to the list.
    fn split(sent: &[Attribute]) -> (Option<String>, HashMap<&'static str, AttributeValue>, Vec<Attribute>) {
        let (mut order, mut columns, mut list) = (OrderWriter::default(), HashMap::new(), Vec::new());
        for attribute in sent {
            let convention = semconv::find(&attribute.key).filter(|c| c.on == On::Item && c.column.is_some());
            match convention {
                Some(convention) if !columns.contains_key(convention.key) => {
                    order.column(&attribute.key);
                    columns.insert(convention.key, attribute.value.clone());
                }
                _ => {
                    order.listed();
                    list.push(attribute.clone());
                }
            }
        }
        (order.finish(|text| text.map(str::to_owned)), columns, list)
    }

    #[track_caller]
    fn check(keys: &[&str], expected: Option<&str>) {
        let sent: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(i, key)| Attribute { key: (*key).to_owned(), value: AttributeValue::Int(i as i64) })
            .collect();
        let (order, columns, list) = split(&sent);
        assert_eq!(order.as_deref(), expected);
        assert_eq!(restore(order.as_deref(), |c| columns.get(c.key).cloned(), list), sent);
    }

    /// Runs of list entries are counted; a second alias of a convention goes to the list.
    #[test]
    fn order_is_written_and_read() {
        check(&[], None);
        check(&["a", "b"], None);
        check(&["http.method", "a", "b", "http.route"], Some("http.method,*2,http.route"));
        check(&["a", "messaging.system", "b"], Some("*,messaging.system,*"));
        check(&["http.method", "http.request.method"], Some("http.method,*"));
    }

    proptest! {
        /// Whatever the mix, what was sent comes back in order.
        #[test]
        fn restore_is_the_inverse(picks in proptest::collection::vec((0usize..400, any::<i64>()), 0..30)) {
            let keys: Vec<&str> = semconv::CONVENTIONS.iter().flat_map(|c| c.replaces.iter().chain([&c.key])).copied().collect();
            let sent: Vec<_> = picks
                .into_iter()
                .map(|(pick, value)| Attribute {
                    key: keys.get(pick).map_or_else(|| format!("own.{pick}"), |key| (*key).to_owned()),
                    value: AttributeValue::Int(value),
                })
                .collect();
            let (order, columns, list) = split(&sent);
            prop_assert_eq!(restore(order.as_deref(), |c| columns.get(c.key).cloned(), list), sent);
        }
    }
}
