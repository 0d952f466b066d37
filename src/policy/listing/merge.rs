//! Many pages, one JSON object. Items keep the text that the upstream wrote: no tree is built, no
//! number is read.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::{Counts, ListingFault};
use crate::policy::endpoint::{PageTokenRule, WholeRule};

/// The one answer, as far as it has come.
///
/// The first page gives the members, in its order: its items are continued by those of the pages
/// after it, its token is emptied, and `page_count` is 1, because this is the only page there is.
/// What it says of its size and of the listing's stays as it is.
#[derive(Debug)]
pub struct Merge {
    token: String,
    items: String,
    max_bytes: usize,
    pages: u32,
    /// Up to the items, and those.
    head: Vec<u8>,
    /// What the first page says after them.
    tail: Vec<u8>,
    any: bool,
}

/// What a page says beside its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What the next page is asked for by; none = it is the last.
    pub next: Option<String>,
    /// What it says of the listing.
    pub counts: Counts,
}

/// Longest token that is sent on.
const MAX_TOKEN: usize = 4096;

const NOT_A_LISTING: &str = "it is not one JSON object with the endpoint's items as an array";

impl Merge {
    /// Nothing yet.
    pub fn new(token: &PageTokenRule, whole: &WholeRule) -> Self {
        Self {
            token: token.response.clone(),
            items: whole.items.clone(),
            max_bytes: whole.max_bytes,
            pages: 0,
            head: Vec::new(),
            tail: Vec::new(),
            any: false,
        }
    }

    /// How many bytes of pages there is still room for.
    pub fn room(&self) -> usize {
        self.max_bytes.saturating_sub(self.len())
    }

    fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// How many pages it has.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Takes the next page. After a fault it is of no use any more.
    pub fn add(&mut self, body: &[u8]) -> Result<Page, ListingFault> {
        self.pages += 1;
        let mut json = serde_json::Deserializer::from_slice(body);
        let mut reader = Reader { merge: self, fault: None };
        let read = reader.read(&mut json);
        let fault = reader.fault;
        let page = read.and_then(|page| json.end().map(|()| page));
        let unusable = |why| ListingFault::Unusable { page: self.pages, why };
        let page = page.map_err(|_text| fault.unwrap_or(unusable(NOT_A_LISTING)))?;
        if page.next.as_ref().is_some_and(|next| next.len() > MAX_TOKEN) {
            return Err(unusable("its token is too long"));
        }
        Ok(page)
    }

    /// The whole, once the last page is in.
    pub fn finish(mut self) -> Vec<u8> {
        self.head.append(&mut self.tail);
        self.head
    }

    /// A piece of the answer, if it has room for it and its end.
    fn write(&mut self, to: To, text: &str) -> Result<(), ListingFault> {
        if text.len() > self.room() {
            return Err(ListingFault::TooLarge { max_bytes: self.max_bytes });
        }
        let piece = match to {
            To::Head => &mut self.head,
            To::Tail => &mut self.tail,
        };
        piece.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Head,
    Tail,
}

/// Reads one page into a merge.
struct Reader<'m> {
    merge: &'m mut Merge,
    fault: Option<ListingFault>,
}

impl Reader<'_> {
    fn read<'de, D: Deserializer<'de>>(&mut self, json: D) -> Result<Page, D::Error> {
        json.deserialize_map(self)
    }

    /// Keeps the reason: serde's errors are texts.
    fn write<E: serde::de::Error>(&mut self, to: To, text: &str) -> Result<(), E> {
        let written = self.merge.write(to, text);
        written.map_err(|fault| {
            self.fault = Some(fault);
            E::custom("no room")
        })
    }

    /// A member of the first page, other than its items.
    fn member<E: serde::de::Error>(&mut self, to: To, name: &str, text: &str) -> Result<(), E> {
        let quoted = serde_json::to_string(name).map_err(E::custom)?;
        let comma = match to {
            To::Head if self.merge.head.len() <= 1 => "",
            _ => ",",
        };
        self.write(to, comma)?;
        self.write(to, &quoted)?;
        self.write(to, ":")?;
        self.write(to, text)
    }
}

impl<'de> Visitor<'de> for &mut Reader<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let first = self.merge.pages == 1;
        let (mut page, mut items, mut token) = (Page::default(), None, false);
        if first {
            self.write(To::Head, "{")?;
        }
        while let Some(name) = map.next_key::<String>()? {
            let to = if items.is_none() { To::Head } else { To::Tail };
            if name == self.merge.items {
                if items.is_some() {
                    return Err(A::Error::custom("its items stand there twice"));
                }
                if first {
                    self.member(To::Head, &name, "[")?;
                }
                items = Some(map.next_value_seed(Items(&mut *self))?);
                if first {
                    self.write(To::Tail, "]")?;
                }
                continue;
            }
            if name != self.merge.token && !first {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw = map.next_value::<&RawValue>()?.get();
            let mut text = raw;
            if name == self.merge.token {
                if std::mem::replace(&mut token, true) {
                    return Err(A::Error::custom("its token stands there twice"));
                }
                page.next = next(raw).map_err(|Odd| A::Error::custom("its token is no text"))?;
                text = if raw.starts_with('"') { "\"\"" } else { raw };
            }
            let number = || raw.parse().ok();
            match &*name {
                "page_count" => {
                    page.counts.pages = number();
                    text = if page.counts.pages.is_some() { "1" } else { raw };
                }
                "total_records" => page.counts.records = number(),
                "page_size" => page.counts.size = number(),
                _ => {}
            }
            if first {
                self.member(to, &name, text)?;
            }
        }
        page.counts.items = items.ok_or_else(|| A::Error::custom("it has no items"))?;
        if first {
            self.write(To::Tail, "}")?;
        }
        Ok(page)
    }
}

/// A token that is neither a text nor clearly none: what follows is not known.
struct Odd;

fn next(raw: &str) -> Result<Option<String>, Odd> {
    match raw {
        "null" | "false" => Ok(None),
        _ => {
            let token: String = serde_json::from_str(raw).map_err(|_text| Odd)?;
            Ok(Some(token).filter(|token| !token.is_empty()))
        }
    }
}

/// Appends the items of a page, and counts them.
struct Items<'r, 'm>(&'r mut Reader<'m>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array, or null for an empty one")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u64, A::Error> {
        let mut items = 0;
        while let Some(item) = seq.next_element::<&RawValue>()? {
            if std::mem::replace(&mut self.0.merge.any, true) {
                self.0.write(To::Head, ",")?;
            }
            self.0.write(To::Head, item.get())?;
            items += 1;
        }
        Ok(items)
    }
}
