//! Alerts as on-call people meet them: rules from files and by API, Alertmanager, webhooks, silences, kills, dead targets.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Value as Json, json};

use crate::harness::alerts::{Hook, PATIENCE, alerts, call, collector, get, state, wait_state, wait_stored};
use crate::harness::otlp::Client;
use crate::harness::tools::{free_port, program};
use crate::harness::{Request, Server, Stopped, Transport, fixtures, generate, wait_for};

/// Fires while more spans failed than went well: it ends when the test says so, and not before a busy machine has looked.
const ERRORS: &str = "\
groups:
- name: shop
  interval: 1s
  rules:
  - alert: Errors
    sql: |
      SELECT service_name AS service, min(trace_id) AS trace_id,
        sum(CASE status_code WHEN 2 THEN 1 ELSE -1 END) AS value
      FROM spans WHERE start_time >= $from AND start_time < $to GROUP BY 1
      HAVING sum(CASE status_code WHEN 2 THEN 1 ELSE -1 END) > 0
    range: 1h
    labels: {severity: page}
    annotations: {summary: '{{ $labels.service }} failed {{ $value }} times'}
  - alert: Always
    sql: SELECT 1 AS value
  - alert: Waiting
    sql: SELECT 1 AS value
    for: 8s
  - record: shop:spans
    sql: SELECT count(*) AS value FROM spans
";

/// Sends one span that failed just now.
async fn fail_once(server: &Server) {
    send_once(server, 2).await;
}

/// Sends one span that went well just now: it outweighs one that failed.
async fn succeed_once(server: &Server) {
    send_once(server, 1).await;
}

async fn send_once(server: &Server, code: i32) {
    let status = Some(Status { code, ..Status::default() });
    let span = Span { status, ..generate::span(u128::from(fixtures::now_nanos()), 1, "GET /") };
    let request = Request::Traces(generate::request("shop", vec![span]));
    Client::new(server).send_all(Transport::HttpProtobuf, &request).await;
}

/// A rule from a file fires over what is sent, with the journey in annotations and never in labels, resolves, and both are told
/// to a webhook in Alertmanager's form; the table keeps the transitions.
#[tokio::test]
async fn alerts_fire_resolve_and_are_told() {
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let server = collector(folder.path(), ERRORS, &[], &[hook.open().await]).start();
    fail_once(&server).await;
    wait_state(&server, "Errors", Some("firing")).await;
    let alert = alerts(&server, "Errors").await.remove(0);
    let trace = alert["annotations"]["trace_id"].as_str().expect("an example").to_owned();
    assert_eq!(alert["labels"]["severity"], "page");
    assert!(alert["labels"].get("trace_id").is_none(), "{alert}");
    assert_eq!(alert["annotations"]["journey_url"], format!("http://hodoscope.test:4319/j/{trace}"));
    assert_eq!(alert["value"], "1e+00");
    succeed_once(&server).await;
    wait_state(&server, "Errors", None).await;
    wait_for("both to be told", PATIENCE, || async { (hook.statuses("Errors").len() >= 2).then_some(()) }).await;
    assert_eq!(hook.statuses("Errors"), ["firing", "resolved"]);
    let body = hook.told.lock().expect("no panic")[0].clone();
    assert_eq!((&body["version"], &body["receiver"]), (&json!("4"), &json!("hodoscope")));

    let history = crate::harness::sql::query(
        &server,
        "SELECT before, state, reason FROM alerts WHERE alertname = 'Errors' ORDER BY seq",
    )
    .await;
    assert_eq!(history.to_texts(), [["inactive", "firing", "condition"], ["firing", "inactive", "condition"]]);
    let answered = get(&server, "/api/alerts/history?name=Errors").await;
    assert_eq!(answered["transitions"].as_array().map(Vec::len), Some(2));
    let series = "SELECT attr('alertstate') AS state, CAST(value AS BIGINT) AS value, flags FROM metrics \
                  WHERE metric_name = 'ALERTS' AND attr('alertname') = 'Errors' ORDER BY time";
    let series = crate::harness::sql::query(&server, series).await;
    let first = (series.text(0, "state"), series.int(0, "value"));
    let last = (series.text(series.len() - 1, "state"), series.get(series.len() - 1, "value"));
    assert_eq!((first, last), (("firing", 1), ("firing", &Json::Null)), "the series of Prometheus begins and ends");
    let since = "SELECT count(*) FROM metrics WHERE metric_name = 'ALERTS_FOR_STATE' AND value > 1000000000";
    assert!(crate::harness::sql::number(&server, since).await > 0, "its value is a moment in seconds");
    let recorded = "SELECT count(*) FROM metrics WHERE metric_name = 'shop:spans' AND value >= 1";
    assert!(crate::harness::sql::number(&server, recorded).await > 0, "recording rules write samples");

    let rules = get(&server, "/api/v1/rules?rule_group[]=shop").await;
    let group = &rules["data"]["groups"][0];
    assert_eq!((&group["name"], &group["interval"]), (&json!("shop"), &json!(1)));
    let rule = &group["rules"][2];
    assert_eq!(
        (&rule["name"], &rule["duration"], &rule["type"], &rule["health"]),
        (&json!("Waiting"), &json!(8), &json!("alerting"), &json!("ok"))
    );
    assert_eq!(get(&server, "/api/v1/rules?type=record").await["data"]["groups"][0]["rules"][0]["name"], "shop:spans");
    assert_eq!(call(&server, "GET", "/api/v1/rules?type=x", "").await.0, 400);
}

