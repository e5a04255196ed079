//! Table functions of one id: `trace('id')`, `journey('id')`, `critical_path('id')`.
//!
//! | function             | one row per                                         | in the order of          |
//! |----------------------|-----------------------------------------------------|--------------------------|
//! | `trace('id')`        | span of the trace                                   | its tree                 |
//! | `journey('id')`      | step of the journey that holds the trace            | cause before effect      |
//! | `critical_path('id')`| piece of both critical paths, as in `segments`      | path, then time          |
//!
//! The rows are computed when the plan is made, within the bounds of journeys; what was left out makes the answer
//! incomplete. An id that is not stored has no rows.

use std::collections::HashMap;
use std::sync::Arc;

use api::{FunctionInfo, JourneyAnswer, JourneySpan};
use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use model::{SpanId, TraceId};

use super::provider::moment_type;
use super::scan::{Asked, Scanned};
use crate::engine::session::Session;
use crate::error::Error;
use crate::journey;
use crate::trace::assemble;

/// A function of one trace id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Trace,
    Journey,
    CriticalPath,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Trace, Self::Journey, Self::CriticalPath];

    const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Journey => "journey",
            Self::CriticalPath => "critical_path",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Trace => {
                "Spans of a trace in the order of its tree: depth, offset, own time, what each is and whether it failed."
            }
            Self::Journey => {
                "Steps of the journey that holds a trace, cause before effect: calls, returns, sends, deliveries, polls."
            }
            Self::CriticalPath => {
                "Pieces of both critical paths of the journey that holds a trace: response until the answer, settled \
                 until the last effect. Pieces touch and add up."
            }
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Trace => "SELECT depth, service, name, self_nanos FROM trace('4bf92f3577b34da6a3ce929d0e0e4736')",
            Self::Journey => {
                "SELECT seq, kind, src, dst, lag FROM journey('4bf92f3577b34da6a3ce929d0e0e4736') ORDER BY seq"
            }
            Self::CriticalPath => {
                "SELECT node, kind, sum(\"end\" - start) AS nanos FROM critical_path('4bf92f3577b34da6a3ce929d0e0e4736') \
                 WHERE path = 'settled' GROUP BY node, kind ORDER BY nanos DESC"
            }
        }
    }

    /// Columns: name, what it holds, may be null.
    const fn columns(self) -> &'static [(&'static str, Holds, bool)] {
        use Holds::{Flag, Id, Int, Moment, Text};
        match self {
            Self::Trace => &[
                ("depth", Int, false),
                ("start_time", Moment, false),
                ("offset_nanos", Int, false),
                ("duration_nanos", Int, false),
                ("self_nanos", Int, false),
                ("service", Text, false),
                ("name", Text, false),
                ("kind", Text, false),
                ("style", Text, false),
                ("protocol", Text, false),
                ("system", Text, false),
                ("role", Text, false),
                ("op", Text, false),
                ("status", Text, false),
                ("error", Flag, false),
                ("fault", Flag, false),
                ("error_type", Text, true),
                ("version", Text, true),
                ("shift_nanos", Int, false),
                ("orphan", Flag, false),
                ("span_id", Id, false),
                ("parent_span_id", Id, true),
                ("trace_id", Id, false),
            ],
            Self::Journey => &[
                ("seq", Int, false),
                ("at", Int, false),
                ("offset_nanos", Int, false),
                ("kind", Text, false),
                ("src", Text, false),
                ("dst", Text, false),
                ("protocol", Text, false),
                ("system", Text, false),
                ("label", Text, false),
                ("error", Flag, false),
                ("lag", Int, true),
                ("attempt", Int, true),
                ("critical", Flag, false),
                ("shifted", Flag, false),
                ("span", Id, true),
                ("journey", Id, false),
            ],
            Self::CriticalPath => &[
                ("time", Moment, false),
                ("journey", Id, false),
                ("trace", Id, false),
                ("path", Text, false),
                ("span", Id, false),
                ("node", Text, false),
                ("kind", Text, false),
                ("protocol", Text, false),
                ("op", Text, false),
                ("start", Int, false),
                ("end", Int, false),
            ],
        }
    }

    fn schema(self) -> SchemaRef {
        let field = |(name, holds, nullable): &(&str, Holds, bool)| Field::new(*name, holds.arrow(), *nullable);
        Arc::new(Schema::new(self.columns().iter().map(field).collect::<Vec<_>>()))
    }

    async fn rows(self, session: &Session, trace: TraceId) -> crate::Result<Vec<ArrayRef>> {
        let found = match self {
            Self::Trace => journey::find_alone(session, trace).await,
            Self::Journey | Self::CriticalPath => journey::find(session, trace, None).await,
        };
        let answer = match found {
            Ok(found) => Some(found.answer(None, session.now)),
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(reason) = answer.as_ref().and_then(|answer| answer.incomplete_reason.clone()) {
            session.note(reason);
        }
        Ok(match self {
            Self::Trace => trace_rows(answer.as_ref()),
            Self::Journey => step_rows(answer.as_ref()),
            Self::CriticalPath => path_rows(answer.as_ref()),
        })
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug)]
enum Holds {
    Text,
    Int,
    Flag,
    Id,
    Moment,
}

