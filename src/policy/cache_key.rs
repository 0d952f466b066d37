//! What tells entries apart.

use std::sync::Arc;

use super::credential::CredentialId;
use super::endpoint::{EndpointId, UpstreamId};
use super::params::Canonical;

/// The identity of an answer: whose credential asked which endpoint with which parameters.
///
/// For the first endpoint of the preset that is (account, session, type, page size, page token).
/// The parts stay apart, so no choice of values makes two questions look like one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    upstream: UpstreamId,
    credential: CredentialId,
    endpoint: EndpointId,
    client: Option<Arc<str>>,
    parameters: Canonical,
}

impl CacheKey {
    /// `client` is given only where the endpoint's rule is `vary_by_client`.
    pub fn new(
        upstream: UpstreamId,
        credential: CredentialId,
        endpoint: EndpointId,
        client: Option<Arc<str>>,
        parameters: Canonical,
    ) -> Self {
        Self { upstream, credential, endpoint, client, parameters }
    }

    /// Whose answer it is.
    pub fn upstream(&self) -> &UpstreamId {
        &self.upstream
    }

    /// Which endpoint is asked.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// What is asked, whichever client asks it.
    pub fn question(&self) -> Question<'_> {
        let Self { upstream, credential, endpoint, client: _, parameters } = self;
        Question { upstream, credential, endpoint, parameters }
    }

    /// The same asker's key of another question to the same endpoint.
    pub fn asking(&self, parameters: Canonical) -> Self {
        Self { parameters, ..self.clone() }
    }

    /// The parameters of the question.
    pub fn parameters(&self) -> &Canonical {
        &self.parameters
    }

    /// Bytes of memory held by the parts that are this key's own.
    pub fn size(&self) -> usize {
        let pairs = self.parameters.path.iter().chain(&self.parameters.query);
        let text: usize =
            pairs.map(|(n, v)| n.capacity() + v.capacity() + 2 * size_of::<String>()).sum();
        size_of::<Self>() + text
    }
}

/// A key without the client: equal for all who ask the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question<'k> {
    upstream: &'k UpstreamId,
    credential: &'k CredentialId,
    endpoint: &'k EndpointId,
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
        let (path, query) =
            if *in_path { (pairs.clone(), Vec::new()) } else { (Vec::new(), pairs.clone()) };
        CacheKey::new(
            UpstreamId::new(upstream.as_str()),
            CredentialId::new(credential.as_str()),
            EndpointId::new(endpoint.as_str()),
            client.as_deref().map(Arc::from),
            Canonical { path, query },
        )
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
            prop_assert!(one.size() >= text + size_of::<CacheKey>());
        }
    }
}
