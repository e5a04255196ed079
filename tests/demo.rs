//! The demo sends a believable shop to a running collector until it is told to stop.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Server, sql, wait_for};

/// Ends the sender with the test, whatever becomes of it.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All three signals arrive, around now, with errors among them; a polite stop ends it with 0.
#[tokio::test]
async fn the_demo_fills_every_page() {
    let server = Server::start();
    let demo = Command::new(env!("CARGO_BIN_EXE_hodoscope"))
        .args(["demo", "--endpoint", &format!("http://{}", server.otlp_grpc), "--rate", "20"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the executable can be started");
    let mut demo = Guard(demo);
    let arrived = wait_for("traces, logs and metrics of the demo", Duration::from_secs(180), async || {
        let text = "SELECT (SELECT count(DISTINCT trace_id) FROM spans) AS traces, (SELECT count(*) FROM logs) AS logs, \
                    (SELECT count(*) FROM number_points) AS points, \
                    (SELECT count(*) FROM spans WHERE status_code = 2) AS errors, \
                    (SELECT count(DISTINCT service_name) FROM spans) AS services";
        let rows = sql::query(&server, text).await;
        let has = |column: &str, least: i64| rows.int(0, column) >= least;
        let is_enough =
            has("traces", 50) && has("logs", 1) && has("points", 1) && has("errors", 1) && has("services", 8);
        is_enough.then_some(())
    });
    arrived.await;
    let text = "SELECT count(*) FROM spans WHERE start_time < now() - INTERVAL '1 hour' OR start_time > now() + INTERVAL '1 minute'";
    assert_eq!(sql::number(&server, text).await, 0, "spans are around now");
    let asked = Command::new("kill").args(["-TERM", &demo.0.id().to_string()]).status().expect("kill runs");
    assert!(asked.success(), "the demo had already ended");
    let ended = wait_for("the demo to stop", Duration::from_secs(60), || {
        let status = demo.0.try_wait().expect("the child can be waited for");
        async move { status }
    });
    assert_eq!(ended.await.code(), Some(0));
}
