//! Which endpoint a method and a path mean.

use std::collections::HashMap;

use http::Method;
use matchit::{Params, ParamsIter, Router};

use super::endpoint::{Endpoint, Methods};
use super::spelling::has_empty_segment;

/// One upstream's endpoints, ready to be matched. Templates are tried by specificity: a literal
/// segment before a parameter, a parameter before a catch-all.
#[derive(Debug)]
pub struct RouteTable {
    /// What is asked most first: few, and so looked through.
    by_method: Vec<(Method, Router<usize>)>,
    other_methods: Router<usize>,
}

/// The answer to [`RouteTable::find`].
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'t, 'p> {
    /// This endpoint, with the raw text of its path parameters.
    Found {
        /// Index into the slice the table was built from.
        endpoint: usize,
        /// What stands for its path parameters.
        captures: Captures<'t, 'p>,
    },
    /// The path is known, the method is not.
    MethodNotAllowed {
        /// For the `Allow` field.
        allow: String,
    },
    /// Nothing of the kind.
    Unknown,
}

/// Names and raw (still encoded) texts of path parameters, in template order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captures<'t, 'p>(Params<'t, 'p>);

impl Captures<'_, '_> {
    /// One after the other.
    pub fn iter(&self) -> ParamsIter<'_, '_, '_> {
        self.0.iter()
    }
}

impl<'c> IntoIterator for &'c Captures<'_, '_> {
    type Item = (&'c str, &'c str);
    type IntoIter = ParamsIter<'c, 'c, 'c>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Two endpoints answer to the same method and path, or a template is malformed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct RouteConflict {
    /// Index of the endpoint that could not be added.
    pub endpoint: usize,
    /// What is wrong with it.
    pub why: String,
}

impl RouteTable {
    /// Builds the table. Endpoints for listed methods win over `method = "*"` where both have the
    /// same template; `GET` also answers `HEAD` (RFC 9110, section 9.3.2).
    pub fn new(endpoints: &[Endpoint]) -> Result<Self, RouteConflict> {
        let mut by_method: HashMap<Method, Router<usize>> = HashMap::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            if let Methods::Listed(methods) = &endpoint.methods {
                for method in methods {
                    insert(by_method.entry(method.clone()).or_default(), endpoint, index)?;
                }
            }
        }
        if by_method.contains_key(&Method::GET) {
            let head = by_method.entry(Method::HEAD).or_default();
            for (index, endpoint) in endpoints.iter().enumerate() {
                if matches!(&endpoint.methods, Methods::Listed(m) if m.contains(&Method::GET)) {
                    keep_first(head, endpoint, index);
                }
            }
        }
        let mut other_methods = Router::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            if endpoint.methods == Methods::Any {
                insert(&mut other_methods, endpoint, index)?;
                for router in by_method.values_mut() {
                    keep_first(router, endpoint, index);
                }
            }
        }
        let mut by_method: Vec<_> = by_method.into_iter().collect();
        by_method.sort_by_key(|(method, _)| (*method != Method::GET, *method != Method::HEAD));
        Ok(Self { by_method, other_methods })
    }

    /// Whether an upstream that ignores empty segments could take the path for that of another
    /// endpoint than we do: `//limited/x` must not go by a catch-all, and past a budget.
    pub fn is_ambiguous(&self, method: &Method, path: &str) -> bool {
        if !has_empty_segment(path) {
            return false;
        }
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let folded = format!("/{}", segments.join("/"));
        let endpoint = |path| match self.find(method, path) {
            Route::Found { endpoint, .. } => Some(endpoint),
            Route::MethodNotAllowed { .. } | Route::Unknown => None,
        };
        let (as_it_is, as_folded) = (endpoint(path), endpoint(&folded));
        as_it_is.is_some() && as_folded.is_some() && as_it_is != as_folded
    }

    /// Finds the endpoint for a path below the upstream's mount.
    pub fn find<'t, 'p>(&'t self, method: &Method, path: &'p str) -> Route<'t, 'p> {
        let own = self.by_method.iter().find(|(own, _)| own == method);
        let router = own.map_or(&self.other_methods, |(_, router)| router);
        if let Ok(found) = router.at(path) {
            return Route::Found { endpoint: *found.value, captures: Captures(found.params) };
        }
        let mut allowed: Vec<&str> = self
            .by_method
            .iter()
            .filter(|(_, router)| router.at(path).is_ok())
            .map(|(method, _)| method.as_str())
            .collect();
        if allowed.is_empty() {
            return Route::Unknown;
        }
        allowed.sort_unstable();
        Route::MethodNotAllowed { allow: allowed.join(", ") }
    }
}

