//! What tells entries apart.

use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::{FoldHasher, RandomState};

use super::credential::CredentialId;
use super::endpoint::{EndpointId, UpstreamId};
use super::params::Canonical;

/// What makes the hashes of a process its own. Keys are compared with keys of the same seed only.
#[derive(Clone)]
pub struct KeySeed(FoldHasher<'static>);

impl KeySeed {
    /// Nobody can tell beforehand which keys share a hash.
    pub fn of(random: &RandomState) -> Self {
        Self(random.build_hasher())
    }

    #[cfg(test)]
    pub(crate) fn fixed() -> Self {
        Self(foldhash::quality::FixedState::default().build_hasher())
    }
}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySeed").finish_non_exhaustive()
    }
}

/// What the keys of an endpoint have in common: made once, hashed once, and shared by them all.
pub struct KeyRoot {
    place: Place,
    /// Has taken in the place.
    hasher: FoldHasher<'static>,
}

/// Whose credential asks which endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    upstream: UpstreamId,
    credential: CredentialId,
    endpoint: EndpointId,
}

impl KeyRoot {
    /// For the keys of this endpoint.
    pub fn new(
        upstream: UpstreamId,
        credential: CredentialId,
        endpoint: EndpointId,
        seed: &KeySeed,
    ) -> Self {
        let place = Place { upstream, credential, endpoint };
        let mut hasher = seed.0.clone();
        place.hash(&mut hasher);
        Self { place, hasher }
    }
}

impl PartialEq for KeyRoot {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl fmt::Debug for KeyRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

/// The identity of an answer: whose credential asked which endpoint with which parameters.
///
/// For the first endpoint of the preset that is (account, session, type, page size, page token).
/// The parts stay apart, so no choice of values makes two questions look like one.
#[derive(Clone, Debug)]
pub struct CacheKey {
    root: Arc<KeyRoot>,
    client: Option<Arc<str>>,
    parameters: Canonical,
    /// Of all the rest: a request asks several tables for its key.
    hash: u64,
}

impl CacheKey {
    /// `client` is given only where the endpoint's rule is `vary_by_client`.
    pub fn new(root: &Arc<KeyRoot>, client: Option<Arc<str>>, parameters: Canonical) -> Self {
        let mut hasher = root.hasher.clone();
        client.hash(&mut hasher);
        hasher.write(parameters.as_str().as_bytes());
        Self { root: Arc::clone(root), client, parameters, hash: hasher.finish() }
    }

    /// Whose answer it is.
    pub fn upstream(&self) -> &UpstreamId {
        &self.root.place.upstream
    }

    /// Which endpoint is asked.
    pub fn endpoint(&self) -> &EndpointId {
        &self.root.place.endpoint
    }

    /// What is asked, whichever client asks it.
    pub fn question(&self) -> Question<'_> {
        Question { place: &self.root.place, parameters: &self.parameters }
    }

    /// The same asker's key of another question to the same endpoint.
    pub fn asking(&self, parameters: Canonical) -> Self {
        Self::new(&self.root, self.client.clone(), parameters)
    }

    /// The parameters of the question.
    pub fn parameters(&self) -> &Canonical {
        &self.parameters
    }

    /// Bytes of memory held by the parts that are this key's own.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.parameters.as_str().len()
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.parameters == other.parameters
            && self.client == other.client
            // A reload may have made the same root again.
            && (Arc::ptr_eq(&self.root, &other.root) || self.root == other.root)
    }
}

impl Eq for CacheKey {}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A key without the client: equal for all who ask the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question<'k> {
    place: &'k Place,
    parameters: &'k Canonical,
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use proptest::prelude::*;

    use super::*;

    type Parts = ((String, String, String), Option<String>, Vec<(String, String)>, bool);

    /// Short, and of few letters: what is equal, or differs in one place only, is likely.
    fn parts() -> impl Strategy<Value = Parts> {
        let pair = ("[ab]?", "[ab]?");
        (
            ("a?", "a?", "a?"),
            prop::option::of("a?"),
            prop::collection::vec(pair, 0..2),
            any::<bool>(),
        )
    }

    fn key(((upstream, credential, endpoint), client, pairs, in_path): &Parts) -> CacheKey {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let (path, query) = if *in_path { (&*pairs, &[][..]) } else { (&[][..], &*pairs) };
        // Every key from a root of its own, as before and after a reload.
        let root = KeyRoot::new(
            UpstreamId::new(upstream.as_str()),
            CredentialId::new(credential.as_str()),
            EndpointId::new(endpoint.as_str()),
            &KeySeed::fixed(),
        );
        CacheKey::new(&Arc::new(root), client.as_deref().map(Arc::from), Canonical::of(path, query))
    }

    proptest! {
        #[test]
        fn equal_keys_are_equal_questions(a in parts(), b in parts()) {
            let (one, other) = (key(&a), key(&b));
            let same_parameters = a.2 == b.2 && (a.3 == b.3 || a.2.is_empty());
            prop_assert_eq!(one.parameters() == other.parameters(), same_parameters);
            let alike = (&a.0, &a.1) == (&b.0, &b.1) && same_parameters;
            prop_assert_eq!(one == other, alike);
            let hasher = foldhash::quality::FixedState::default();
            prop_assert!(!alike || hasher.hash_one(&one) == hasher.hash_one(&other));
            let text: usize = a.2.iter().map(|(name, value)| name.len() + value.len()).sum();
            // The rest are lengths.
            let least = text + size_of::<CacheKey>();
            prop_assert!((least..=least + 8).contains(&one.size()));
            let same_question = a.0 == b.0 && same_parameters;
            prop_assert_eq!(one.question() == other.question(), same_question);
            let asking = one.asking(other.parameters().clone());
            prop_assert_eq!(asking == other, (&a.0, &a.1) == (&b.0, &b.1));
        }
    }

    /// Two keys may share a hash; two questions never share an answer.
    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let parts = |client: &str, value: &str| {
            let names = ("a".to_owned(), "a".to_owned(), "a".to_owned());
            (names, Some(client.to_owned()), vec![("a".to_owned(), value.to_owned())], true)
        };
        let one = key(&parts("x", "1"));
        let mut elsewhere = parts("x", "1");
        elsewhere.0.1 = "b".to_owned();
        for other in [parts("y", "1"), parts("x", "2"), elsewhere] {
            let other = CacheKey { hash: one.hash, ..key(&other) };
            assert_ne!(one, other);
        }
        assert_eq!(one, key(&parts("x", "1")));
    }

    #[test]
    fn a_key_is_small() {
        assert!(size_of::<CacheKey>() <= 48);
    }
}
