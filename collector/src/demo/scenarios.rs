//! The journeys of tests/fixtures/journeys, how often each happens, and what must be fresh in each copy.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::DemoError;
use crate::Outcome;
use crate::otlp::structs;

/// One story.
#[derive(Debug)]
pub(super) struct Scenario {
    /// Name of its file.
    pub(super) name: &'static str,
    /// How often it happens, relative to the others.
    pub(super) weight: u32,
    /// Texts that name one order, message or job: each copy gets its own. Found inside longer texts, too.
    pub(super) unique: &'static [&'static str],
    /// The spans as recorded.
    pub(super) request: ExportTraceServiceRequest,
}

macro_rules! scenarios {
    ($($name:literal $weight:literal [$($unique:literal),*],)*) => {
        const RECORDED: &[(&str, u32, &[&str], &str)] = &[$((
            $name,
            $weight,
            &[$($unique),*],
            include_str!(concat!("../../../tests/fixtures/journeys/", $name, ".otlp.json")),
        ),)*];
    };
}

scenarios! {
    "01_checkout_happy" 40 ["ord_1001"],
    "02_rabbitmq_poison" 3 [],
    "03_sns_sqs_fanout" 12 ["6f1a2c60"],
    "04_jms_activemq_msmq" 8 ["88f1c2d3e4", "4711-1", "c0ffee00-0000-4000-8000-000000000001", "7a7c2a9e-0f7e-4a71-9d52-b0c3d4e5f601"],
    "06_async_http_polling" 6 ["7f3a9c21"],
    "07_circuit_breaker_cascade" 3 [],
    "08_deadline_duplicate" 3 [],
    "09_chatty_sequential" 10 [],
    "10_security_rate_limit" 4 [],
    "11_contract_drift" 4 [],
    "12_broken_context_skew" 3 [],
    "14_old_names_gateways_discovery" 8 [],
}

/// Every scenario.
pub(super) fn all() -> Result<Vec<Scenario>, DemoError> {
    let read = |&(name, weight, unique, text): &(&'static str, u32, &'static [&'static str], &str)| {
        let request = structs::traces_from_json(text.as_bytes(), &mut Outcome::default())
            .map_err(|error| DemoError::Scenario { name, detail: error.to_string() })?;
        Ok(Scenario { name, weight, unique, request })
    };
    RECORDED.iter().map(read).collect()
}

/// Index of the next scenario, by weight.
pub(super) fn pick(scenarios: &[Scenario], rng: &mut StdRng) -> usize {
    let total: u32 = scenarios.iter().map(|scenario| scenario.weight).sum();
    let mut left = rng.random_range(0..total);
    for (index, scenario) in scenarios.iter().enumerate() {
        if left < scenario.weight {
            return index;
        }
        left -= scenario.weight;
    }
    0
}
