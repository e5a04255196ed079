//! Notebooks read through Arrow Flight SQL: the ADBC driver for Python, against the port of the API.

use std::path::Path;

use tokio::process::Command;

use crate::harness::otlp::Client;
use crate::harness::{Request, Server, Transport, generate, tools};

#[tokio::test]
async fn adbc_reads_through_flight_sql() {
    let Some(python) = tools::installed("the ADBC driver", "open-data/bin/python") else { return };
    let has_driver = Command::new(&python).args(["-c", "import adbc_driver_flightsql.dbapi"]).output().await;
    if !has_driver.is_ok_and(|output| output.status.success()) {
        let _: Option<()> = tools::skip("the ADBC driver", "run tests/setup.sh");
        return;
    }
    let mut server = Server::start();
    let spans = (1..=500).map(|n| generate::span(u128::from(n) << 64 | 1, n, if n % 5 == 0 { "slow" } else { "fast" }));
    let sent = generate::request("shop", spans.collect());
    Client::new(&server).send_all(Transport::Grpc, &Request::Traces(sent)).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/open-data/flight.py");
    let output = Command::new(python).arg(script).arg(&server.http).output().await.expect("python runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    server.assert_alive();
}
