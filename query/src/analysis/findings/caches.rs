//! cache_ineffective: reads of a cache that are followed by the database all the same.

use std::collections::{BTreeMap, HashMap};

use crate::analysis::Analysis;
use crate::analysis::classify::Protocol;
use crate::analysis::graph::SpanIndex;
use crate::analysis::node::Node;
use crate::analysis::thresholds::Thresholds;

use super::{Finding, FindingName};

/// First words of operations that read.
const READS: &[&str] =
    &["get", "gets", "mget", "hget", "hmget", "hgetall", "getex", "read", "smembers", "lrange", "zrange", "exists"];

pub(super) fn find(analysis: &Analysis, thresholds: &Thresholds, found: &mut Vec<Finding>) {
    let mut databases: HashMap<SpanIndex, Vec<i64>> = HashMap::new();
    for call in analysis.calls.iter().filter(|call| call.protocol == Protocol::Db) {
        if let Some(parent) = call.parent {
            databases.entry(parent).or_default().push(call.start);
        }
    }
    databases.values_mut().for_each(|starts| starts.sort_unstable());
    let mut reads: BTreeMap<(&Node, &Node), (Vec<SpanIndex>, usize)> = BTreeMap::new();
    for call in analysis.calls.iter().filter(|call| call.protocol == Protocol::Cache && is_read(&call.op)) {
        let starts = call.parent.and_then(|parent| databases.get(&parent));
        let is_followed = starts.is_some_and(|starts| {
            let next = starts.get(starts.partition_point(|start| *start < call.end));
            next.is_some_and(|next| next - call.end <= thresholds.cache_follow_nanos)
        });
        let (all, n_followed) = reads.entry((&call.source, &call.target)).or_default();
        all.push(call.span());
        *n_followed += usize::from(is_followed);
    }
    for ((source, target), (spans, n_followed)) in reads {
        let share = n_followed as f64 / spans.len() as f64;
        if spans.len() >= thresholds.cache_reads && share >= thresholds.cache_miss_share {
            let summary =
                format!("{n_followed} of {} reads of {target} by {source} were followed by the database", spans.len());
            found.push(
                Finding::new(FindingName::CacheIneffective, spans.clone(), summary)
                    .text("edge", format!("{source} -> {target}"))
                    .count("reads", spans.len())
                    .share("share", share),
            );
        }
    }
}

fn is_read(op: &str) -> bool {
    op.split_whitespace().next().is_some_and(|word| READS.iter().any(|read| read.eq_ignore_ascii_case(word)))
}
