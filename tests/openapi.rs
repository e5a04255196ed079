//! schemathesis reads our OpenAPI document and asks what it allows and what it does not: no server error, no answer (status, type,
//! body, methods) that the document does not tell.
//!
//! Only in long runs (`make test-long`): what it makes up depends on what was stored before, so it may find something on any day.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::otlp::Client;
use crate::harness::{Server, Transport, fixtures, tools};
use crate::sdks::FOREIGN;

/// Answers must be as the document says. Not asked: whether everything that the schema allows is taken, because a filter or a time
/// is any text to a schema.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,unsupported_method,allow_header_conformance,negative_data_rejection";

/// For a busy machine: a run takes half a minute.
const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::test]
async fn schemathesis_finds_nothing() {
    if std::env::var_os("HODOSCOPE_LONG").is_none() {
        return;
    }
    let Some(program) = tools::welcome("schemathesis", "schemathesis/bin/schemathesis") else { return };
    let mut server = Server::start();
    let client = Client::new(&server);
    for fixture in fixtures::journeys() {
        client.send_all(Transport::Grpc, &fixture.request).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program);
    command.current_dir(folder.path()).kill_on_drop(true);
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    // A stream of events has no end to wait for.
    command.args(["run", &server.api("/api/openapi.json"), "--exclude-path", "/api/live", "--checks", CHECKS]);
    command.args(["--max-examples", "40", "--seed", "1", "--phases", "examples,coverage,fuzzing,stateful"]);
    // How long a debug build takes on a busy machine is nobody's finding.
    command.args(["--suppress-health-check", "all", "--request-timeout", "120", "--warnings", "off", "--no-shrink"]);
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", said.lines().filter(|line| line.contains("generated")).collect::<String>());
    server.assert_alive();
}
