//! Rules that cannot work, take forever or want to be told about inside: each says so, and no other is disturbed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use crate::harness::alerts::{Hook, PATIENCE, call, collector, get, state, wait_state};
use crate::harness::{Server, wait_for};

/// Ten rows with the digits.
fn digit() -> String {
    format!("(SELECT 0 AS d{})", (1..10).map(|n| format!(" UNION ALL SELECT {n}")).collect::<String>())
}

/// Rules that cannot work are refused, or say so and disturb no other.
#[tokio::test]
async fn bad_rules_say_so_and_disturb_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rules = "groups:\n- name: bad\n  interval: 1s\n  rules:\n".to_owned();
    let digit = digit();
    let many = format!(
        "SELECT a.d * 10000 + b.d * 1000 + c.d * 100 + e.d * 10 + f.d AS n, 1.0 AS value FROM {digit} a, {digit} b, {digit} c, {digit} e, {digit} f"
    );
    for (name, sql) in [
        ("Twice", "SELECT 'a' AS x, 1 AS value UNION ALL SELECT 'a' AS x, 2 AS value"),
        ("Many", many.as_str()),
        ("Zero", "SELECT count(*) / (count(*) - count(*)) AS value FROM spans"),
        ("Infinite", "SELECT 1.0 / (count(*) - count(*)) AS value FROM spans"),
        ("Good", "SELECT 1 AS value"),
    ] {
        rules += &format!("  - alert: {name}\n    sql: \"{sql}\"\n");
    }
    rules +=
        "  - alert: Endless\n    sql: SELECT 1 AS value\n    annotations:\n      summary: '{{ reReplaceAll \"\" \"";
    rules += &"x".repeat(10_000);
    rules += "\" \"abc\" }}'\n";
    let server = collector(folder.path(), &rules, &[], &[]).start();
    wait_state(&server, "Good", Some("firing")).await;
    for (name, told) in [
        ("Twice", "same labels"),
        ("Many", "more than 1000 instances"),
        ("Zero", "ivide by zero"),
        ("Infinite", "division by zero?"),
        ("Endless", "longer than 16384 bytes"),
    ] {
        let rule = wait_for(&format!("{name} to say {told}"), PATIENCE, || async {
            let rules = get(&server, &format!("/api/v1/rules?rule_name[]={name}")).await;
            let rule = rules["data"]["groups"][0]["rules"][0].clone();
            // On a busy machine the first evaluations may have ended for want of time.
            rule["lastError"].as_str().is_some_and(|error| error.contains(told)).then_some(rule)
        })
        .await;
        assert_eq!(rule["health"], "err", "{rule}");
    }
    assert_eq!(state(&server, "Endless").await.as_deref(), Some("firing"), "an alert is not lost with its text");

    // A file that is broken later keeps its rules, and an own rule says so.
    std::fs::write(
        folder.path().join("rules.yml"),
        "groups:\n- name: bad\n  rules:\n  - alert: X\n    sql: SELECT x FROM spans\n",
    )
    .expect("written");
    let answer = wait_for("the file to be read again", PATIENCE, || async {
        let rules = get(&server, "/api/alert-rules").await;
        rules["broken_files"].as_object().is_some_and(|broken| !broken.is_empty()).then_some(rules)
    })
    .await;
    let reason =
        answer["broken_files"].as_object().expect("a map").values().next().expect("one").as_str().expect("text");
    assert!(reason.starts_with("line 5: there is no column x"), "{reason}");
    assert_eq!(state(&server, "Good").await.as_deref(), Some("firing"));

    for (rule, told) in [
        ("{\"alert\": \"A\", \"expr\": \"up == 0\"}", "reserved for PromQL"),
        ("{\"alert\": \"A\", \"sql\": \"SELECT nope AS value FROM spans\"}", "there is no column nope"),
        ("{\"alert\": \"A\", \"sql\": \"DELETE FROM spans\"}", "line 1"),
        ("alert: A\nfinding: poison_mesage\n", "did you mean poison_message?"),
        ("alert: A\nsql: SELEC 1\n", "line 2"),
        ("alert: [A\n", "line 2"),
        ("alert: A\nsql: SELECT 'x' AS value\n", "must be a number"),
        ("alert: A\nsql: SELECT trace_id AS journey, 1 AS value FROM spans\n", "put it into annotations"),
        ("alert: A\nsql: SELECT 1 AS value\nannotations: {a: '{{ range . }}x{{ end }}'}\n", "line 3"),
        ("alert: A\nsql: SELECT 1 AS value\nfro: 5m\n", "line 3"),
    ] {
        let (status, body) = call(&server, "PUT", "/api/alert-rules/a", rule).await;
        assert!(status == 400 && body.contains(told), "{rule}: {status} {body}");
    }
}

/// A rule by its name, as `/api/alert-rules` shows it.
async fn rule(server: &Server, name: &str) -> Json {
    let rules = get(server, "/api/alert-rules").await["rules"].as_array().expect("a list").clone();
    rules.into_iter().find(|rule| rule["name"] == name).unwrap_or_else(|| panic!("no rule {name}"))
}

