//! Our reading of the caching rules beside that of another implementation.
//!
//! What the two are known to read differently is named in [`Case::excluded`] and its relatives, with
//! the section that decides. Of what the other does not know at all, nothing is asked: targeted
//! fields (RFC 9213), `stale-while-revalidate` (RFC 5861), fields of an answer's `Pragma`.

use std::cell::Cell;
use std::time::Instant;

use http::{Request, Response};
use http_cache_semantics::{BeforeRequest, CacheOptions, CachePolicy};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::policy::directives::RequestDirectives;
use crate::policy::freshness::{Freshness, Times};
use crate::policy::vary::Selector;

mod grammar;

use grammar::{Case, case};

/// The statuses that the other stores at all. RFC 9111, section 3: any final one may be stored, if
/// there is no `must-understand`.
const STATUSES: [u16; 14] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];

/// Name and argument of every directive, as the other reads them.
fn members(headers: &HeaderMap) -> Vec<(String, Option<String>)> {
    let lines = headers.get_all("cache-control").iter().map(|value| value.to_str().unwrap());
    let members = lines.flat_map(|line| line.split(',')).map(str::trim);
    let members =
        members.filter(|member| !member.is_empty()).map(|member| match member.split_once('=') {
            Some((name, argument)) => (name.to_owned(), Some(argument.to_owned())),
            None => (member.to_owned(), None),
        });
    members.collect()
}

/// Why the directives are not read alike, whoever sends them.
fn read_differently(headers: &HeaderMap) -> Option<&'static str> {
    let members = members(headers);
    for (name, argument) in &members {
        let others = members.iter().filter(|(other, _)| other == name);
        let twice = others.clone().any(|(_, value)| value != argument);
        // A quoted one is there compared with itself unquoted.
        let twice =
            twice || (others.count() > 1 && argument.as_ref().is_some_and(|a| a.contains('"')));
        let figure = argument.as_deref().unwrap_or_default();
        if name.to_ascii_lowercase() != *name {
            return Some("section 5.2: names of directives know no case; there they do");
        } else if twice {
            return Some(
                "section 4.2.1: the most restrictive counts; there the first, as if stale",
            );
        } else if figure.contains('"') && figure.matches('"').count() != 2 {
            return Some("RFC 9110, section 5.6.4: there a comma separates in quotes too");
        } else if figure.starts_with(['+', ' ']) {
            return Some(
                "section 1.2.2: a figure is digits and nothing else; there a sign will do",
            );
        } else if figure.parse::<u64>().is_err() && figure.len() > 18 {
            return Some("section 1.2.2: a figure too large is the largest; there it is none");
        }
    }
    None
}

impl Case {
    fn says(&self, directive: &str) -> bool {
        members(&self.answer).iter().any(|(name, _)| name == directive)
    }

    fn has(&self, name: &str) -> bool {
        self.answer.contains_key(name)
    }

    fn varies_on_everything(&self) -> bool {
        self.answer.get("vary").is_some_and(|vary| vary.as_bytes().contains(&b'*'))
    }

