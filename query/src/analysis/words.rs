//! Closed sets of words: an enum whose variants know how they are written in answers.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal $help:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $(#[doc = $help] $variant,)* }

        impl $name {
            /// The word used in answers.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value that is written so.
            #[allow(dead_code, reason = "not every set of words is read back")]
            pub fn from_word(word: &str) -> Option<Self> {
                [$(Self::$variant,)*].into_iter().find(|value| value.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;
