//! THE FAST WAY of a hit: the same layers, asked as functions.
//!
//! The stack costs a hit five times what finding the answer does: a request, an answer and a future
//! are built for layers that will have nothing to say. Here a bare GET asks the same questions in
//! the same order, of the same functions, and what the fields of a request mean is found out once
//! for all requests of a connection that carry the same fields. Whatever is not a plain hit is
//! left to the stack, untouched: nothing has been counted, spent or said by then.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue,
    IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};

use super::{NEW_ID_LENGTH, new_request_id, sane_request_id};
use crate::http::Body;
use crate::layers::cache::{Hit, Memory, Sought};
use crate::layers::observe::{Facts, Witness};
use crate::layers::vet::{Rules, vet};
use crate::layers::{identify, route};
use crate::metrics::CacheResult;
use crate::peer::{PeerAddr, PeerCertificate};
use crate::policy::framing::fields;
use crate::policy::listing::Extent;
use crate::serve::{Bare, Express, Seat};
use crate::store::entry::Asks;
use crate::world::{Client, Clients, World};

/// What all connections share.
#[derive(Clone, Debug)]
pub(super) struct FastWay {
    pub(super) witness: Arc<Witness>,
    pub(super) memory: Memory,
    pub(super) rules: Arc<Rules>,
    pub(super) via: HeaderValue,
}

impl Express for FastWay {
    fn seat(&self, peer: PeerAddr, certificate: Option<&PeerCertificate>) -> Box<dyn Seat> {
        Box::new(Seated { way: self.clone(), peer, certificate: certificate.cloned(), known: None })
    }
}

/// One connection's place.
struct Seated {
    way: FastWay,
    peer: PeerAddr,
    certificate: Option<PeerCertificate>,
    known: Option<Known>,
}

/// What a request's fields mean, by one configuration.
struct Known {
    text: Box<[u8]>,
    world: Arc<World>,
    meaning: Option<Meaning>,
}

/// None of a request whose fields ask for more than a plain answer.
struct Meaning {
    client: Arc<Client>,
    headers: HeaderMap,
    /// A credential that is not for us. It may be for an upstream.
    authorization: bool,
    request_id: Option<HeaderValue>,
}

/// Who sends one of these wants more than an answer as it is, or has more to say.
const WANTS_MORE: [HeaderName; 10] = [
    IF_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Longer fields are not remembered.
const LONGEST_KNOWN: usize = 4096;

impl Seat for Seated {
    fn answer(&mut self, request: Bare<'_>, head: &mut Vec<u8>) -> Option<Bytes> {
        let arrived = self.way.witness.clock.now();
        self.learn(request.fields);
        let Self { way, known, .. } = self;
        let Known { world, meaning, .. } = known.as_ref()?;
        let Meaning { client, headers, authorization, request_id } = meaning.as_ref()?;
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target, None),
        };
        let method = &Method::GET;
        let asks = route::Asks { method, path, query };
        let located = route::locate(world, client, asks, |_| {}).ok()?;
        let route::Located { route, key, extent: Extent::Page } = located else { return None };
        if *authorization && !route::is_ours(&world.clients, &route) {
            return None;
        }
        let sought = Sought { method, route: &route, key: &key, headers };
        let hit = way.memory.hit(sought, arrived)?;
        // From here on it is answered.
        client.check_quota().ok()?;
        if let Some(label) = &route.label {
            label.metrics.saved(client.index);
        }
        let mut made = [0; NEW_ID_LENGTH];
        let request_id = match request_id {
            Some(given) => given.to_str().unwrap_or_default(),
            None => new_request_id(way.witness.clock.wall(), &mut made),
        };
        let own = [("x-request-id", request_id.as_bytes()), ("via", way.via.as_bytes())];
        let (status, body) = write(head, &hit, headers, arrived, &own);
        way.witness.tell(&Facts {
            world,
            arrived,
            method,
            request_id,
            route: Some(&route),
            client: Some(client),
            cache: Some(CacheResult::Hit),
            wait: None,
            upstream: None,
            status: status.as_u16(),
            bytes: Some(body.len() as u64),
        });
        Some(body)
    }
}

impl Seated {
    /// Finds out what the fields mean, unless they are the last request's.
    fn learn(&mut self, fields: &[u8]) {
        let world = self.way.witness.world.load();
        let is_known = |known: &Known| *known.text == *fields && Arc::ptr_eq(&known.world, &world);
        if self.known.as_ref().is_some_and(is_known) {
            return;
        }
        self.known = (fields.len() <= LONGEST_KNOWN).then(|| Known {
            text: fields.into(),
            world: Arc::clone(&world),
            meaning: self.meaning(&world, fields),
        });
    }

    fn meaning(&self, world: &World, text: &[u8]) -> Option<Meaning> {
        let (mut head, ()) = Request::new(()).into_parts();
        for (name, value) in fields(text) {
            let (name, value) =
                (HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value));
            head.headers.append(name, value.ok()?);
        }
        let closes = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
        if WANTS_MORE.iter().any(|name| head.headers.contains_key(name))
            || head.headers.get_all(CONNECTION).iter().any(closes)
        {
            return None;
        }
        let request_id = sane_request_id(&head.headers).cloned();
        head.extensions.insert(self.peer);
        vet(&mut head, &self.way.rules).ok()?;
        let mut headers = head.headers;
        if let Clients::Keyed(roster) = &world.clients
            && !roster.is_lasting(&headers)
        {
            return None;
        }
        let client =
            identify::client(&world.clients, &mut headers, self.certificate.as_ref()).ok()?;
        route::end_to_end(&mut headers);
        let authorization = headers.remove(AUTHORIZATION).is_some();
        Some(Meaning { client, headers, authorization, request_id })
    }
}

/// Appends the head of the answer, as the stack would say it; its status and its body.
fn write(
    head: &mut Vec<u8>,
    hit: &Hit,
    headers: &HeaderMap,
    now: Instant,
    own: &[(&str, &[u8])],
) -> (StatusCode, Bytes) {
    let entry = &hit.entry;
    let asks = Asks::of(&Method::GET, headers);
    let (status, body) = if asks.is_for_the_whole() {
        let prepared = entry.prepared(headers);
        head.extend_from_slice(prepared.head);
        let age = entry.times().age(now).as_secs();
        field(head, "age", itoa::Buffer::new().format(age).as_bytes());
        (entry.status(), prepared.body.clone())
    } else {
        spelt_out(head, entry.answer(&asks, now))
    };
    head.extend_from_slice(b"cache-status: ");
    hit.write_status(head);
    head.extend_from_slice(b"\r\n");
    for (name, value) in own {
        field(head, name, value);
    }
    head.extend_from_slice(b"\r\n");
    (status, body)
}

/// What is not the whole answer is put together for each who asks.
fn spelt_out(head: &mut Vec<u8>, answer: Response<Body>) -> (StatusCode, Bytes) {
    let status = answer.status();
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in answer.headers() {
        field(head, name.as_str(), value.as_bytes());
    }
    let body = match answer.into_body() {
        Body::Full(body) => body,
        Body::Empty | Body::Stream(_) => Bytes::new(),
    };
    (status, body)
}

fn field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}
