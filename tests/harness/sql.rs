//! `POST /api/sql` and rows with typed reading.

use api::SqlAnswer;
use serde_json::{Value as Json, json};

use super::Server;

/// Rows of one answer; columns are found by name.
#[derive(Clone, Debug)]
pub struct Rows {
    answer: SqlAnswer,
}

/// Asks one statement.
///
/// # Panics
/// When the answer is not 200; the message holds the problem document.
#[track_caller]
pub fn query<'a>(server: &'a Server, sql: &'a str) -> impl Future<Output = Rows> + use<'a> {
    let caller = std::panic::Location::caller();
    async move {
        let (status, body) = ask(server, sql).await;
        assert_eq!(status, 200, "{sql}\nanswered {body}\n(from {caller})");
        let answer: SqlAnswer = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"));
        assert!(!answer.incomplete, "{sql} is incomplete: {:?}", answer.incomplete_reason);
        Rows { answer }
    }
}

/// Asks one statement and gives status and body, whatever they are.
pub async fn ask(server: &Server, sql: &str) -> (u16, String) {
    let request = reqwest::Client::new()
        .post(server.api("/api/sql"))
        .header("content-type", "application/json")
        .body(json!({ "sql": sql }).to_string());
    let response = request.send().await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    (response.status().as_u16(), response.text().await.expect("a body"))
}

/// The one number that a statement answers.
#[track_caller]
pub fn number<'a>(server: &'a Server, sql: &'a str) -> impl Future<Output = i64> + use<'a> {
    let rows = query(server, sql);
    async move { super::json::integer(&rows.await.answer.rows[0][0]) }
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.answer.rows.len()
    }

    /// A value.
    #[track_caller]
    pub fn get(&self, row: usize, column: &str) -> &Json {
        let found = self.answer.columns.iter().position(|named| named.name == column);
        &self.answer.rows[row][found.unwrap_or_else(|| panic!("no column {column} in {:?}", self.answer.columns))]
    }

    /// Text; panics on anything else.
    #[track_caller]
    pub fn text(&self, row: usize, column: &str) -> &str {
        self.get(row, column).as_str().unwrap_or_else(|| panic!("{column} is not text: {}", self.get(row, column)))
    }

    /// An integer, as number or text.
    #[track_caller]
    pub fn int(&self, row: usize, column: &str) -> i64 {
        super::json::integer(self.get(row, column))
    }

    /// A double.
    #[track_caller]
    pub fn double(&self, row: usize, column: &str) -> f64 {
        self.get(row, column).as_f64().unwrap_or_else(|| panic!("{column} is not a double: {}", self.get(row, column)))
    }

    /// All rows, each as the texts of its values.
    pub fn to_texts(&self) -> Vec<Vec<String>> {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.answer.rows.iter().map(|row| row.iter().map(text).collect()).collect()
    }
}
