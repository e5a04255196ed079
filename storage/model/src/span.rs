//! Names of span kinds and status codes. Rows keep the integer that was sent, known or not.

macro_rules! named_code {
    ($(#[$doc:meta])* $name:ident { $($code:literal $variant:ident $text:literal $help:literal,)* } other $other:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $help] $variant = $code,)* }

        impl $name {
            /// Every known value in code order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The known value with this OTLP number; `None` for numbers of the future.
            pub const fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The OTLP number.
            pub const fn code(self) -> i32 { self as i32 }

            /// The word used in queries and on the page.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value with this word, any case.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(word))
            }

            /// The word for a stored number; unknown numbers read as unspecified.
            pub const fn word(code: i32) -> &'static str {
                match Self::from_code(code) { Some(value) => value.as_str(), None => $other }
            }
        }
    };
}
pub(crate) use named_code;

named_code! {
    /// The side of a communication that a span stands on.
    SpanKind {
        0 Unspecified "unspecified" "Not said by the sender.",
        1 Internal "internal" "Work inside one service.",
        2 Server "server" "Answering a synchronous request.",
        3 Client "client" "Making a synchronous request.",
        4 Producer "producer" "Creating or sending a message.",
        5 Consumer "consumer" "Receiving or processing a message.",
    } other "unspecified"
}

named_code! {
    /// How a span ended, by its sender's own judgement.
    StatusCode {
        0 Unset "unset" "No judgement.",
        1 Ok "ok" "Declared successful.",
        2 Error "error" "Declared failed.",
    } other "unset"
}
