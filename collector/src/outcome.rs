//! What became of the items of a request: taken, mended or refused, each with its reason.
//!
//! Reasons, repairs and odd forms are closed sets: they are labels of our own metrics, words of the
//! answer to the sender, and keys of `/api/status`.

use std::fmt::Write as _;

use model::Repairs;

/// The three kinds of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The word used in paths, labels and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What one item is called.
    pub const fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "data points",
            Self::Logs => "log records",
        }
    }
}

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $word:literal $help:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $help] $variant,)* }

        impl $name {
            /// Every member, in order of its counter.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word used in labels and answers.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What to do about it, for people.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

closed_set! {
    /// Why an item was refused while the others of its request were kept.
    Reason {
        InvalidTraceId "invalid_trace_id" "a trace id has 16 bytes and is not all zero",
        InvalidSpanId "invalid_span_id" "a span id has 8 bytes and is not all zero",
        TooOld "too_old" "older than the retention time",
        SpanTooLarge "span_too_large" "a span may have 1 MiB",
        NoTimestamp "no_timestamp" "a data point needs time_unix_nano",
        BadTimestamp "bad_timestamp" "time_unix_nano is after the year 2262",
        NoTemporality "no_temporality" "sums and histograms need an aggregation temporality",
        BadHistogram "bad_histogram" "buckets, bounds or scale do not fit together",
        NoValue "no_value" "a data point needs a value or the flag that there is none",
    }
}

closed_set! {
    /// Forms of OTLP/JSON that are read although the specification has another one.
    OddForm {
        EnumName "enum_name" "an enum was sent by name instead of by number",
        SnakeCase "snake_case" "a member was named in snake_case instead of lowerCamelCase",
    }
}

/// What became of the items of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    items: u64,
    rejected: [u64; Reason::ALL.len()],
    repaired: [u64; Repairs::NAMED.len()],
    odd_forms: [u64; OddForm::ALL.len()],
    repairs: Repairs,
}

impl Outcome {
    /// An item was kept, mended as told.
    pub fn keep(&mut self, repairs: Repairs) {
        self.items += 1;
        if !repairs.is_empty() {
            self.repairs |= repairs;
            for (count, (_, repair)) in self.repaired.iter_mut().zip(Repairs::NAMED) {
                *count += u64::from(repairs.contains(*repair));
            }
        }
    }

    /// An item was refused.
    pub fn reject(&mut self, reason: Reason) {
        self.items += 1;
        self.rejected[reason as usize] += 1;
    }

    /// A form was read that the specification writes otherwise.
    pub fn odd_form(&mut self, form: OddForm) {
        self.odd_forms[form as usize] += 1;
    }

    /// Takes over what the decoder noticed.
    pub fn add_odd_forms(&mut self, other: &Self) {
        for (count, more) in self.odd_forms.iter_mut().zip(other.odd_forms) {
            *count += more;
        }
    }

    /// Items kept.
    pub fn accepted(&self) -> u64 {
        self.items - self.rejected_total()
    }

    /// Items refused, for any reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// A5: there were items and none was kept.
    pub fn is_all_rejected(&self) -> bool {
        self.items > 0 && self.accepted() == 0
    }

    /// Items refused, by reason; only reasons that occurred.
    pub fn rejected(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().copied().zip(self.rejected).filter(|(_, n)| *n > 0)
    }

    /// Items mended, by name of the repair; only repairs that occurred.
    pub fn repaired(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Repairs::NAMED.iter().map(|(name, _)| *name).zip(self.repaired).filter(|(_, n)| *n > 0)
    }

    /// Odd forms read; only forms that occurred.
    pub fn odd_forms(&self) -> impl Iterator<Item = (OddForm, u64)> {
        OddForm::ALL.iter().copied().zip(self.odd_forms).filter(|(_, n)| *n > 0)
    }

    /// What the sender should know (A3, A4); empty when all is well. Names each reason with its count.
    ///
    /// Repairs that lose nothing the sender meant to say (an odd clock, a parent that is the span itself)
    /// are flagged on the row but not complained about.
    pub fn message(&self, signal: Signal) -> String {
        const LOSSY: [Repairs; 3] = [Repairs::TRUNCATED, Repairs::NESTING, Repairs::INVALID_UTF8];
        let mut text = String::new();
        let rejected = self.rejected_total();
        if rejected > 0 {
            let _ = write!(text, "{rejected} of {} {} rejected", self.items, signal.items());
            for (n, (reason, count)) in self.rejected().enumerate() {
                let mark = if n == 0 { ':' } else { ',' };
                let _ = write!(text, "{mark} {count} {} ({})", reason.as_str(), reason.help());
            }
        }
        if LOSSY.iter().any(|repair| self.repairs.contains(*repair)) {
            let mark = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{mark}kept with changes");
            let lossy =
                self.repaired().filter(|(name, _)| LOSSY.iter().any(|repair| repair.names().any(|n| n == *name)));
            for (n, (name, count)) in lossy.enumerate() {
                let mark = if n == 0 { ':' } else { ',' };
                let _ = write!(text, "{mark} {count} {name}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_reasons_with_counts() {
        let mut outcome = Outcome::default();
        outcome.keep(Repairs::TRUNCATED);
        outcome.keep(Repairs::PARENT);
        outcome.reject(Reason::InvalidTraceId);
        outcome.reject(Reason::InvalidTraceId);
        outcome.reject(Reason::TooOld);
        assert_eq!(
            outcome.message(Signal::Traces),
            "3 of 5 spans rejected: 2 invalid_trace_id (a trace id has 16 bytes and is not all zero), \
             1 too_old (older than the retention time); kept with changes: 1 truncated"
        );
        assert_eq!((outcome.accepted(), outcome.rejected_total()), (2, 3));
        assert!(!outcome.is_all_rejected() && !Outcome::default().is_all_rejected());
    }

    /// Repairs that take nothing away are not complained about.
    #[test]
    fn harmless_repairs_are_silent() {
        let mut outcome = Outcome::default();
        outcome.keep(Repairs::PARENT | Repairs::NEGATIVE_DURATION | Repairs::CLOCK_SKEW);
        assert_eq!(outcome.message(Signal::Traces), "");
    }
}
