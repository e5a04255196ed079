//! Moments that are missing, run backwards, lie ahead of us or are older than we keep (V5, V6, V16).
//!
//! Rows are filed by their time column. What was sent is kept beside it wherever the two differ, so that
//! an answer can give back exactly what was sent.

use model::{Repairs, UnixNanos};

use super::Rules;
use crate::outcome::Reason;

/// How far ahead of our clock a sender's may be.
const AHEAD_MAX_NANOS: i64 = 24 * 3600 * UnixNanos::SECOND;

/// Time columns of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanTimes {
    /// When it began, as far as we believe.
    pub start: i64,
    /// End minus start; never negative.
    pub duration_nanos: i64,
    /// Start as sent, when `start` differs.
    pub sent_start: Option<i64>,
    /// End as sent, when it is not start plus duration.
    pub sent_end: Option<i64>,
    /// What was mended.
    pub repairs: Repairs,
}

/// Time columns of a log record or an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogTime {
    /// When it happened, as far as we believe.
    pub time: i64,
    /// As sent, when `time` differs.
    pub sent: Option<i64>,
    /// What was mended.
    pub repairs: Repairs,
}

/// Times of a span: a zero takes the other one, the future is filed by arrival, the past is refused.
pub(super) fn span(sent_start: u64, sent_end: u64, rules: &Rules) -> Result<SpanTimes, Reason> {
    let mut repairs = Repairs::NONE;
    let believed = match (sent_start, sent_end) {
        (0, 0) => Some(rules.now.0),
        (0, end) => i64::try_from(end).ok(),
        (start, _) => i64::try_from(start).ok(),
    };
    if sent_start == 0 || sent_end == 0 {
        repairs |= Repairs::NO_TIMESTAMP;
    } else if sent_end < sent_start {
        repairs |= Repairs::NEGATIVE_DURATION;
    }
    let duration_nanos = match sent_start {
        0 => 0,
        start => i64::try_from(sent_end.saturating_sub(start)).unwrap_or(i64::MAX),
    };
    if is_ahead(sent_end, rules) {
        repairs |= Repairs::CLOCK_SKEW;
    }
    let start = match believed.filter(|start| !is_ahead(start.unsigned_abs(), rules)) {
        Some(start) => start,
        None => {
            repairs |= Repairs::CLOCK_SKEW;
            rules.now.0
        }
    };
    if start < rules.oldest.0 {
        return Err(Reason::TooOld);
    }
    let (sent_start, sent_end) = (sent_start.cast_signed(), sent_end.cast_signed());
    Ok(SpanTimes {
        start,
        duration_nanos,
        sent_start: (sent_start != start).then_some(sent_start),
        sent_end: (start.checked_add(duration_nanos) != Some(sent_end)).then_some(sent_end),
        repairs,
    })
}

/// Time of a log record: when it happened, else when it was observed, else now.
pub(super) fn log(sent: u64, observed: u64, rules: &Rules) -> Result<LogTime, Reason> {
    let mut repairs = Repairs::NONE;
    let believed = match (sent, observed) {
        (0, 0) => {
            repairs |= Repairs::NO_TIMESTAMP;
            rules.now.0.unsigned_abs()
        }
        (0, observed) => observed,
        (sent, _) => sent,
    };
    let time = filed(believed, rules.now, rules, &mut repairs);
    if time < rules.oldest.0 {
        return Err(Reason::TooOld);
    }
    let sent = sent.cast_signed();
    Ok(LogTime { time, sent: (sent != time).then_some(sent), repairs })
}

/// V16: a data point without a moment belongs nowhere; it stands where it was sent, even if that is ahead.
pub(crate) fn point(sent: u64, rules: &Rules) -> Result<(i64, Repairs), Reason> {
    if sent == 0 {
        return Err(Reason::NoTimestamp);
    }
    let Ok(time) = i64::try_from(sent) else { return Err(Reason::BadTimestamp) };
    if time < rules.oldest.0 {
        return Err(Reason::TooOld);
    }
    let repairs = if is_ahead(sent, rules) { Repairs::CLOCK_SKEW } else { Repairs::NONE };
    Ok((time, repairs))
}

/// Time of an exemplar: its own, or that of the point that carried it.
pub(crate) fn exemplar(sent: u64, point_time: i64, rules: &Rules) -> LogTime {
    let mut repairs = Repairs::NONE;
    let time = match sent {
        0 => point_time,
        sent => filed(sent, UnixNanos(point_time), rules, &mut repairs),
    };
    let sent = sent.cast_signed();
    LogTime { time, sent: (sent != time).then_some(sent), repairs }
}

/// The moment itself, or `instead` when it is too far ahead.
fn filed(moment: u64, instead: UnixNanos, rules: &Rules, repairs: &mut Repairs) -> i64 {
    match i64::try_from(moment) {
        Ok(moment) if !is_ahead(moment.unsigned_abs(), rules) => moment,
        _ => {
            *repairs |= Repairs::CLOCK_SKEW;
            instead.0
        }
    }
}

fn is_ahead(moment: u64, rules: &Rules) -> bool {
    i64::try_from(moment).map_or(true, |moment| UnixNanos(moment) > rules.now + AHEAD_MAX_NANOS)
}
