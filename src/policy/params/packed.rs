//! Pairs of text in one piece of memory: each text stands behind its length, so that no choice of
//! values makes two lists look like one.

/// A number of path parameters, then all pairs, path first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Packed(Box<str>);

/// A name and its value.
pub(super) type Pair<'t> = (&'t str, &'t str);

impl Packed {
    /// Of so many path parameters, whose pairs come first.
    pub(super) fn new<'t>(path: usize, pairs: impl Iterator<Item = Pair<'t>> + Clone) -> Self {
        let lengths = pairs.clone().map(|(name, value)| field(name.len()) + field(value.len()));
        let mut packer = Packer::new(path, lengths.sum());
        for (name, value) in pairs {
            packer.put(name);
            packer.put(value);
        }
        packer.finish()
    }

    /// All of it, as one text that no other list has.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The pairs of the path.
    pub(super) fn path(&self) -> impl Iterator<Item = Pair<'_>> + Clone {
        let (path, pairs) = self.pairs();
        pairs.take(path)
    }

    /// The pairs of the query.
    pub(super) fn query(&self) -> impl Iterator<Item = Pair<'_>> + Clone {
        let (path, pairs) = self.pairs();
        pairs.skip(path)
    }

    fn pairs(&self) -> (usize, Unpacked<'_>) {
        let (path, rest) = number(&self.0).unwrap_or_default();
        (path, Unpacked { rest })
    }
}

/// Writes texts one after the other into memory that was measured before.
pub(super) struct Packer(String);

impl Packer {
    /// `length` is the sum of all [`field`]s to come.
    pub(super) fn new(path: usize, length: usize) -> Self {
        let mut packer = Self(String::with_capacity(digits(path) + length));
        packer.number(path);
        packer
    }

    /// One text whose bytes are these.
    pub(super) fn put(&mut self, text: &str) {
        self.number(text.len());
        self.0.push_str(text);
    }

    /// One text of this length, which the caller pushes.
    pub(super) fn begin(&mut self, length: usize) -> &mut String {
        self.number(length);
        &mut self.0
    }

    pub(super) fn finish(self) -> Packed {
        debug_assert_eq!(
            self.0.len(),
            self.0.capacity(),
            "nothing is left over, nothing has grown"
        );
        Packed(self.0.into_boxed_str())
    }

    /// Six bits a character, the lowest first; with the seventh bit there is more to come. That is
    /// ASCII, and so the whole stays text.
    fn number(&mut self, mut number: usize) {
        while number > LOW {
            self.0.push(char::from(MORE | low(number)));
            number >>= BITS;
        }
        self.0.push(char::from(low(number)));
    }
}

const BITS: usize = 6;
const LOW: usize = (1 << BITS) - 1;
const MORE: u8 = 1 << BITS;

fn low(number: usize) -> u8 {
    u8::try_from(number & LOW).unwrap_or_default()
}

fn digits(number: usize) -> usize {
    std::iter::successors(Some(number), |rest| (*rest > LOW).then_some(rest >> BITS)).count()
}

/// What a text of this length takes.
pub(super) fn field(length: usize) -> usize {
    digits(length) + length
}

/// The number at the beginning, and what follows it.
fn number(text: &str) -> Option<(usize, &str)> {
    let (mut number, mut shift) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        number |= (usize::from(byte) & LOW) << shift;
        shift += BITS;
        if byte & MORE == 0 {
            return Some((number, text.get(at + 1..)?));
        }
    }
    None
}

#[derive(Clone)]
struct Unpacked<'t> {
    rest: &'t str,
}

impl<'t> Unpacked<'t> {
    fn text(&mut self) -> Option<&'t str> {
        let (length, rest) = number(self.rest)?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(text)
    }
}

impl<'t> Iterator for Unpacked<'t> {
    type Item = Pair<'t>;

    fn next(&mut self) -> Option<Pair<'t>> {
        Some((self.text()?, self.text()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = Vec<(String, String)>;

    /// Short ones that are often equal, and one that needs a second digit or a third.
    fn pairs() -> impl Strategy<Value = Owned> {
        let text =
            || prop_oneof![6 => "[ab\u{0}\u{1}A\u{e9}]{0,2}", 1 => "a{62,66}", 1 => "b{4094,4098}"];
        prop::collection::vec((text(), text()), 0..3)
    }

    fn packed(path: &Owned, query: &Owned) -> Packed {
        let pairs = path.iter().chain(query).map(|(name, value)| (name.as_str(), value.as_str()));
        Packed::new(path.len(), pairs)
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_and_nothing_else_is_packed_alike(
            (a, b) in ((pairs(), pairs()), (pairs(), pairs())),
        ) {
            let one = packed(&a.0, &a.1);
            let owned = |(name, value): Pair<'_>| (name.to_owned(), value.to_owned());
            prop_assert_eq!(&one.path().map(owned).collect::<Owned>(), &a.0);
            prop_assert_eq!(&one.query().map(owned).collect::<Owned>(), &a.1);
            prop_assert_eq!(one == packed(&b.0, &b.1), a == b);
            prop_assert_eq!(one == packed(&a.1, &a.0), a.0 == a.1);
        }
    }

    #[test]
    fn lengths_take_as_few_characters_as_they_can() {
        for (length, characters) in [(0, 1), (63, 1), (64, 2), (4095, 2), (4096, 3), (1 << 18, 4)] {
            let packed = Packed::new(0, [("", "x".repeat(length).as_str())].into_iter());
            assert_eq!(packed.as_str().len(), 2 + characters + length);
        }
    }
}