/// Killed while pending, while firing and after it was over: nothing is lost, pending goes on waiting, nothing fires anew.
#[tokio::test]
async fn kills_lose_no_state() {
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let server = collector(folder.path(), ERRORS, &[], &[hook.open().await]).start();
    wait_stored(&server, "Waiting", "pending").await;
    wait_stored(&server, "Always", "firing").await;
    let since = |alerts: Vec<Json>| alerts[0]["activeAt"].as_str().expect("a moment").to_owned();
    let firing_since = since(alerts(&server, "Always").await);
    let server = server.kill().start();
    wait_state(&server, "Always", Some("firing")).await;
    assert_eq!(since(alerts(&server, "Always").await), firing_since, "it fires since it began");
    wait_state(&server, "Waiting", Some("firing")).await;
    fail_once(&server).await;
    wait_stored(&server, "Errors", "firing").await;
    let server = server.kill().start();
    succeed_once(&server).await;
    wait_state(&server, "Errors", None).await;
    wait_for("the end to be told", PATIENCE, || async {
        (hook.statuses("Errors").last().map(String::as_str) == Some("resolved")).then_some(())
    })
    .await;
    let server = server.kill().start();
    wait_state(&server, "Always", Some("firing")).await;
    let sql = "SELECT count(*) FROM alerts WHERE alertname = 'Always' AND before <> state";
    assert_eq!(crate::harness::sql::number(&server, sql).await, 1, "three processes, one transition");
    let sql = "SELECT count(*) FROM alerts WHERE alertname = 'Waiting' AND before = 'inactive'";
    assert_eq!(crate::harness::sql::number(&server, sql).await, 1, "it went on waiting");
    assert_eq!(state(&server, "Errors").await, None);
}

/// F27: a target that is down, over a kill too: everything is told as soon as it is up, in order.
#[tokio::test]
async fn f27_dead_targets_hear_everything_later() {
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let url = hook.open().await;
    hook.set_down(true);
    let server = collector(folder.path(), ERRORS, &[], &[url]).start();
    fail_once(&server).await;
    wait_stored(&server, "Errors", "firing").await;
    succeed_once(&server).await;
    wait_stored(&server, "Errors", "inactive").await;
    wait_for("an attempt to fail", PATIENCE, || async {
        let target = get(&server, "/api/alerts").await["targets"][0].clone();
        let is_waiting = target["waiting"].as_u64() > Some(1) && target["failures"].as_u64() > Some(0);
        (is_waiting && target["last_error"].as_str().is_some_and(|error| error.contains("503"))).then_some(())
    })
    .await;
    let server = server.kill().start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    hook.set_down(false);
    wait_for("what happened meanwhile", PATIENCE, || async { (hook.statuses("Errors").len() >= 2).then_some(()) })
        .await;
    assert_eq!(hook.statuses("Errors"), ["firing", "resolved"]);
    wait_for("the queue to empty", PATIENCE, || async {
        (get(&server, "/api/alerts").await["targets"][0]["waiting"] == 0).then_some(())
    })
    .await;
}