/// Three rules that would compute for hours, in the group of one that does not: they end at the limit of a query with health `err`, what
/// they miss is counted and told by a built-in alert, and the quick one goes on at its moments.
#[tokio::test]
async fn slow_rules_end_and_delay_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let digit = digit();
    let tables: Vec<String> = (0..12).map(|n| format!("{digit} t{n}")).collect();
    let forever = format!("SELECT sum(t0.d * t1.d + t11.d) AS value FROM {}", tables.join(", "));
    let mut rules = "groups:\n- name: mixed\n  interval: 1s\n  rules:\n".to_owned();
    for name in ["SlowA", "SlowB", "SlowC"] {
        rules += &format!("  - alert: {name}\n    sql: {forever}\n");
    }
    rules += "  - alert: Quick\n    sql: SELECT 1 AS value\n";
    let mut how = collector(folder.path(), &rules, &[], &[]);
    how.config.push_str("seconds_max = 5\n");
    let server = how.start();
    wait_state(&server, "Quick", Some("firing")).await;
    let moments = Mutex::new(BTreeSet::new());
    wait_for("slow rules to miss moments and the quick one to be on time", PATIENCE * 3, || async {
        let (quick, slow) = (rule(&server, "Quick").await, rule(&server, "SlowA").await);
        let mut moments = moments.lock().expect("no panic");
        moments.insert(quick["last_evaluation_unix_nano"].to_string());
        let is_well = quick["health"] == "ok" && quick["state"] == "firing";
        (slow["missed"].as_u64() >= Some(4) && slow["health"] == "err" && moments.len() >= 8 && is_well).then_some(())
    })
    .await;
    for name in ["SlowA", "SlowB", "SlowC"] {
        let slow = wait_for(&format!("{name} to end"), PATIENCE, || async {
            let slow = rule(&server, name).await;
            (slow["health"] == "err").then_some(slow)
        })
        .await;
        let why = slow["last_error"].as_str().expect("a reason");
        assert!(why.contains("5 s") || why.contains("longer than a second"), "{why}");
        assert_eq!(slow["state"], "inactive", "a rule without an answer does not fire");
    }
    assert!(get(&server, "/api/alerts").await["missed"].as_u64() >= Some(4), "the sum is there as well");
    wait_state(&server, "HodoscopeRulesMissed", Some("firing")).await;
}

/// S12: a target inside that the settings do not name is not dialled.
#[tokio::test]
async fn s12_inside_targets_are_not_dialled() {
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let url = hook.open().await;
    let port = url.split(':').nth(2).and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    let targets = [url, format!("http://localhost:{port}/hook"), format!("http://[::ffff:127.0.0.1]:{port}/hook")];
    let rules = "groups:\n- {name: g, interval: 1s, rules: [{alert: Always, sql: SELECT 1 AS value}]}\n";
    let mut how = collector(folder.path(), rules, &[], &targets);
    how.config = how.config.replace("[\"127.0.0.0/8\"]", "[]");
    let server = how.start();
    wait_state(&server, "Always", Some("firing")).await;
    for at in 0..targets.len() {
        wait_for("the attempt", PATIENCE, || async {
            let target = get(&server, "/api/alerts").await["targets"][at].clone();
            target["last_error"].as_str().is_some_and(|error| error.contains("loopback")).then_some(())
        })
        .await;
    }
    assert_eq!(hook.told.lock().expect("no panic").len(), 0);
}

/// S12: an answer that leads elsewhere is not followed, and what it says is shown to nobody.
#[tokio::test]
async fn s12_redirects_are_not_followed() {
    use axum::http::{StatusCode, header};
    let (folder, inner) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let (to, asked) = (inner.open().await, Arc::new(AtomicUsize::new(0)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let count = Arc::clone(&asked);
    let answer = axum::routing::post(move || {
        // Every kind of redirect in turn.
        let kinds = [301_u16, 302, 303, 307, 308];
        let kind = kinds[count.fetch_add(1, Ordering::SeqCst) % kinds.len()];
        let status = StatusCode::from_u16(kind).expect("a status");
        std::future::ready((status, [(header::LOCATION, to.clone())], "the secret of the inside"))
    });
    let routes = axum::Router::new().route("/hook", answer);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let rules = "groups:\n- {name: g, interval: 1s, rules: [{alert: A, sql: SELECT 1 AS value}]}\n";
    let server = collector(folder.path(), rules, &[], &[url]).start();
    wait_for("two attempts", PATIENCE, || async { (asked.load(Ordering::SeqCst) >= 2).then_some(()) }).await;
    let target = wait_for("the failure to be known", PATIENCE, || async {
        let target = get(&server, "/api/alerts").await["targets"][0].clone();
        target["last_error"].as_str().is_some_and(|error| error.contains("30")).then_some(target)
    })
    .await;
    assert!(!target.to_string().contains("secret"), "{target}");
    assert_eq!((&target["delivered"], target["waiting"].as_u64() > Some(0)), (&json!(0), true), "{target}");
    assert_eq!(inner.told.lock().expect("no panic").len(), 0);
}
