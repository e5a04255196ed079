//! Every number a judgement rests on, with the defaults the fixtures rely on. Times are nanoseconds.

use serde::{Deserialize, Serialize};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
const HOUR: i64 = 3_600 * SECOND;

macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $default:expr, $help:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $(#[doc = $help] pub $field: $type,)* }

        impl $name {
            /// Each setting by name, with a sentence for people.
            pub const HELP: &'static [(&'static str, &'static str)] = &[$((stringify!($field), $help),)*];
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

impl Bounds {
    /// Bounds for a reader who asked for so many times as many traces and spans.
    pub fn wider(self, times: usize) -> Self {
        let more = |bound: usize| bound.saturating_mul(times);
        Self {
            members_max: more(self.members_max),
            spans_max: more(self.spans_max),
            deliveries_per_send_max: more(self.deliveries_per_send_max),
            ..self
        }
    }
}

settings! {
    /// How far a journey is followed. What lies beyond is counted and named, never silently dropped.
    Bounds {
        depth_max: usize = 8, "Joins between the origin and a member.";
        members_max: usize = 64, "Traces.";
        spans_max: usize = 20_000, "Spans of all members together.";
        deliveries_per_send_max: usize = 256, "Deliveries of one send that are followed.";
        before_nanos: i64 = HOUR, "How much earlier than the origin a member may begin.";
        after_nanos: i64 = 24 * HOUR, "How much later than the origin a member may begin.";
        shift_max_nanos: i64 = 300 * SECOND, "Clock shifts beyond this are not believed.";
    }
}

settings! {
    /// When something is worth telling.
    Thresholds {
        slowest_hop_nanos: i64 = 50 * MS, "slowest_hop: least time on the response path.";
        slowest_hop_share: f64 = 0.30, "slowest_hop: least share of the response.";
        chatty_calls: usize = 5, "chatty_calls: calls of one operation.";
        chatty_in_sequence: usize = 4, "chatty_calls: of these, after the one before ended.";
        chatty_error_share: f64 = 0.20, "chatty_calls: share of errors that makes it something else.";
        sequential_gap_nanos: i64 = 5 * MS, "sequential_calls: pause between two calls of a chain.";
        sequential_gap_share: f64 = 0.05, "sequential_calls: or this share of the parent.";
        sequential_saving_nanos: i64 = 50 * MS, "sequential_calls: least time to be saved.";
        sequential_saving_share: f64 = 0.30, "sequential_calls: least share of the parent to be saved.";
        retry_storm_attempts: usize = 3, "retry_storm: attempts in one run.";
        retry_storm_product: usize = 4, "retry_storm: attempts of two levels multiplied.";
        wasted_nanos: i64 = 5 * MS, "deadline_wasted: least work after the caller gave up.";
        cascade_services: usize = 3, "cascading_failure: services on the chain.";
        fail_fast_nanos: i64 = 10 * MS, "fail_fast: longest time from the rejection to the answer.";
        queue_lag_nanos: i64 = SECOND, "queue_wait: least lag of a delivery, or wait on the settled path.";
        queue_lag_times: i64 = 3, "queue_wait: lag as a multiple of the processing.";
        queue_share: f64 = 0.50, "queue_wait: or this share of the settled path.";
        poison_attempts: usize = 3, "poison_message: failed deliveries.";
        fanout_deliveries: usize = 10, "fanout_amplification: deliveries, and deliveries per message sent.";
        fanout_calls: usize = 20, "fanout_amplification: or direct calls from one entry.";
        deep_chain_steps: usize = 4, "deep_sync_chain: steps from service to service.";
        deep_chain_high: usize = 6, "deep_sync_chain: steps that make it high.";
        gateway_nanos: i64 = 20 * MS, "gateway_overhead: least time of its own.";
        gateway_share: f64 = 0.20, "gateway_overhead: least share of the gateway span.";
        polls: usize = 2, "async_http_polling: looks at one status address.";
        polls_warn: usize = 10, "async_http_polling: looks that make it a warning.";
        poll_interval_nanos: i64 = 200 * MS, "async_http_polling: shorter intervals make it a warning.";
        skew_nanos: i64 = 10 * MS, "clock_skew: least shift.";
        consistency_nanos: i64 = 5 * SECOND, "slow_consistency: settled minus response.";
        discovery_nanos: i64 = 10 * MS, "discovery_on_path: least time.";
        discovery_share: f64 = 0.10, "discovery_on_path: least share of the response path.";
        drift_calls: usize = 3, "contract_drift: calls of each version.";
        drift_old_share: f64 = 0.01, "contract_drift: most failures of the old version.";
        drift_failures: usize = 3, "contract_drift: least failures of the new version.";
        drift_new_share: f64 = 0.05, "contract_drift: least share of failures of the new version.";
        drift_size_change: f64 = 0.50, "contract_drift: change of the median size worth telling.";
        spike_rate_times: f64 = 3.0, "traffic_spike: calls per minute against the median before.";
        spike_p95_times: f64 = 2.0, "traffic_spike: p95 against its median before.";
        spike_minutes: usize = 12, "traffic_spike: minutes looked back.";
        cache_reads: usize = 20, "cache_ineffective: least reads.";
        cache_miss_share: f64 = 0.80, "cache_ineffective: share of reads followed by a database call.";
        cache_follow_nanos: i64 = 50 * MS, "cache_ineffective: within this time.";
    }
}