/// F27: targets that never answer, or never stop answering, hold up neither evaluations nor other targets; what they are still to be told
/// stays within its bound.
#[tokio::test]
async fn f27_slow_and_hostile_targets_hold_nobody_up() {
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let silent = axum::Router::new().route("/hook", axum::routing::post(std::future::pending::<()>));
    let endless = axum::routing::post(|| async {
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1 << 16)));
        axum::body::Body::from_stream(pieces)
    });
    let mut targets = Vec::new();
    for routes in [silent, axum::Router::new().route("/hook", endless)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        targets.push(format!("http://{}/hook", listener.local_addr().expect("an address")));
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }
    targets.push(hook.open().await);
    let server = collector(folder.path(), ERRORS, &[], &targets).start();
    fail_once(&server).await;
    wait_state(&server, "Errors", Some("firing")).await;
    succeed_once(&server).await;
    wait_state(&server, "Errors", None).await;
    wait_for("the third to hear both", PATIENCE, || async { (hook.statuses("Errors").len() >= 2).then_some(()) }).await;
    assert_eq!(hook.statuses("Errors"), ["firing", "resolved"]);
    // The one that never answers is given up after five seconds and tried again.
    wait_for("the attempt to be given up", PATIENCE, || async {
        let targets = get(&server, "/api/alerts").await["targets"].clone();
        (targets[0]["failures"].as_u64() > Some(0)).then_some(())
    })
    .await;
    let told = get(&server, "/api/alerts").await["targets"].clone();
    assert!(
        told.as_array().is_some_and(|all| all.iter().all(|target| target["waiting"].as_u64() < Some(100))),
        "{told}"
    );
}

/// F27: an alert that comes and goes while its target is down, over a kill: every transition arrives afterwards, in its order.
#[tokio::test]
async fn f27_every_transition_arrives_when_the_target_is_back() {
    const ROUNDS: usize = 3;
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let url = hook.open().await;
    hook.set_down(true);
    let mut server = collector(folder.path(), "groups: []\n", &[], &[url]).start();
    let rule = json!({"alert": "Flaps", "interval": "1s", "sql": "SELECT 1 AS value"}).to_string();
    for round in 0..ROUNDS {
        assert_eq!(call(&server, "PUT", "/api/alert-rules/flaps", &rule).await.0, 200);
        wait_state(&server, "Flaps", Some("firing")).await;
        if round == 1 {
            wait_for("each firing to be stored", PATIENCE, || async {
                let text =
                    "SELECT count(*) FROM alerts WHERE alertname = 'Flaps' AND before <> state AND state = 'firing'";
                (crate::harness::sql::number(&server, text).await > 1).then_some(())
            })
            .await;
            server = server.kill().start();
            wait_state(&server, "Flaps", Some("firing")).await;
        }
        assert_eq!(call(&server, "DELETE", "/api/alert-rules/flaps", "").await.0, 204);
        wait_state(&server, "Flaps", None).await;
    }
    assert_eq!(hook.statuses("Flaps"), [] as [&str; 0]);
    hook.set_down(false);
    // Pauses between attempts have grown up to a minute.
    wait_for("everything to arrive", PATIENCE * 4, || async {
        (hook.statuses("Flaps").len() >= 2 * ROUNDS).then_some(())
    })
    .await;
    assert_eq!(hook.statuses("Flaps"), ["firing", "resolved"].repeat(ROUNDS));
    // One after the other, each later than the one before.
    let starts: Vec<String> = hook.alerts("Flaps").iter().map(|alert| alert["startsAt"].to_string()).collect();
    assert!(starts.windows(2).all(|pair| pair[0] <= pair[1]), "{starts:?}");
}

