//! Finds a text in what the page already has: names, services, details and ids.
//!
//! Any case. Texts are compared once per distinct text, not per span: a trace of 100,000 spans has a few
//! hundred of them. Attributes and events are only known to the server; its answer is merged in.

use model::SpanId;

use super::span_tree::SpanTree;

/// Spans that match, ascending and distinct.
pub(crate) fn matches(tree: &SpanTree, services: &[String], texts: &[String], needle: &str) -> Vec<u32> {
    let needle = needle.trim().to_lowercase();
    if needle.is_empty() {
        return Vec::new();
    }
    let hit =
        |texts: &[String]| -> Vec<bool> { texts.iter().map(|text| text.to_lowercase().contains(&needle)).collect() };
    let (services, texts) = (hit(services), hit(texts));
    let is_hit = |hits: &[bool], index: u32| hits.get(index as usize).copied().unwrap_or(false);
    let may_be_id = needle.len() >= 4 && needle.len() <= 16 && needle.bytes().all(|byte| byte.is_ascii_hexdigit());
    let spans = &tree.spans;
    (0..tree.len())
        .filter(|index| {
            is_hit(&texts, spans.name[*index])
                || is_hit(&services, spans.service[*index])
                || is_hit(&texts, spans.detail[*index])
                || (may_be_id && spans.span_id[*index].to_hex().contains(&needle))
        })
        .map(|index| index as u32)
        .collect()
}

/// Adds the spans the server found.
pub(crate) fn merged(tree: &SpanTree, mut found: Vec<u32>, ids: &[SpanId]) -> Vec<u32> {
    if !ids.is_empty() {
        let by_id: std::collections::HashMap<SpanId, u32> =
            tree.spans.span_id.iter().enumerate().map(|(index, id)| (*id, index as u32)).collect();
        found.extend(ids.iter().filter_map(|id| by_id.get(id)));
        found.sort_unstable();
        found.dedup();
    }
    found
}

/// The next (or previous) of `found` after `current`, around the end.
pub(crate) fn step(found: &[u32], current: Option<usize>, forward: bool) -> Option<usize> {
    let current = current.map(|index| index as u32);
    let next = match (current, forward) {
        (None, true) => found.first(),
        (None, false) => found.last(),
        (Some(current), true) => found.iter().find(|index| **index > current).or(found.first()),
        (Some(current), false) => found.iter().rev().find(|index| **index < current).or(found.last()),
    };
    next.map(|index| *index as usize)
}

/// Splits a text around the first place where `needle` stands, any case; `None` when it does not.
///
/// Compares letter by letter, so that letters whose lower case is longer do not shift the cut.
pub(crate) fn around<'a>(text: &'a str, needle: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let needle: Vec<char> = needle.trim().chars().flat_map(char::to_lowercase).collect();
    if needle.is_empty() {
        return None;
    }
    text.char_indices().find_map(|(start, _)| {
        let mut left = needle.as_slice();
        for (offset, letter) in text[start..].char_indices() {
            for lower in letter.to_lowercase() {
                match left.split_first() {
                    Some((first, rest)) if *first == lower => left = rest,
                    Some(_) => return None,
                    None => {}
                }
            }
            if left.is_empty() {
                let end = start + offset + letter.len_utf8();
                return Some((&text[..start], &text[start..end], &text[end..]));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::span_tree::tests::draw;

    const SHOP: &str = "POST /orders\n  reserve\n  Publish order\n  publish email\n";

    #[test]
    fn any_case_in_names_services_and_ids() {
        let (tree, texts) = draw(SHOP);
        let services = vec!["Order-Svc".to_owned()];
        assert_eq!(matches(&tree, &services, &texts, "publish"), [2, 3]);
        assert_eq!(matches(&tree, &services, &texts, "order-SVC").len(), 4);
        assert_eq!(matches(&tree, &services, &texts, "0000000004"), [3]);
        assert!(matches(&tree, &services, &texts, "  ").is_empty());
    }

    #[test]
    fn the_servers_hits_are_added_in_order() {
        let (tree, _) = draw(SHOP);
        let ids = [tree.spans.span_id[3], tree.spans.span_id[1]];
        assert_eq!(merged(&tree, vec![2, 3], &ids), [1, 2, 3]);
    }

    #[test]
    fn stepping_goes_around() {
        let found = [2, 5, 9];
        assert_eq!(step(&found, None, true), Some(2));
        assert_eq!(step(&found, Some(5), true), Some(9));
        assert_eq!(step(&found, Some(9), true), Some(2));
        assert_eq!(step(&found, Some(3), false), Some(2));
        assert_eq!(step(&found, Some(2), false), Some(9));
        assert_eq!(step(&[], Some(2), false), None);
    }

    #[test]
    fn marks_keep_the_text() {
        assert_eq!(around("orders Publish now", "publish"), Some(("orders ", "Publish", " now")));
        assert_eq!(around("İstanbul", "stan"), Some(("İ", "stan", "bul")));
        assert_eq!(around("abc", "x"), None);
    }

    proptest::proptest! {
        #[test]
        fn the_three_parts_are_the_text(text in ".{0,30}", needle in ".{0,3}") {
            if let Some((before, hit, after)) = around(&text, &needle) {
                proptest::prop_assert_eq!(format!("{before}{hit}{after}"), text);
            }
        }
    }
}
