//! What `POST /purge` is asked for.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::store::purges::Mode;

/// Carries an order out. What was purged, for the answer.
pub type Purge = Arc<dyn Fn(&Order) -> Result<Value, Refusal> + Send + Sync>;

/// One purge, as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What of.
    pub of: Of,
    /// What becomes of it.
    pub mode: Mode,
}

/// What a purge is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The answers to one question: path and query as clients ask it.
    Url(String),
    /// Whatever tells of one session.
    Session {
        /// In any spelling.
        id: String,
        /// None: of all.
        upstream: Option<String>,
    },
    /// All answers of an endpoint.
    Endpoint {
        /// Its name.
        id: String,
        /// None: of all that have one of that name.
        upstream: Option<String>,
    },
    /// All answers that an upstream gave this tag.
    Tag {
        /// As the upstream spells it.
        tag: String,
        /// None: of all.
        upstream: Option<String>,
    },
    /// Everything.
    All,
}

impl Of {
    /// Its kind; a metric label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Session { .. } => "session",
            Self::Endpoint { .. } => "endpoint",
            Self::Tag { .. } => "tag",
            Self::All => "all",
        }
    }
}

/// Why nothing was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The order makes no sense; what would.
    Bad(String),
    /// What it names is not there.
    Unknown(String),
}

const USAGE: &str = "POST /purge?url=U, session=ID, endpoint=ID, tag=T or all=true (one of them), \
     with upstream=NAME for all but url and all, and mode=soft or hard; percent-encoded.";

impl Order {
    /// Reads a query. A plus sign is one: session ids hold some, and no path means a blank by it.
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
        let (mut of, mut upstream, mut mode) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(name, value)?;
            match name {
                "url" | "session" | "endpoint" | "tag" | "all" => {
                    if let Some((first, _)) = of.replace((name, value)) {
                        return Err(bad(format_args!("{first} and {name} are given. {USAGE}")));
                    }
                }
                "upstream" if upstream.is_none() => upstream = Some(value),
                "mode" if mode.is_none() => mode = Some(Self::mode(&value)?),
                "upstream" | "mode" => return Err(bad(format_args!("{name} is given twice."))),
                _ => return Err(bad(format_args!("There is no {name:?} here. {USAGE}"))),
            }
        }
        let Some((kind, value)) = of else { return Err(bad(USAGE)) };
        let of = match (kind, upstream) {
            ("session", upstream) => Of::Session { id: value, upstream },
            ("endpoint", upstream) => Of::Endpoint { id: value, upstream },
            ("tag", upstream) => Of::Tag { tag: value, upstream },
            (_, Some(_)) => return Err(bad("upstream goes with session, endpoint or tag.")),
            ("url", None) => Of::Url(value),
            (_, None) if value == "true" => Of::All,
            (_, None) => return Err(bad("To purge everything: all=true.")),
        };
        Ok(Self { of, mode: mode.unwrap_or(Mode::Hard) })
    }

    fn mode(text: &str) -> Result<Mode, Refusal> {
        let named = Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
        named.ok_or_else(|| bad("mode is soft or hard."))
    }
}

fn decoded(name: &str, value: &str) -> Result<String, Refusal> {
    match percent_decode_str(value).decode_utf8() {
        Ok(text) if text.is_empty() => Err(bad(format_args!("{name} is empty. {USAGE}"))),
        Ok(text) => Ok(text.into_owned()),
        Err(_not_utf8) => Err(bad(format_args!("{name} is not UTF-8 once percent-decoded."))),
    }
}

fn bad(why: impl fmt::Display) -> Refusal {
    Refusal::Bad(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_whole_or_refused() {
        let some = |name: &str| Some(name.to_owned());
        let session = |id: &str, upstream| Of::Session { id: id.to_owned(), upstream };
        for (query, of, mode) in [
            ("all=true", Of::All, Mode::Hard),
            ("&mode=soft&all=true&", Of::All, Mode::Soft),
            ("url=%2fa%3Fb%3Dc%26d", Of::Url("/a?b=c&d".to_owned()), Mode::Hard),
            ("url=/a?b=c", Of::Url("/a?b=c".to_owned()), Mode::Hard),
            ("session=a+b/c==", session("a+b/c==", None), Mode::Hard),
            ("mode=hard&session=a%252Fb&upstream=u", session("a%2Fb", some("u")), Mode::Hard),
            ("endpoint=e", Of::Endpoint { id: "e".to_owned(), upstream: None }, Mode::Hard),
            (
                "upstream=u&tag=t%20t",
                Of::Tag { tag: "t t".to_owned(), upstream: some("u") },
                Mode::Hard,
            ),
        ] {
            assert_eq!(Order::parse(query), Ok(Order { of, mode }), "{query}");
        }
        for (query, why) in [
            ("", "POST /purge?url="),
            ("mode=soft", "POST /purge?url="),
            ("tag=", "tag is empty."),
            ("session", "session is empty."),
            ("tag=%ff", "tag is not UTF-8"),
            ("tag=a&tag=b", "tag and tag are given."),
            ("url=/a&all=true", "url and all are given."),
            ("url=/a?b=c&type=live", "There is no \"type\" here."),
            ("Tag=a", "There is no \"Tag\" here."),
            ("tag=a&mode=gentle", "mode is soft or hard."),
            ("tag=a&mode=soft&mode=hard", "mode is given twice."),
            ("tag=a&upstream=u&upstream=v", "upstream is given twice."),
            ("all=true&upstream=u", "upstream goes with"),
            ("url=/a&upstream=u", "upstream goes with"),
            ("all=1", "To purge everything: all=true."),
        ] {
            let refused = Order::parse(query);
            let told = matches!(&refused, Err(Refusal::Bad(text)) if text.starts_with(why));
            assert!(told, "{query}: {refused:?}");
        }
    }
}