    /// Neither is to be compared by anything.
    fn excluded(&self) -> Option<&'static str> {
        let valueless = |wanted: &str| {
            members(&self.answer).iter().any(|(name, value)| name == wanted && value.is_none())
        };
        if let Some(why) = read_differently(&self.answer) {
            Some(why)
        } else if valueless("max-age") || valueless("s-maxage") {
            Some("section 4.2.1: what cannot be read is stale; there it is not there")
        } else if self.says("must-understand") {
            Some("section 5.2.2.3: `must-understand` is not known there")
        } else {
            None
        }
    }

    /// The lifetimes are not to be compared.
    fn lives_differently(&self) -> Option<&'static str> {
        let qualified = members(&self.answer)
            .iter()
            .any(|(name, argument)| name == "no-cache" && argument.is_some());
        let decides = !(self.says("max-age") || self.says("s-maxage"));
        let foreign = |name: &str| {
            let text = self.answer.get(name).map(|value| value.to_str().unwrap());
            text.is_some_and(|text| {
                text.ends_with("PST") || text.ends_with("2026") || text.starts_with("Tuesday")
            })
        };
        if qualified {
            Some("section 5.2.2.4: with names, it is about these fields; there about all")
        } else if self.says("proxy-revalidate") {
            Some("section 5.2.2.8: it says something about what is stale; there nothing is fresh")
        } else if self.has("set-cookie") {
            Some("section 7.3: a cookie forbids nothing; our rule is asked instead")
        } else if decides && ["expires", "date", "last-modified"].into_iter().any(foreign) {
            Some("RFC 9110, section 5.6.7: three forms, all in GMT; there one, in any zone")
        } else if decides && self.answer.get_all("expires").iter().count() > 1 {
            Some("section 4.2.1: more than one cannot be believed; there the first is")
        } else {
            None
        }
    }

    /// The ages are not to be compared.
    fn ages_differently(&self) -> Option<&'static str> {
        let age = self.answer.get("age").map(|value| value.to_str().unwrap());
        let date = self.answer.get("date").and_then(http_date);
        if age.is_some_and(|age| age.contains(['+', ','])) {
            Some("section 5.1: the first member counts, and a sign belongs to none")
        } else if age.is_some_and(|age| age.len() > 18) {
            Some("section 1.2.2: too large is the largest; there it is no age at all")
        } else if date.is_some_and(|date| date < at(NOW)) {
            Some("section 4.2.3: the apparent age is not known there")
        } else {
            None
        }
    }

    /// What the second request gets is not to be compared.
    fn wishes_differently(&self, kept: &Storable, age: Duration) -> Option<&'static str> {
        let wishes = RequestDirectives::of(&self.second);
        let members = members(&self.second);
        let unread = |(_, argument): &(String, Option<String>)| argument.as_deref() == Some("x");
        let by = age.checked_sub(kept.lifetimes.fresh);
        if let Some(why) = read_differently(&self.second) {
            Some(why)
        } else if members.iter().any(unread) {
            Some("section 4.2.1: what cannot be read asks for the most; there for nothing")
        } else if self.second.contains_key("pragma") && !members.is_empty() {
            Some("section 5.4: beside Cache-Control, Pragma says nothing; there it does")
        } else if wishes.max_stale.is_some() && by == wishes.max_stale {
            Some("section 5.2.1.2: by no more than so much; there by less")
        } else if kept.stale == Stale::Forbidden && !self.says("must-revalidate") {
            Some("section 4.2.4: only `must-revalidate` forbids there")
        } else if kept.immutable && wishes.max_age.is_some() {
            Some("RFC 8246: not known there for requests")
        } else {
            None
        }
    }

    fn ours(&self) -> Option<Storable> {
        let shown = self.first.contains_key("authorization");
        let authorized = if shown { Authorized::Yes } else { Authorized::No };
        let (set_cookie, wall, delay) = (self.set_cookie, at(NOW), Duration::ZERO);
        let arrival = Arrival { authorized, set_cookie, wall, delay };
        let status = StatusCode::from_u16(self.status).unwrap();
        let forbidden = RequestDirectives::of(&self.first).no_store;
        storable(status, &self.answer, &arrival).filter(|_| !forbidden)
    }

    fn theirs(&self, answer: &HeaderMap) -> CachePolicy {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        *response.headers_mut() = answer.clone();
        let options = CacheOptions {
            shared: true,
            cache_heuristic: 0.1,
            immutable_min_time_to_live: Duration::ZERO,
            ignore_cargo_cult: false,
        };
        CachePolicy::new_options(&asking(&self.first), &response, at(NOW), options)
    }

    /// Whether the second request is answered without asking.
    fn ours_serves(&self, kept: &Storable, made_at: Instant) -> bool {
        let times = Times {
            made_at,
            initial_age: kept.initial_age,
            lifetimes: kept.lifetimes,
            oldest_age: None,
            stale: kept.stale,
            immutable: kept.immutable,
            keep: Duration::ZERO,
        };
        let selected = match &kept.vary {
            Vary::On(names) => Selector::of(names, &self.first).selects(&self.second),
            Vary::Nothing | Vary::Everything => true,
        };
        let now = made_at + Duration::from_secs(self.later);
        let wishes = RequestDirectives::of(&self.second);
        let found = times.wished(times.freshness(now), &wishes, now);
        selected && matches!(found, Freshness::Fresh { .. } | Freshness::StaleAsWished { .. })
    }
}