fn insert(
    router: &mut Router<usize>,
    endpoint: &Endpoint,
    index: usize,
) -> Result<(), RouteConflict> {
    let conflict = |why: String| RouteConflict { endpoint: index, why };
    router.insert(endpoint.path.as_str(), index).map_err(|error| conflict(error.to_string()))?;
    if let Some((above, _)) = endpoint.path.split_once("{*") {
        // `/{*rest}` is meant to match `/` too, which matchit leaves out. A template of its own
        // for that path stands first.
        if router.at(above).is_err() {
            router.insert(above, index).map_err(|error| conflict(error.to_string()))?;
        }
    }
    Ok(())
}

/// Adds an endpoint unless one with a better claim has its template already.
fn keep_first(router: &mut Router<usize>, endpoint: &Endpoint, index: usize) {
    if insert(router, endpoint, index).is_err() {
        // Whoever was first wins; that is the rule, not a fault.
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::{CacheRule, EndpointId, KeyRule};
    use super::*;

    fn endpoint(method: &str, path: &str) -> Endpoint {
        let methods = match method {
            "*" => Methods::Any,
            list => Methods::Listed(list.split(' ').map(|m| m.parse().unwrap()).collect()),
        };
        Endpoint {
            id: EndpointId::new(path),
            methods,
            path: path.to_owned(),
            label: None,
            parameters: Vec::new(),
            key: KeyRule::Every,
            cache: CacheRule::Off,
            when: Vec::new(),
            page_token: None,
        }
    }

    #[test]
    fn the_most_specific_endpoint_for_the_method_wins() {
        let table = RouteTable::new(&[
            endpoint("*", "/{*rest}"),
            endpoint("GET", "/limited/{group}/{key}"),
            endpoint("GET POST", "/limited/all/{key}"),
            endpoint("DELETE", "/limited/{group}/{key}"),
        ])
        .unwrap();
        for (method, path, expected) in [
            ("GET", "/limited/a/b", Some(1)),
            ("HEAD", "/limited/a/b", Some(1)),
            ("GET", "/limited/all/b", Some(2)),
            ("POST", "/limited/all/b", Some(2)),
            ("POST", "/limited/a/b", Some(0)),
            ("DELETE", "/limited/a/b", Some(3)),
            ("PURGE", "/limited/a/b", Some(0)),
            ("GET", "/limited/a", Some(0)),
            ("GET", "/", Some(0)),
        ] {
            let found = match table.find(&method.parse().unwrap(), path) {
                Route::Found { endpoint, .. } => Some(endpoint),
                _ => None,
            };
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn a_known_path_with_another_method_names_what_is_allowed() {
        let table =
            RouteTable::new(&[endpoint("GET", "/a/{b}"), endpoint("PUT", "/a/{b}")]).unwrap();
        let allow = "GET, HEAD, PUT".to_owned();
        assert_eq!(table.find(&Method::POST, "/a/1"), Route::MethodNotAllowed { allow });
        assert_eq!(table.find(&Method::GET, "/b"), Route::Unknown);
        let found = table.find(&Method::GET, "/a/x%2Fy");
        let Route::Found { endpoint: 0, captures } = found else { panic!("{found:?}") };
        assert_eq!(captures.iter().collect::<Vec<_>>(), [("b", "x%2Fy")]);
    }

    #[test]
    fn empty_segments_do_not_lead_past_a_more_specific_endpoint() {
        let table =
            RouteTable::new(&[endpoint("GET", "/limited/{k}"), endpoint("GET", "/{*rest}")])
                .unwrap();
        for (path, ambiguous) in [
            ("/limited/abc", false),
            ("//limited/abc", true),
            ("/limited//abc", true),
            ("/limited/abc/", true),
            ("/other//abc/", false),
            ("/", false),
        ] {
            assert_eq!(table.is_ambiguous(&Method::GET, path), ambiguous, "{path}");
        }
    }

    #[test]
    fn two_endpoints_for_one_method_and_template_are_a_conflict() {
        let conflict = RouteTable::new(&[endpoint("GET", "/a/{b}"), endpoint("GET", "/a/{c}")]);
        assert_eq!(conflict.unwrap_err().endpoint, 1);
    }
}