/// Silenced alerts fire and are not told; when the silence ends they are.
#[tokio::test]
async fn silences_hold_back() {
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let server = collector(folder.path(), "groups: []\n", &[], &[hook.open().await]).start();
    let silence = json!({"matchers": [{"name": "alertname", "value": "Qu.*", "isRegex": true}], "endsAt": "now+1h", "comment": "deploy"});
    let (status, body) = call(&server, "POST", "/api/silences", &silence.to_string()).await;
    assert_eq!(status, 200, "{body}");
    let id = serde_json::from_str::<Json>(&body).expect("JSON")["id"].as_str().expect("an id").to_owned();
    let rule = json!({"alert": "Quiet", "interval": "1s", "sql": "SELECT 1 AS value"});
    assert_eq!(call(&server, "PUT", "/api/alert-rules/quiet", &rule.to_string()).await.0, 200);
    wait_state(&server, "Quiet", Some("firing")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hook.statuses("Quiet"), [] as [&str; 0]);
    assert_eq!(get(&server, "/api/alerts").await["alerts"][0]["silenced"], true);
    // Silences and kept rules outlive the process.
    let server = server.kill().start();
    wait_state(&server, "Quiet", Some("firing")).await;
    assert_eq!(get(&server, "/api/silences").await["silences"][0]["state"], "active");
    assert_eq!(call(&server, "DELETE", &format!("/api/silences/{id}"), "").await.0, 200);
    wait_for("it to be told", PATIENCE, || async { (!hook.statuses("Quiet").is_empty()).then_some(()) }).await;
    assert_eq!(call(&server, "DELETE", "/api/alert-rules/quiet", "").await.0, 204);
    wait_state(&server, "Quiet", None).await;
    wait_for("the end to be told", PATIENCE, || async {
        (hook.statuses("Quiet").last().map(String::as_str) == Some("resolved")).then_some(())
    })
    .await;
    for (method, path, body, status) in [
        ("POST", "/api/silences", "{\"matchers\": []}", 400),
        ("POST", "/api/silences", "x", 400),
        ("DELETE", "/api/silences/none", "", 404),
        ("DELETE", "/api/alert-rules/none", "", 404),
        ("GET", "/api/alert-rules/none", "", 404),
    ] {
        assert_eq!(call(&server, method, path, body).await.0, status, "{method} {path}");
    }
}

/// What a rule would have done.
#[tokio::test]
async fn rules_are_previewed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = collector(folder.path(), "groups: []\n", &[], &[]).start();
    fail_once(&server).await;
    let rule = "alert: A\ninterval: 1s\nsql: SELECT count(*) AS value FROM spans WHERE start_time >= $from AND start_time < $to HAVING count(*) > 0\nrange: 5s\n";
    let request = json!({"rule": rule, "from": "now-60s", "to": "now+60s"});
    let (status, body) = call(&server, "POST", "/api/alert-rules/preview", &request.to_string()).await;
    let answer: Json = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &answer["fired"]), (200, &json!(1)), "{body}");
    let moment = |name: &str| answer["alerts"][0][name].as_str().expect("a moment").parse::<i64>().expect("a number");
    let seconds = (moment("resolved_unix_nano") - moment("fired_unix_nano")) / 1_000_000_000;
    assert!((4..=6).contains(&seconds), "{body}");
}

/// Rules that stand on each other's shoulders in CI: `rules check` and `rules test` as commands.
#[test]
fn rules_are_checked_and_tested_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hodoscope")).arg("rules").args(args).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    std::fs::write(path("rules.yml"), ERRORS).expect("written");
    std::fs::write(path("bad.yml"), ERRORS.replace("status_code", "status_cod")).expect("written");
    let tests = "rule_files: [rules.yml]\ntests:\n- answers: [{alert: Waiting, values: 1x60}]\n  interval: 1s\n  alert_rule_test:\n  \
                 - {eval_time: 7s, alertname: Waiting}\n  - {eval_time: 8s, alertname: Waiting, exp_alerts: [{}]}\n";
    std::fs::write(path("tests.yml"), tests).expect("written");
    assert_eq!(run(&["check", &path("rules.yml")]).0, Some(0));
    let (code, said) = run(&["check", &path("rules.yml"), &path("bad.yml")]);
    assert!(code == Some(2) && said.contains("bad.yml: line 8: there is no column status_cod"), "{said}");
    assert_eq!(run(&["test", &path("tests.yml")]).0, Some(0), "{}", run(&["test", &path("tests.yml")]).1);
    std::fs::write(path("tests.yml"), tests.replace("7s", "9s")).expect("written");
    assert_eq!(run(&["test", &path("tests.yml")]).0, Some(2));
    assert_eq!(run(&["check", &path("absent.yml")]).0, Some(1));
}

/// An Alertmanager of Debian's package on a port of its own; ends with the test.
struct Alertmanager {
    child: Child,
    port: u16,
}

