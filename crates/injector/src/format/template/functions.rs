//! The functions that there are.

/// A function, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Length,
    Index,
    Slice,
    Print,
    Printf,
    Println,
    Html,
    Js,
    UrlQuery,
    Secret,
    Base64Encode,
    Base64Decode,
    HtmlEncode,
}

impl Function {
    pub(super) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "or" => Self::Or,
            "not" => Self::Not,
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "len" => Self::Length,
            "index" => Self::Index,
            "slice" => Self::Slice,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "println" => Self::Println,
            "html" => Self::Html,
            "js" => Self::Js,
            "urlquery" => Self::UrlQuery,
            "secret" => Self::Secret,
            "b64enc" => Self::Base64Encode,
            "b64dec" => Self::Base64Decode,
            "htmlenc" => Self::HtmlEncode,
            _ => return None,
        })
    }

    /// How many arguments it takes; without an upper bound, any number.
    pub(super) fn arity(self) -> (usize, Option<usize>) {
        match self {
            Self::Print | Self::Println | Self::Html | Self::Js | Self::UrlQuery => (0, None),
            Self::And | Self::Or | Self::Printf | Self::Index | Self::Slice | Self::Equal => {
                (1, None)
            }
            Self::NotEqual
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::GreaterOrEqual => (2, Some(2)),
            Self::Not
            | Self::Length
            | Self::Secret
            | Self::Base64Encode
            | Self::Base64Decode
            | Self::HtmlEncode => (1, Some(1)),
        }
    }
}