impl Holds {
    fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Flag => DataType::Boolean,
            Self::Id => DataType::Binary,
            Self::Moment => moment_type(),
        }
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn maybe_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<Int64Array>())
}

fn maybe_ints(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

fn traces(values: impl Iterator<Item = TraceId>) -> ArrayRef {
    Arc::new(values.map(|id| Some(*id.as_bytes())).collect::<BinaryArray>())
}

fn spans(values: impl Iterator<Item = Option<SpanId>>) -> ArrayRef {
    Arc::new(values.map(|id| id.map(|id| *id.as_bytes())).collect::<BinaryArray>())
}

/// Moments of an answer as numbers.
fn nanos(moment: &str) -> i64 {
    moment.parse().unwrap_or_default()
}

fn trace_rows(answer: Option<&JourneyAnswer>) -> Vec<ArrayRef> {
    let all = answer.map(|answer| answer.spans.as_slice()).unwrap_or_default();
    let links: Vec<assemble::Link> = all
        .iter()
        .map(|span| assemble::Link {
            id: span.span_id,
            parent: span.shown_under,
            start: nanos(&span.start_unix_nano).saturating_add(span.shift_nanos),
        })
        .collect();
    let nodes = assemble::assemble(&links);
    let first = links.iter().map(|link| link.start).min().unwrap_or_default();
    let rows: Vec<(&JourneySpan, i64, i64)> =
        nodes.iter().map(|node| (&all[node.row], i64::from(node.depth), links[node.row].start - first)).collect();
    let column = || rows.iter().map(|(span, ..)| *span);
    let text = |value: fn(&JourneySpan) -> &str| texts(column().map(value));
    let number = |value: fn(&JourneySpan) -> i64| ints(column().map(value));
    let flag = |value: fn(&JourneySpan) -> bool| flags(column().map(value));
    vec![
        ints(rows.iter().map(|(_, depth, _)| *depth)),
        number(|span| nanos(&span.start_unix_nano)),
        ints(rows.iter().map(|(.., offset)| *offset)),
        number(|span| span.duration_nanos),
        number(|span| span.self_nanos),
        text(|span| &span.service),
        text(|span| &span.name),
        text(|span| &span.kind),
        text(|span| &span.style),
        text(|span| &span.protocol),
        text(|span| &span.system),
        text(|span| &span.role),
        text(|span| &span.op),
        text(|span| &span.status),
        flag(|span| span.error),
        flag(|span| span.fault),
        maybe_texts(column().map(|span| span.error_type.as_deref())),
        maybe_texts(column().map(|span| span.version.as_deref())),
        number(|span| span.shift_nanos),
        flag(|span| span.orphan),
        spans(column().map(|span| Some(span.span_id))),
        spans(column().map(|span| span.parent_span_id)),
        traces(column().map(|span| span.trace_id)),
    ]
}

fn step_rows(answer: Option<&JourneyAnswer>) -> Vec<ArrayRef> {
    let rows = || answer.into_iter().flat_map(|answer| answer.steps.iter().map(move |step| (answer, step)));
    let start = answer.map(|answer| nanos(&answer.start_unix_nano)).unwrap_or_default();
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    vec![
        ints(rows().map(|(_, step)| signed(step.seq))),
        ints(rows().map(|(_, step)| nanos(&step.at))),
        ints(rows().map(|(_, step)| nanos(&step.at).saturating_sub(start))),
        texts(rows().map(|(_, step)| step.kind.as_str())),
        texts(rows().map(|(_, step)| step.from.as_str())),
        texts(rows().map(|(_, step)| step.to.as_str())),
        texts(rows().map(|(_, step)| step.protocol.as_str())),
        texts(rows().map(|(_, step)| step.system.as_str())),
        texts(rows().map(|(_, step)| step.label.as_str())),
        flags(rows().map(|(_, step)| step.error)),
        maybe_ints(rows().map(|(_, step)| step.lag)),
        maybe_ints(rows().map(|(_, step)| step.attempt.map(signed))),
        flags(rows().map(|(_, step)| step.critical)),
        flags(rows().map(|(_, step)| step.shifted)),
        spans(rows().map(|(_, step)| step.spans.first().copied())),
        traces(rows().map(|(answer, _)| answer.id)),
    ]
}

fn path_rows(answer: Option<&JourneyAnswer>) -> Vec<ArrayRef> {
    let span_of: HashMap<(TraceId, SpanId), &JourneySpan> = answer
        .into_iter()
        .flat_map(|answer| answer.spans.iter().map(|span| ((span.trace_id, span.span_id), span)))
        .collect();
    let rows = || {
        answer.into_iter().flat_map(|answer| {
            let paths = [("response", &answer.paths.response), ("settled", &answer.paths.settled)];
            paths.into_iter().flat_map(move |(name, path)| path.iter().map(move |segment| (answer.id, name, segment)))
        })
    };
    let span = |trace, span| span_of.get(&(trace, span)).copied();
    vec![
        ints(rows().map(|(.., segment)| nanos(&segment.start_unix_nano))),
        traces(rows().map(|(journey, ..)| journey)),
        traces(rows().map(|(.., segment)| segment.trace_id)),
        texts(rows().map(|(_, name, _)| name)),
        spans(rows().map(|(.., segment)| Some(segment.span_id))),
        texts(rows().map(|(.., segment)| segment.node.as_str())),
        texts(rows().map(|(.., segment)| segment.kind.as_str())),
        texts(rows().map(|(.., segment)| span(segment.trace_id, segment.span_id).map_or("", |span| &span.protocol))),
        texts(rows().map(|(.., segment)| span(segment.trace_id, segment.span_id).map_or("", |span| &span.op))),
        ints(rows().map(|(.., segment)| nanos(&segment.start_unix_nano))),
        ints(rows().map(|(.., segment)| nanos(&segment.end_unix_nano))),
    ]
}

/// The functions over what `session` reads, by name.
pub(crate) fn functions(session: &Session) -> Vec<(&'static str, Arc<dyn TableFunctionImpl>)> {
    let function = |kind: Kind| -> (&'static str, Arc<dyn TableFunctionImpl>) {
        (kind.name(), Arc::new(ById { kind, session: session.clone() }))
    };
    Kind::ALL.into_iter().map(function).collect()
}

/// The functions for `/api/tables`.
pub(crate) fn describe() -> Vec<FunctionInfo> {
    let info = |kind: Kind| {
        let columns: Vec<String> = kind
            .columns()
            .iter()
            .map(|(name, holds, _)| format!("{name} {}", super::type_name(&holds.arrow())))
            .collect();
        FunctionInfo {
            name: kind.name().to_owned(),
            signature: format!("{}(id text) -> table({})", kind.name(), columns.join(", ")),
            help: kind.help().to_owned(),
            example: kind.example().to_owned(),
        }
    };
    Kind::ALL.into_iter().map(info).collect()
}

/// One function over one snapshot.
#[derive(Debug)]
struct ById {
    kind: Kind,
    session: Session,
}

impl TableFunctionImpl for ById {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let wrong = || {
            DataFusionError::Plan(format!(
                "{0} takes one trace id as text, up to 32 hex digits: {0}('4bf92f3577b34da6a3ce929d0e0e4736')",
                self.kind.name()
            ))
        };
        let trace = match args.exprs() {
            [Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)), _)] => {
                let text = text.trim();
                let padded = if text.is_empty() { String::new() } else { format!("{text:0>32}") };
                TraceId::from_hex(&padded)
            }
            [Expr::Literal(ScalarValue::Binary(Some(bytes)), _)] => TraceId::from_bytes(bytes),
            _ => None,
        };
        let trace = trace.ok_or_else(wrong)?;
        let schema = self.kind.schema();
        Ok(Answered { kind: self.kind, schema, trace, session: self.session.clone() }.provider())
    }
}

/// The rows of one call.
#[derive(Debug)]
struct Answered {
    kind: Kind,
    schema: SchemaRef,
    trace: TraceId,
    session: Session,
}

#[async_trait]
impl Scanned for Answered {
    const TYPE: TableType = TableType::Temporary;

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn scan(&self, asked: Asked<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.kind.rows(&self.session, self.trace).await;
        let columns = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let columns = columns.iter().zip(self.schema.fields()).map(|(column, field)| cast(column, field.data_type()));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&self.schema), asked.projection.cloned())?)
    }
}
