//! Wire types of the native API, shared by the server and the page.
//!
//! | file          | route                                                                      |
//! |---------------|----------------------------------------------------------------------------|
//! | `problem.rs`  | every error (RFC 9457)                                                     |
//! | `sql.rs`      | `POST /api/sql`, `GET /api/tables`                                         |
//! | `search.rs`   | `GET /api/search`                                                          |
//! | `explore.rs`  | `GET /api/search/histogram`, `/facets`, `POST /api/search/differs`         |
//! | `kept.rs`     | `/api/colors`, `/api/queries`                                              |
//! | `live.rs`     | `GET /api/live`                                                            |
//! | `trace.rs`    | `GET /api/traces/{id}/timeline`, `/spans/{span}`, `/find`                  |
//! | `journey.rs`  | `GET /api/journeys/{id}`                                                   |
//! | `compare.rs`  | `GET /api/compare`, `/api/compare/styles`                                  |
//! | `findings.rs` | `GET /api/findings`                                                       |
//! | `map.rs`      | `GET /api/map`                                                             |
//! | `metrics.rs`  | `GET /api/metrics`, `/api/metrics/{name}`                                  |
//! | `red.rs`      | `GET /api/red`                                                             |
//! | `services.rs` | `GET /api/services`, `/api/services/{name}`                                |
//! | `erasure.rs`  | `POST /api/erasures`, `GET /api/erasures`                                  |
//! | `alerts.rs`   | `/api/alert-rules`, `/api/alerts`, `/api/silences`                         |
//! | `schema.rs`   | JSON schemas of all of them, for `GET /api/openapi.json`                   |
//! | `session.rs`  | `/api/session`                                                             |
//! | `status.rs`   | `GET /api/status`                                                          |
//!
//! Nanosecond moments and other 64-bit integers are decimal text, durations (`*_nanos`) are numbers, ids
//! are lower-case hex. Plain data: no logic, no IO; compiles to wasm.

mod alerts;
mod compare;
mod erasure;
mod explore;
mod findings;
mod journey;
mod kept;
mod live;
mod map;
mod metrics;
mod problem;
mod red;
mod schema;
mod search;
mod services;
mod session;
mod sql;
mod status;
mod trace;

pub use alerts::{
    AlertAnswer, AlertHistoryAnswer, AlertRuleAnswer, AlertRuleKept, AlertRulesAnswer, AlertTarget, AlertTransition,
    AlertsAnswer, PreviewAlert, PreviewAnswer, PreviewRequest, ProposedRule, ProposedRulesAnswer, SilenceAnswer,
    SilenceMatcher, SilenceRequest, SilencesAnswer,
};
pub use compare::{
    CompareAnswer, CompareAttribute, ComparePart, CompareSide, CompareStep, CompareTimes, StyleRow, StylesAnswer,
};
pub use erasure::{ErasureAnswer, ErasureAttribute, ErasureRequest, ErasuresAnswer};
pub use explore::{
    AttributePlace, Brush, DiffersAnswer, DiffersAttribute, DiffersRequest, DiffersValue, Facet, FacetValue,
    FacetsAnswer, HistogramAnswer, HistogramCell, HistogramDot, HistogramTime,
};
pub use findings::FindingsAnswer;
pub use journey::{
    ClockShift, JourneyAnswer, JourneyCall, JourneyEdge, JourneyEvent, JourneyFinding, JourneyHop, JourneyLane,
    JourneyMember, JourneyPaths, JourneySpan, JourneyStep, PathSegment, SharedBatch, SpanRef, Truncated, TruncatedPart,
};
pub use kept::{ColorsAnswer, ColorsRequest, QueriesAnswer, QueryRequest, SavedQuery};
pub use live::{LiveFigures, LiveItems};
pub use map::{MapAnswer, MapEdge, MapFigures, MapNode};
pub use metrics::{MetricAnswer, MetricAttribute, MetricBand, MetricExemplar, MetricItem, MetricSeries, MetricsAnswer};
pub use problem::Problem;
pub use red::{RedAnswer, RedSeries};
pub use schema::schemas;
pub use search::{JourneyItem, SearchAnswer, SearchItem, ServiceShare, ShapeBar, SpanItem, TraceItem};
pub use services::{
    ServiceAnswer, ServiceDependency, ServiceItem, ServiceOperation, ServicePoint, ServiceVersion, ServicesAnswer,
};
pub use session::{SessionAnswer, SessionRequest};
pub use sql::{ColumnInfo, FunctionInfo, SqlAnswer, SqlColumn, SqlRequest, TableInfo, TablesAnswer};
pub use status::{
    DigestStatus, IngestStatus, Limits, MaintenanceStatus, QueryStatus, SlowQuestion, StatusAnswer, StorageStatus,
};
pub use trace::{
    AttributeText, EventText, FindAnswer, LinkText, LogText, SpanDetail, Timeline, TimelineSpans, span_flag,
};