fn asking(headers: &HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    request
}

/// How many cases each comparison has seen.
#[derive(Default)]
struct Seen {
    storable: Cell<u32>,
    lifetime: Cell<u32>,
    age: Cell<u32>,
    reuse: Cell<u32>,
    reused: Cell<u32>,
}

fn count(seen: &Cell<u32>) {
    seen.set(seen.get() + 1);
}

fn compare(case: &Case, made_at: Instant, seen: &Seen) -> Result<(), TestCaseError> {
    if case.excluded().is_some() || read_differently(&case.first).is_some() {
        return Ok(());
    }
    let (ours, theirs) = (case.ours(), case.theirs(&case.answer));
    let mut ageless = case.answer.clone();
    ageless.remove("age");
    let lifetime = case.theirs(&ageless).time_to_live(at(NOW));
    if case.varies_on_everything() {
        // Section 4.1: it never matches; here it is therefore not stored.
        prop_assert_eq!(&ours, &None);
        return Ok(());
    }
    let by_our_rule = case.has("set-cookie") && case.set_cookie == SetCookie::Private;
    let useful = !lifetime.is_zero() || has_validator(&case.answer);
    let Some(kept) = ours else {
        let of_no_use = by_our_rule || !useful || case.lives_differently().is_some();
        prop_assert!(of_no_use || !theirs.is_storable(), "we do not store it");
        count(&seen.storable);
        return Ok(());
    };
    prop_assert!(!by_our_rule);
    if !STATUSES.contains(&case.status) {
        return Ok(());
    }
    prop_assert!(theirs.is_storable(), "we store it: {kept:?}");
    count(&seen.storable);

    if case.lives_differently().is_some() {
        return Ok(());
    }
    let explicit = case.says("max-age") || case.says("s-maxage") || case.has("expires");
    if explicit {
        prop_assert_eq!(kept.lifetimes.fresh, lifetime.min(Duration::from_secs(1 << 31)));
    } else {
        // Section 4.2.2: guessed by both, here for a day at most; there in whole seconds.
        let lifetime = lifetime.min(Duration::from_hours(24));
        prop_assert!(kept.lifetimes.fresh.abs_diff(lifetime) < Duration::from_secs(1));
    }
    count(&seen.lifetime);

    if case.ages_differently().is_some() {
        return Ok(());
    }
    prop_assert_eq!(kept.initial_age, theirs.age(at(NOW)));
    count(&seen.age);

    let age = kept.initial_age + Duration::from_secs(case.later);
    if !explicit || case.wishes_differently(&kept, age).is_some() {
        return Ok(());
    }
    let later = at(NOW + case.later);
    let there = theirs.before_request(&asking(&case.second), later);
    let served = matches!(there, BeforeRequest::Fresh(_));
    prop_assert_eq!(case.ours_serves(&kept, made_at), served, "kept as {:?}", kept);
    count(&seen.reuse);
    if served {
        count(&seen.reused);
    }
    Ok(())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
fn another_implementation_judges_alike() {
    let cases = Config::default().cases.max(6000);
    let (seen, made_at) = (Seen::default(), Instant::now());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&case(), |case| compare(&case, made_at, &seen));
    if let Err(error) = result {
        panic!("{error}");
    }
    let Seen { storable, lifetime, age, reuse, reused } = seen;
    let counts = [&storable, &lifetime, &age, &reuse, &reused].map(Cell::get);
    println!("of {cases} cases, compared: {counts:?}");
    // Not so many are excluded that nothing is compared.
    for (count, one_in) in counts.into_iter().zip([2, 8, 12, 24, 60]) {
        assert!(count > cases / one_in, "of {cases} cases, compared: {counts:?}");
    }
}
