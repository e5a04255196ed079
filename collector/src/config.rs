//! Settings of the collector: plain values with a unit and both directions of the trade.

use std::time::Duration;

use model::TenantId;
use serde::{Deserialize, Serialize};

/// Settings of the collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The largest request, in bytes, both as it comes and decompressed. Senders split batches that are
    /// refused, or lose them; a larger limit lets one request take more memory.
    pub request_bytes_max: u64,
    /// Bytes of all requests being taken, as they come and decompressed, until they are answered. Above it, newcomers are asked to
    /// come back. Rows made of them take about three times as much: of requests above 2 MiB one is decoded at a time, and no single item
    /// may become larger than this while it is decoded (than 16 MiB, if this is less).
    pub in_flight_bytes_max: u64,
    /// Bytes of bodies as they come that each tenant may send per second, over time; 0 for any number. What is over is answered 429
    /// (`RESOURCE_EXHAUSTED`) with the time to wait.
    pub tenant_bytes_per_s: u64,
    /// Spans, data points and log records that each tenant may send per second, over time; 0 for any number.
    pub tenant_items_per_s: u64,
    /// How many seconds' worth of bytes and items a tenant that was quiet may send at once. More lets batches through after a pause, and
    /// lets one tenant take that much from the others.
    pub tenant_burst_s: u64,
    /// Series of metrics that each tenant may have active within an hour; 0 for any number. They cost 36 bytes each at most. A
    /// request that would make more is answered 429.
    pub tenant_series_max: u64,
    /// How long a request may wait for decoding and the disk, in milliseconds, before its sender is asked to
    /// come back. Exporters give up after 10 s by default and some of them then lose the batch.
    pub answer_within_ms: u64,
    /// How long a request's body may take to arrive, in seconds.
    pub body_timeout_s: u64,
    /// Path of traces over HTTP.
    pub traces_path: String,
    /// Path of metrics over HTTP.
    pub metrics_path: String,
    /// Path of logs over HTTP.
    pub logs_path: String,
    /// Requests to this collector, on all its ports, of which it keeps a trace of its own, at most so many each second; 0 for none.
    /// More shows more of what it does, and each is a handful of spans.
    pub own_traces_per_s: u64,
    /// Whose data these traces are.
    pub own_traces_tenant: String,
    /// What must not be kept.
    pub redaction: RedactionConfig,
}

/// Which keys and values must not be kept. Lists of keys are patterns with `*`, lists of values regular expressions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedactionConfig {
    /// Keys that are masked: their value becomes `[redacted]`.
    pub mask_keys: Vec<String>,
    /// Keys whose value becomes a keyed hash: equal values stay equal.
    pub hash_keys: Vec<String>,
    /// Keys that are left out.
    pub drop_keys: Vec<String>,
    /// Keys that no other list means, such as counts of tokens.
    pub keep_keys: Vec<String>,
    /// Parts of texts that are masked, wherever they stand.
    pub mask_values: Vec<String>,
    /// Parts of texts that become a keyed hash.
    pub hash_values: Vec<String>,
    /// Texts that have such a part are left out whole.
    pub drop_values: Vec<String>,
    /// File whose bytes are the key of the hash, at least 16; needed when something is hashed.
    pub hash_key_file: String,
}

impl Default for RedactionConfig {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            mask_keys: list(&[
                "authorization",
                "proxy-authorization",
                "proxy_authorization",
                "cookie",
                "set-cookie",
                "set_cookie",
                "*password*",
                "*passwd*",
                "*secret*",
                "*token*",
                "*api-key*",
                "*api_key*",
                "*apikey*",
            ]),
            hash_keys: Vec::new(),
            drop_keys: Vec::new(),
            keep_keys: list(&[
                "gen_ai.usage.*",
                "gen_ai.request.max_tokens",
                "gen_ai.token.type",
                "llm.usage.*",
                "llm.token_count.*",
            ]),
            mask_values: Vec::new(),
            hash_values: Vec::new(),
            drop_values: Vec::new(),
            hash_key_file: String::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            request_bytes_max: 64 << 20,
            in_flight_bytes_max: 256 << 20,
            tenant_bytes_per_s: 0,
            tenant_items_per_s: 0,
            tenant_burst_s: 10,
            tenant_series_max: 1_000_000,
            answer_within_ms: 5_000,
            body_timeout_s: 60,
            traces_path: "/v1/traces".to_owned(),
            metrics_path: "/v1/metrics".to_owned(),
            logs_path: "/v1/logs".to_owned(),
            own_traces_per_s: 0,
            own_traces_tenant: TenantId::default_tenant().to_string(),
            redaction: RedactionConfig::default(),
        }
    }
}

impl Config {
    /// Names the first setting that cannot work.
    ///
    /// # Errors
    /// One sentence for the person who wrote the configuration.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("request_bytes_max", self.request_bytes_max),
            ("tenant_burst_s", self.tenant_burst_s),
            ("answer_within_ms", self.answer_within_ms),
            ("body_timeout_s", self.body_timeout_s),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("collector.{name} must be greater than 0"));
        }
        if self.in_flight_bytes_max < self.request_bytes_max {
            return Err("collector.in_flight_bytes_max must be at least collector.request_bytes_max".to_owned());
        }
        self.redaction.validate()?;
        if TenantId::new(&self.own_traces_tenant).is_none() {
            let told = &self.own_traces_tenant;
            return Err(format!("collector.own_traces_tenant must be 1 to 64 letters, digits, - or _, not {told:?}"));
        }
        let paths =
            [("traces_path", &self.traces_path), ("metrics_path", &self.metrics_path), ("logs_path", &self.logs_path)];
        for (n, (name, path)) in paths.iter().enumerate() {
            let is_plain = path.starts_with('/') && path.len() > 1 && !path.contains(['{', '}', '*', '?', '#']);
            if !is_plain {
                return Err(format!("collector.{name} must be a path such as /v1/traces, not {path:?}"));
            }
            if paths[..n].iter().any(|(_, other)| other == path) {
                return Err(format!("collector.{name} is the path of another signal, too: {path:?}"));
            }
        }
        Ok(())
    }

    pub(crate) const fn answer_within(&self) -> Duration {
        Duration::from_millis(self.answer_within_ms)
    }

    pub(crate) const fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_s)
    }
}
