//! Tests of the whole: fixtures with hand-written expectations, drawings, laws.

mod fixtures;
mod otlp;
