//! What a method, a path and a query mean: the endpoint, and the parameters in their one spelling.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use super::{Client, Route, Table, World};
use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::{Spelling, UpstreamId};
use crate::policy::params::{BadParameter, Canonical};
use crate::policy::route::Route as Match;
use crate::policy::spelling::{PathFault, could_split, has_dot_segment, path_fault};

/// Why they mean nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlocated {
    /// No mount or no template matches.
    #[error("no endpoint answers to this path")]
    UnknownEndpoint,
    /// The path is known, the method is not.
    #[error("this path answers to {allow}")]
    MethodNotAllowed {
        /// For the `Allow` field.
        allow: String,
    },
    /// The path has no meaning that could safely be passed on.
    #[error("{0}")]
    BadPath(&'static str),
    /// A parameter is not what the endpoint declares.
    #[error(transparent)]
    BadParameter(#[from] BadParameter),
    /// A table leads to an endpoint that is not there.
    #[error("an internal error")]
    Defect,
}

/// Longest path that is looked at. A URI's own bound is the request head's.
pub(crate) const MAX_PATH: usize = 8192;

const AMBIGUOUS: &str = "with empty segments this path could be taken for another endpoint's";
const DOT_SEGMENT: &str = "dot segments are not resolved here";

impl World {
    /// What a client asks for with a path of the public listener. Of several mounts that fit the
    /// longest that has an answer. `found` is told the endpoint even if the parameters are bad.
    pub fn locate(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        mut found: impl FnMut(&Arc<Route>),
    ) -> Result<(Arc<Route>, Canonical), Unlocated> {
        check(method, path)?;
        let mut refusal = Unlocated::UnknownEndpoint;
        for site in &self.sites {
            let Some(below) = path.strip_prefix(site.mount.as_str()) else { continue };
            if !below.starts_with('/') {
                continue;
            }
            match site.table.find(method, below, query, &mut found) {
                Err(Unlocated::UnknownEndpoint) => {}
                // Of several, the longest mount's.
                Err(other @ Unlocated::MethodNotAllowed { .. }) => {
                    if refusal == Unlocated::UnknownEndpoint {
                        refusal = other;
                    }
                }
                answer => return answer,
            }
        }
        Err(refusal)
    }

    /// What an upstream answers to.
    pub fn table(&self, upstream: &UpstreamId) -> Option<&Table> {
        let leads = |table: &&Table| {
            table.endpoints.first().is_some_and(|route| route.upstream.id == *upstream)
        };
        self.sites.iter().map(|site| &*site.table).find(leads)
    }
}

impl Table {
    /// The same for a path below the upstream's base URL, as the upstream itself would name it.
    pub fn locate(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Result<(Arc<Route>, Canonical), Unlocated> {
        check(method, path)?;
        self.find(method, path, query, &mut |_| {})
    }

    fn find(
        &self,
        method: &Method,
        below: &str,
        query: Option<&str>,
        found: &mut impl FnMut(&Arc<Route>),
    ) -> Result<(Arc<Route>, Canonical), Unlocated> {
        let below = self.spelling.canonical(below);
        // Again, where another spelling may have laid some bare.
        if matches!(below, Cow::Owned(_)) && has_dot_segment(&below) {
            return Err(Unlocated::BadPath(DOT_SEGMENT));
        }
        if self.routes.is_ambiguous(method, &below) {
            return Err(Unlocated::BadPath(AMBIGUOUS));
        }
        match self.routes.find(method, &below) {
            Match::Found { endpoint, captures } => {
                let route = self.endpoints.get(endpoint).ok_or(Unlocated::Defect)?;
                found(route);
                let parameters = Canonical::new(&route.endpoint, &captures, query)?;
                whole_segments(self.spelling, &parameters)?;
                Ok((Arc::clone(route), parameters))
            }
            Match::MethodNotAllowed { allow } => Err(Unlocated::MethodNotAllowed { allow }),
            Match::Unknown => Err(Unlocated::UnknownEndpoint),
        }
    }
}

/// What no table could make good.
fn check(method: &Method, path: &str) -> Result<(), Unlocated> {
    if path.len() > MAX_PATH {
        return Err(Unlocated::BadPath("the path is too long"));
    }
    if !path.starts_with('/') {
        return Err(Unlocated::BadPath("the path has to begin with a slash"));
    }
    match path_fault(path) {
        None => {}
        Some(PathFault::BrokenEscape) => {
            return Err(Unlocated::BadPath("a percent sign begins an escape of two hex digits"));
        }
        Some(PathFault::DotSegment) => return Err(Unlocated::BadPath(DOT_SEGMENT)),
    }
    // RFC 9110, section 9.3.8: a TRACE's answer repeats the request, and that holds our credential
    // by then. A CONNECT would be a tunnel.
    if matches!(*method, Method::TRACE | Method::CONNECT) {
        let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned();
        return Err(Unlocated::MethodNotAllowed { allow });
    }
    Ok(())
}

/// The Zoom API decodes a path before it matches it, so that an encoded slash in an id makes it
/// another endpoint's, with another label. Only session ids may hold one: they go encoded twice.
fn whole_segments(spelling: Spelling, parameters: &Canonical) -> Result<(), BadParameter> {
    if spelling != Spelling::ZoomSessionId {
        return Ok(());
    }
    match parameters.path().find(|(_, value)| could_split(value)) {
        Some((name, _)) => Err(BadParameter {
            name: name.to_owned(),
            why: "holds characters that would make it another path".to_owned(),
        }),
        None => Ok(()),
    }
}

impl Route {
    /// What tells a question's answer from all others. Nobody in particular asks the question of
    /// all clients: [`CacheKey::question`] is the same for everybody.
    pub fn key(&self, client: Option<&Client>, parameters: Canonical) -> CacheKey {
        let by_client = self.endpoint.cache.varies_by_client();
        let client = client.filter(|_| by_client).map(|client| Arc::clone(&client.name));
        CacheKey::new(&self.key_root, client, parameters)
    }
}
