//! From the raw path of a request to an operation, the way the real API reads it.
//!
//! The path is percent-decoded once, runs of `/` become one `/`, and only then routes are matched,
//! the session id taking every segment it can. The id is percent-decoded a second time. Hence:
//! a double-encoded id always arrives; one `/` inside survives any spelling; a raw or
//! single-encoded leading `/` or `//` loses a slash and names a session that does not exist; and
//! a path that was double-encoded as a whole is no path of this API.

use http::Method;

use super::operations::{OPERATIONS, Operation};
use super::query::decode;

const PREFIX: &str = "v2";
const SESSION: &str = "{sessionId}";

/// An operation and the path parameters it was asked with.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) operation: &'static Operation,
    /// The session id, decoded twice.
    pub(super) session: Option<String>,
    /// The other parameter (`userId`, `recordingId`, ...), decoded twice.
    pub(super) item: Option<String>,
}

/// What the request asks for; none = `This API endpoint is not recognized.`
pub(super) fn route(method: &Method, raw_path: &str) -> Option<Route> {
    let path = decode(raw_path);
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.first() != Some(&PREFIX) {
        return None;
    }
    segments.remove(0);
    OPERATIONS
        .iter()
        .filter(|operation| operation.method == *method)
        .filter_map(|operation| Some((literals(operation), matches(operation, &segments)?)))
        .max_by_key(|(literals, _)| *literals)
        .map(|(_, route)| route)
}

fn template(operation: &Operation) -> impl Iterator<Item = &'static str> {
    operation.path.split('/').filter(|segment| !segment.is_empty())
}

fn literals(operation: &Operation) -> usize {
    template(operation).filter(|segment| !segment.starts_with('{')).count()
}

fn matches(operation: &'static Operation, segments: &[&str]) -> Option<Route> {
    let mut route = Route { operation, session: None, item: None };
    let wanted = template(operation).count();
    let spare = segments.len().checked_sub(wanted)?;
    let mut rest = segments;
    for part in template(operation) {
        let width = if part == SESSION { 1 + spare } else { 1 };
        let (taken, after) = rest.split_at_checked(width)?;
        rest = after;
        match part {
            SESSION => route.session = Some(decode(&taken.join("/")).into_owned()),
            _ if part.starts_with('{') => route.item = Some(decode(taken.first()?).into_owned()),
            _ if taken != [part] => return None,
            _ => {}
        }
    }
    rest.is_empty().then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Option<(&'static str, Option<String>, Option<String>)> {
        route(&Method::GET, path).map(|found| (found.operation.id, found.session, found.item))
    }

    fn users(path: &str) -> String {
        let (id, session, _) = get(path).unwrap();
        assert_eq!(id, "sessionUsers", "{path}");
        session.unwrap()
    }

    #[test]
    fn every_spelling_of_an_id_is_read_as_the_real_api_reads_it() {
        for (spelling, read_as) in [
            ("abcd==", "abcd=="),
            ("abcd%3D%3d", "abcd=="),
            ("abcd%253D%253d", "abcd=="),
            ("a/b+c==", "a/b+c=="),
            ("a%2Fb%2Bc==", "a/b+c=="),
            ("a%252fb%252Bc%253D%253D", "a/b+c=="),
            ("a//b==", "a/b=="),
            ("a%2F%2Fb==", "a/b=="),
            ("a%252F%252Fb==", "a//b=="),
            ("/ab//cd+e==", "ab/cd+e=="),
            ("%2Fab==", "ab=="),
            ("%252Fab%253D%253D", "/ab=="),
            ("%252F%252Fab==", "//ab=="),
            ("%25252Fab==", "%2Fab=="),
        ] {
            assert_eq!(
                users(&format!("/v2/videosdk/sessions/{spelling}/users")),
                read_as,
                "{spelling}"
            );
        }
    }

    #[test]
    fn a_path_encoded_as_a_whole_is_not_recognised() {
        for path in [
            "/v2/%252Fvideosdk%252Fsessions%252Fabcd%253D%253D%252Fusers",
            "/v2/%2Fvideosdk%2Fmeetings",
            "/videosdk/sessions/abcd==/users",
            "/v2/videosdk/sessions/abcd==/nothing/here/users/x",
            "/v2/videosdk",
            "/v2",
            "/",
        ] {
            let found = get(path).map(|found| found.0);
            assert!(found.is_none() || found == Some("sessionDetail"), "{path}: {found:?}");
        }
        assert!(get("/v2/%252Fvideosdk%252Fsessions%252Fabcd%253D%253D%252Fusers").is_none());
        assert!(route(&Method::POST, "/v2/videosdk/sessions/abcd==/users").is_none());
    }

    #[test]
    fn the_most_literal_route_wins() {
        for (path, id) in [
            ("/v2/videosdk/sessions", "sessions"),
            ("/v2//videosdk//sessions/", "sessions"),
            ("/v2/videosdk/sessions/a/b==", "sessionDetail"),
            ("/v2/videosdk/sessions/a/b==/users/qos", "sessionUsersQOS"),
            ("/v2/videosdk/sessions/a/b==/users/sharing", "sessionParticipantShare"),
            ("/v2/videosdk/sessions/a/b==/users/7/qos", "sessionUserQOS"),
            ("/v2/videosdk/sessions/a/b==/recordings", "recordingGet"),
        ] {
            assert_eq!(get(path).unwrap().0, id, "{path}");
        }
        let found =
            route(&Method::PUT, "/v2/videosdk/sessions/a/b==/recordings/r%252F1/status").unwrap();
        assert_eq!(
            (found.operation.id, found.session.as_deref(), found.item.as_deref()),
            ("recordingStatusUpdateOne", Some("a/b=="), Some("r/1"))
        );
    }

    #[test]
    fn every_operation_is_reached_by_its_own_path() {
        for operation in OPERATIONS {
            let path = format!("/v2{}", operation.path.replace(['{', '}'], ""));
            let found = route(&operation.method, &path).unwrap();
            assert_eq!(found.operation.id, operation.id);
            assert_eq!(found.session.is_some(), operation.path.contains(SESSION));
        }
    }
}
