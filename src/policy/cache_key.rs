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
