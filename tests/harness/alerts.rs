//! What tests of alerts need: a webhook that remembers what it was told, a collector that tells it, and its answers.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value as Json;

use super::{Collector, Server, wait_for};

/// How long something may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A webhook that remembers what it was told, and refuses while it is told to.
#[derive(Clone, Default)]
pub struct Hook {
    /// Bodies that it took, in order.
    pub told: Arc<Mutex<Vec<Json>>>,
    is_down: Arc<Mutex<bool>>,
}

impl Hook {
    pub async fn open(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = axum::Router::new().route("/hook", post(Self::take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}/hook")
    }

    async fn take(State(hook): State<Self>, body: String) -> StatusCode {
        if *hook.is_down.lock().expect("no panic") {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        hook.told.lock().expect("no panic").push(serde_json::from_str(&body).expect("JSON"));
        StatusCode::OK
    }

    pub fn set_down(&self, is_down: bool) {
        *self.is_down.lock().expect("no panic") = is_down;
    }

    /// Alerts told of one name, in order: status and labels.
    pub fn alerts(&self, name: &str) -> Vec<Json> {
        let told = self.told.lock().expect("no panic");
        let alerts = told.iter().flat_map(|body| body["alerts"].as_array().cloned().unwrap_or_default());
        alerts.filter(|alert| alert["labels"]["alertname"] == name).collect()
    }

    pub fn statuses(&self, name: &str) -> Vec<String> {
        self.alerts(name).iter().map(|alert| alert["status"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// A collector that evaluates every second and tells `targets`; `rules` is the text of its rule file.
pub fn collector(folder: &Path, rules: &str, managers: &[String], webhooks: &[String]) -> Collector {
    std::fs::write(folder.join("rules.yml"), rules).expect("the rules can be written");
    let config = format!(
        "[query]\nalert_rule_files = [{:?}]\nalert_managers = {managers:?}\nalert_webhooks = {webhooks:?}\n\
         alert_private_targets = [\"127.0.0.0/8\"]\nalert_offset_seconds = 0\nalert_interval_seconds = 1\n\
         alert_resend_seconds = 2\nalert_external_url = \"http://hodoscope.test:4319\"\n",
        folder.join("*.yml").display().to_string(),
    );
    Collector { config, ..Collector::default() }
}

pub async fn get(server: &Server, path: &str) -> Json {
    let response = reqwest::get(server.api(path)).await.expect("an answer");
    let status = response.status();
    let body = response.text().await.expect("a body");
    assert!(status.is_success(), "{path}: {status} {body}");
    serde_json::from_str(&body).expect("JSON")
}

pub async fn call(server: &Server, method: &str, path: &str, body: &str) -> (u16, String) {
    let method = method.parse().expect("a method");
    let request = reqwest::Client::new().request(method, server.api(path)).header("content-type", "application/json");
    let response = request.body(body.to_owned()).send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

/// Alerts of a name, as Prometheus answers them.
pub async fn alerts(server: &Server, name: &str) -> Vec<Json> {
    let answer = get(server, "/api/v1/alerts").await;
    assert_eq!(answer["status"], "success");
    let alerts = answer["data"]["alerts"].as_array().expect("a list").clone();
    alerts.into_iter().filter(|alert| alert["labels"]["alertname"] == name).collect()
}

pub async fn state(server: &Server, name: &str) -> Option<String> {
    alerts(server, name).await.first().map(|alert| alert["state"].as_str().unwrap_or_default().to_owned())
}

/// Waits until a transition to `wanted` is stored: what is shown is known before it is on disk, and a kill may come in between.
pub async fn wait_stored(server: &Server, name: &str, wanted: &str) {
    let text = format!("SELECT count(*) FROM alerts WHERE alertname = '{name}' AND state = '{wanted}'");
    wait_for(&format!("{name} to be stored as {wanted}"), PATIENCE, || async {
        (super::sql::number(server, &text).await > 0).then_some(())
    })
    .await;
}

pub async fn wait_state(server: &Server, name: &str, wanted: Option<&str>) {
    wait_for(&format!("{name} to be {wanted:?}"), PATIENCE, || async {
        (state(server, name).await.as_deref() == wanted).then_some(())
    })
    .await;
}
