//! What can go wrong in the query room. DataFusion's own errors end here.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use model::ErrorKind;

/// Result of the query room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened, in words that tell the person what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A query text or parameter is wrong; `position` is the byte offset of the first wrong token.
    #[error("{detail}")]
    Invalid {
        /// What was wrong and what would be right.
        detail: String,
        /// Byte offset in the query text, when known.
        position: Option<usize>,
    },
    /// What was asked for is not stored.
    #[error("{0}")]
    NotFound(String),
    /// The question or its answer is larger than a limit allows.
    #[error("{0}")]
    TooLarge(String),
    /// The query did not end in time.
    #[error(
        "the query was ended after {seconds} s; narrow the time range, filter by service_name or select fewer columns"
    )]
    Timeout {
        /// The limit in force.
        seconds: u64,
    },
    /// Too many queries wait; try again after a pause.
    #[error("{waiting} queries wait already; try again in a second")]
    Busy {
        /// Queries waiting.
        waiting: usize,
    },
    /// Too many live streams are open; close one, or try again later.
    #[error("{open} live streams are open already; close one, or try again later")]
    Streams {
        /// Streams open.
        open: usize,
    },
    /// Something could not be kept or read at the moment; try again after a pause.
    #[error("{0}")]
    Unavailable(String),
    /// A segment or the object store could not be read.
    #[error("stored data could not be read: {0}")]
    Damaged(String),
    /// A bug of ours.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A wrong request without a position.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into(), position: None }
    }

    /// A wrong query text.
    pub fn invalid_at(position: usize, detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into(), position: Some(position) }
    }

    /// What the caller can do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::TooLarge(_) => ErrorKind::TooLarge,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Busy { .. } | Self::Streams { .. } | Self::Unavailable(_) => ErrorKind::Overloaded,
            Self::Damaged(_) => ErrorKind::Damaged,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<DataFusionError> for Error {
    /// Sorts DataFusion's errors by what the caller can do.
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => (*inner).into(),
            DataFusionError::Shared(inner) => Self::from_ref(&inner),
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Internal(other.to_string()),
            },
            DataFusionError::Collection(errors) => match errors.into_iter().next() {
                Some(first) => first.into(),
                None => Self::Internal("the query failed without a reason".to_owned()),
            },
            other => Self::from_ref(&other),
        }
    }
}

impl Error {
    fn from_ref(error: &DataFusionError) -> Self {
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Self::from_ref(inner),
            DataFusionError::Shared(inner) => Self::from_ref(inner),
            DataFusionError::SchemaError(schema, _) => Self::invalid(schema_detail(schema)),
            error if is_about_stored_bytes(error) => Self::Damaged(plain_text(error)),
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Configuration(_)
            | DataFusionError::Execution(_)
            | DataFusionError::ArrowError(..) => Self::invalid(plain_text(error)),
            DataFusionError::Internal(text) if text.contains("Regular expression did not compile") => Self::invalid(
                "a regular expression of the query is not valid or too large; repeat less, or look for a part of it"
                    .to_owned(),
            ),
            DataFusionError::ResourcesExhausted(_) => Self::TooLarge(
                "the query needs more memory than query.memory_bytes_max allows; narrow the time range, group by fewer \
                 values or add a LIMIT"
                    .to_owned(),
            ),
            _ => Self::Internal(plain_text(error)),
        }
    }
}

/// True when bytes of a segment could not be read or decoded, however deep DataFusion has wrapped that.
fn is_about_stored_bytes(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => true,
        DataFusionError::ArrowError(error, _) => is_decoding(error),
        DataFusionError::External(error) => {
            error.is::<parquet::errors::ParquetError>()
                || error.is::<object_store::Error>()
                || error.downcast_ref::<ArrowError>().is_some_and(is_decoding)
        }
        _ => false,
    }
}

fn is_decoding(error: &ArrowError) -> bool {
    matches!(error, ArrowError::ParquetError(_) | ArrowError::IoError(..) | ArrowError::ExternalError(_))
}

/// The message without the names of DataFusion's kinds and without a backtrace.
fn plain_text(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let prefixes = [
        "SQL error: ",
        "Error during planning: ",
        "Execution error: ",
        "This feature is not implemented: ",
        "Arrow error: ",
        "Invalid or Unsupported Configuration: ",
    ];
    let text = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(&text);
    let text = text.strip_prefix("ParserError(\"").and_then(|rest| rest.strip_suffix("\")")).unwrap_or(text);
    text.to_owned()
}

/// Says which column was not found and which one was probably meant.
fn schema_detail(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            match nearest(&field.name, names.iter().copied()) {
                Some(name) => format!("there is no column {}; did you mean {name}?", field.name),
                None if names.is_empty() => format!("there is no column {}", field.name),
                None => format!("there is no column {}; GET /api/tables lists the columns of every table", field.name),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            format!("{} stands in more than one table; write table.{}", field.name, field.name)
        }
        other => other.to_string(),
    }
}

/// The most similar candidate; `None` when nothing is close.
///
/// Cost: one edit distance per candidate, on texts of at most 64 bytes.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_ascii_lowercase();
    if wanted.len() > 64 {
        return None;
    }
    let distance = |candidate: &str| {
        if wanted.len() > 3 && candidate.contains(&wanted) {
            return 1;
        }
        edit_distance(wanted.as_bytes(), candidate.as_bytes())
    };
    candidates
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance * 3 <= wanted.len().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["service_name", "start_time", "status_code", "span_id"];
        assert_eq!(nearest("servce_name", names.into_iter()), Some("service_name"));
        assert_eq!(nearest("service", names.into_iter()), Some("service_name"));
        assert_eq!(nearest("banana", names.into_iter()), None);
    }
}