impl Alertmanager {
    fn start(folder: &Path, port: u16) -> Option<Self> {
        let name = program("prometheus-alertmanager", "--version")?;
        std::fs::write(folder.join("am.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n").expect("written");
        let log = std::fs::File::create(folder.join("am.log")).expect("a log");
        let child = Command::new(name)
            .arg(format!("--config.file={}", folder.join("am.yml").display()))
            .arg(format!("--storage.path={}", folder.join("am").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        Some(Self { child, port })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn alerts(&self, name: &str) -> Vec<Json> {
        let asked = reqwest::get(format!("{}/api/v2/alerts?filter=alertname%3D{name}", self.url())).await;
        let Ok(response) = asked else { return Vec::new() };
        serde_json::from_str(&response.text().await.unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian's Alertmanager gets what fires, with links, hears of it again after it was down, and forgets what is over.
#[tokio::test]
async fn alertmanager_takes_alerts() {
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let Some(manager) = Alertmanager::start(folder.path(), port) else { return };
    // The second one is dead: the first hears everything all the same.
    let dead = format!("http://127.0.0.1:{}", free_port());
    let server = collector(folder.path(), ERRORS, &[dead, manager.url()], &[]).start();
    fail_once(&server).await;
    let alert = wait_for("the alert", PATIENCE, || async { manager.alerts("Errors").await.into_iter().next() }).await;
    assert_eq!(
        (&alert["labels"]["severity"], &alert["status"]["state"]),
        (&json!("page"), &json!("active")),
        "{alert}"
    );
    let link = alert["annotations"]["journey_url"].as_str().expect("a link");
    assert!(link.starts_with("http://hodoscope.test:4319/j/"), "{link}");
    assert!(alert["generatorURL"].as_str().expect("a link").ends_with("/alerts?name=Errors"));
    let ours = get(&server, "/api/alerts").await["alerts"].as_array().expect("a list").clone();
    let ours = ours.into_iter().find(|alert| alert["labels"]["alertname"] == "Errors");
    let ours = ours.expect("it fires until a request goes well");
    assert_eq!(ours["fingerprint"], alert["fingerprint"], "hashes are the Alertmanager's");
    succeed_once(&server).await;
    wait_for("the end", PATIENCE, || async { manager.alerts("Errors").await.is_empty().then_some(()) }).await;
    // Down and up again, with an empty memory: what fires is told again.
    let url = manager.url();
    drop(manager);
    tokio::time::sleep(Duration::from_secs(3)).await;
    std::fs::remove_dir_all(folder.path().join("am")).expect("its memory is gone");
    let Some(manager) = Alertmanager::start(folder.path(), port) else { return };
    assert_eq!(manager.url(), url);
    wait_for("what still fires", PATIENCE * 2, || async { (!manager.alerts("Always").await.is_empty()).then_some(()) })
        .await;
}

/// Evaluations are on time: transitions of a process belong to whole multiples of the interval, before a restart and after.
#[tokio::test]
async fn evaluations_keep_their_moments_over_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = collector(
        folder.path(),
        "groups:\n- {name: g, interval: 3s, rules: [{alert: A, sql: SELECT 1 AS value}]}\n",
        &[],
        &[],
    )
    .start();
    let last = |server: &Server| {
        let url = server.api("/api/alert-rules");
        async move {
            let body = reqwest::get(url).await.expect("an answer").text().await.expect("a body");
            let rules: Json = serde_json::from_str(&body).expect("JSON");
            let rule = rules["rules"].as_array()?.iter().find(|rule| rule["name"] == "A")?.clone();
            rule["last_evaluation_unix_nano"].as_str()?.parse::<i64>().ok()
        }
    };
    let (mut moments, mut servers): (Vec<i64>, Vec<Stopped>) = (Vec::new(), Vec::new());
    let mut running = Some(server);
    for process in 1..=2 {
        let server = running.take().expect("one runs");
        let begun = Instant::now();
        while moments.len() < 3 * process {
            assert!(begun.elapsed() < PATIENCE, "process {process} evaluates too rarely: {moments:?}");
            if let Some(at) = last(&server).await
                && !moments.contains(&at)
            {
                // How soon after its moment is a matter of what else the machine does; never before it.
                assert!(fixtures::now_nanos() >= u64::try_from(at).expect("after 1970"), "{at} is still to come");
                moments.push(at);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        servers.push(server.kill());
        running = servers.pop().map(Stopped::start);
    }
    assert!(moments.windows(2).all(|pair| (pair[1] - pair[0]) % 3_000_000_000 == 0), "{moments:?}");
}
