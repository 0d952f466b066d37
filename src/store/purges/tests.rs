use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::cache_key::{KeyRoot, KeySeed};
use crate::policy::credential::CredentialId;
use crate::policy::params::Canonical;

fn zoom() -> UpstreamId {
    UpstreamId::new("zoom")
}

fn key(client: Option<&str>, session: &str, kind: &str) -> CacheKey {
    let (credential, endpoint) = (CredentialId::new("account"), EndpointId::new("users"));
    let root = KeyRoot::new(zoom(), credential, endpoint, &KeySeed::fixed());
    let parameters = Canonical::of(&[("sessionId", session)], &[("type", kind)]);
    CacheKey::new(&Arc::new(root), client.map(Into::into), parameters)
}

const CURRENT: Verdict = Verdict::Current { at: Mark(0) };

/// The verdict, whatever it was checked up to.
fn plain(verdict: Verdict) -> Verdict {
    if let Verdict::Current { .. } = verdict { CURRENT } else { verdict }
}

/// Something to purge.
type Of = fn(&Purges) -> Scope;

#[test]
fn a_purge_hits_what_belongs_to_its_scope_and_nothing_else() {
    let fresh = Purges::default;
    let table: [(&str, Of, bool); 17] = [
        ("everything", |p| p.everything(), true),
        ("its endpoint", |p| p.endpoint(&zoom(), &EndpointId::new("users")), true),
        ("another endpoint", |p| p.endpoint(&zoom(), &EndpointId::new("user")), false),
        (
            "that of another upstream",
            |p| p.endpoint(&UpstreamId::new("zoo"), &EndpointId::new("users")),
            false,
        ),
        (
            "borders that moved",
            |p| p.endpoint(&UpstreamId::new("zoomu"), &EndpointId::new("sers")),
            false,
        ),
        ("its session", |p| p.parameter(&zoom(), "sessionId", "a/b="), true),
        ("encoded once", |p| p.parameter(&zoom(), "sessionId", "a%2Fb%3d"), true),
        ("encoded three times", |p| p.parameter(&zoom(), "sessionId", "a%25252Fb="), true),
        ("another session", |p| p.parameter(&zoom(), "sessionId", "a/b"), false),
        ("another parameter", |p| p.parameter(&zoom(), "id", "a/b="), false),
        ("its question", |p| p.question(&key(None, "a/b=", "live")), true),
        ("as another client asks it", |p| p.question(&key(Some("x"), "a/b=", "live")), true),
        ("another question", |p| p.question(&key(None, "a/b=", "past")), false),
        ("its first tag", |p| p.tag(&zoom(), "red"), true),
        ("its second tag", |p| p.tag(&zoom(), "Blue"), true),
        ("a tag spelt otherwise", |p| p.tag(&zoom(), "blue"), false),
        ("a tag called like its endpoint", |p| p.tag(&zoom(), "users"), false),
    ];
    for (what, scope, hits) in table {
        for mode in Mode::ALL {
            let purges = fresh();
            let scopes = purges.scopes(&key(Some("c"), "a/b=", "live"), ["red", "Blue"]);
            let made = purges.mark();
            let mark = purges.purge(scope(&purges), mode);
            let expected = match mode {
                _ if !hits => Verdict::Current { at: mark },
                Mode::Soft => Verdict::Stale,
                Mode::Hard => Verdict::Gone,
            };
            assert_eq!(purges.verdict(&scopes, made), expected, "{what}, {mode:?}");
            let later = Verdict::Current { at: mark };
            assert_eq!(purges.verdict(&scopes, purges.mark()), later, "asked for after: {what}");
        }
    }
}

#[test]
fn the_last_word_is_the_harder_one() {
    let purges = Purges::default();
    let (one, other) = (purges.tag(&zoom(), "1"), purges.tag(&zoom(), "2"));
    let both: Scopes = [one, other, one].into_iter().collect();
    assert_eq!(both.size(), 16 + 2 * 8);
    let first = purges.mark();
    let hard = purges.purge(one, Mode::Hard);
    let soft = purges.purge(other, Mode::Soft);
    assert_eq!(purges.verdict(&both, first), Verdict::Gone);
    assert_eq!(purges.verdict(&both, hard), Verdict::Stale);
    assert_eq!(purges.verdict(&both, soft), Verdict::Current { at: soft });
    // A soft purge takes nothing back of a hard one before it.
    let softer = purges.purge(one, Mode::Soft);
    assert_eq!(purges.verdict(&both, first), Verdict::Gone);
    assert_eq!(purges.verdict(&both, soft), Verdict::Stale);
    assert_eq!(purges.verdict(&both, softer), Verdict::Current { at: softer });
}

#[test]
fn an_entry_remembers_how_far_it_is_current_and_no_further() {
    let purges = Purges::default();
    let (own, other) = (purges.tag(&zoom(), "own"), purges.tag(&zoom(), "other"));
    let entry = Membership::new([own].into_iter().collect(), purges.mark());
    let later = purges.purge(other, Mode::Hard);
    assert_eq!(purges.judge(&entry), Verdict::Current { at: later });
    assert_eq!(entry.current_at(), later);
    purges.purge(own, Mode::Soft);
    for _ in 0..2 {
        assert_eq!(purges.judge(&entry), Verdict::Stale, "being looked at makes nothing current");
    }
    assert_eq!(entry.current_at(), later);
    purges.purge(own, Mode::Hard);
    assert_eq!(purges.judge(&entry), Verdict::Gone);
    assert_eq!(entry.size(), 8 + entry.scopes().size());
}

#[test]
fn where_nothing_was_purged_since_nothing_is_locked() {
    let purges = Purges::default();
    let entry = Membership::new(purges.scopes(&key(None, "a", "live"), []), purges.mark());
    purges.purge(purges.tag(&zoom(), "other"), Mode::Hard);
    let current = purges.judge(&entry);
    let locked = purges.shared.remembered.write();
    let (tell, told) = std::sync::mpsc::channel();
    let judging = purges.clone();
    let judge = std::thread::spawn(move || tell.send(judging.judge(&entry)));
    let verdict = told.recv_timeout(Duration::from_secs(10));
    drop(locked);
    assert_eq!(verdict, Ok(current), "it waits for the lock");
    judge.join().unwrap().unwrap();
}

#[test]
fn at_the_bound_the_older_half_is_forgotten_and_with_it_what_it_could_have_hit() {
    let purges = Purges::default();
    let tag = |n: usize| purges.tag(&zoom(), &n.to_string());
    let of = |n: usize| -> Scopes { [tag(n)].into_iter().collect() };
    let unheard_of = of(usize::MAX);
    let marks: Vec<Mark> = (0..MAX_REMEMBERED).map(|n| purges.purge(tag(n), Mode::Soft)).collect();
    assert_eq!(purges.len(), MAX_REMEMBERED);
    assert_eq!(plain(purges.verdict(&unheard_of, Mark(0))), CURRENT);

    // One that is remembered already needs no more room, and is the newest from then on.
    purges.purge(tag(0), Mode::Soft);
    assert_eq!(purges.len(), MAX_REMEMBERED);
    assert_eq!(purges.verdict(&of(1), Mark(0)), Verdict::Stale);

    purges.purge(tag(MAX_REMEMBERED), Mode::Hard);
    assert_eq!(purges.len(), MAX_REMEMBERED / 2 + 1);
    let half = MAX_REMEMBERED / 2;
    let floor = marks[half];
    for scopes in [of(1), of(half), of(half + 1), of(0), unheard_of] {
        assert_eq!(purges.verdict(&scopes, Mark(floor.0 - 1)), Verdict::Gone);
    }
    assert_eq!(plain(purges.verdict(&of(half), floor)), CURRENT);
    assert_eq!(purges.verdict(&of(half + 1), floor), Verdict::Stale);
    assert_eq!(purges.verdict(&of(0), floor), Verdict::Stale);
    assert_eq!(purges.verdict(&of(MAX_REMEMBERED), floor), Verdict::Gone);
}

#[test]
fn a_hard_purge_of_everything_leaves_nothing_to_remember() {
    let purges = Purges::default();
    for n in 0..100 {
        purges.purge(purges.tag(&zoom(), &n.to_string()), Mode::Hard);
    }
    let before = purges.mark();
    purges.purge(purges.everything(), Mode::Soft);
    assert_eq!(purges.verdict(&[].into_iter().collect(), before), Verdict::Stale);
    purges.purge(purges.everything(), Mode::Hard);
    assert!(purges.is_empty());
    assert_eq!(purges.verdict(&[].into_iter().collect(), before), Verdict::Gone);
}

#[test]
fn whoever_has_purged_finds_it_done_whatever_others_do() {
    let purges = Purges::default();
    let work = |n: usize| {
        let purges = purges.clone();
        move || {
            for round in 0..200 {
                let own = purges.tag(&zoom(), &format!("{n}-{round}"));
                let entry = Membership::new([own].into_iter().collect(), purges.mark());
                assert_eq!(plain(purges.judge(&entry)), CURRENT);
                let mark = purges.purge(own, Mode::Hard);
                assert!(mark > entry.current_at() && purges.mark() >= mark);
                assert_eq!(purges.judge(&entry), Verdict::Gone);
            }
        }
    };
    let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(work(n))).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((purges.mark(), purges.len()), (Mark(800), 800));
}

/// Every purge there ever was, in order.
#[derive(Default)]
struct Model(Vec<(usize, Mode)>);

/// The scope that stands for everything.
const EVERYTHING: usize = 0;

impl Model {
    fn verdict(&self, scopes: &[usize], made: usize) -> Verdict {
        let since = self.0.iter().skip(made);
        let hits = since.filter(|(of, _)| *of == EVERYTHING || scopes.contains(of));
        hits.fold(CURRENT, |worst, (_, mode)| match (worst, mode) {
            (Verdict::Gone, _) | (_, Mode::Hard) => Verdict::Gone,
            (_, Mode::Soft) => Verdict::Stale,
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Purge(usize, Mode),
    /// An entry with these scopes is asked for.
    Make(Vec<usize>),
    /// That entry is looked at.
    Look(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(Mode::Soft), Just(Mode::Hard)];
    prop_oneof![
        4 => (1..12_usize, mode.clone()).prop_map(|(of, mode)| Step::Purge(of, mode)),
        1 => mode.prop_map(|mode| Step::Purge(EVERYTHING, mode)),
        3 => prop::collection::vec(1..12_usize, 0..4).prop_map(Step::Make),
        6 => any::<prop::sample::Index>().prop_map(Step::Look),
    ]
}

/// Plays the steps; hands every verdict and the model's to `check`, with whether the entry was
/// looked at before.
fn play(most: usize, steps: &[Step], mut check: impl FnMut(Verdict, Verdict)) {
    let purges = Purges::remembering(most);
    let scope = |of: usize| match of {
        EVERYTHING => purges.everything(),
        other => purges.tag(&zoom(), &other.to_string()),
    };
    let (mut model, mut entries) = (Model::default(), Vec::new());
    for step in steps {
        match step {
            Step::Purge(of, mode) => {
                model.0.push((*of, *mode));
                assert_eq!(purges.purge(scope(*of), *mode), purges.mark());
            }
            Step::Make(of) => {
                let scopes = of.iter().map(|of| scope(*of)).collect();
                let entry = Membership::new(scopes, purges.mark());
                entries.push((entry, of.clone(), model.0.len()));
            }
            Step::Look(index) if !entries.is_empty() => {
                let (entry, of, made) = index.get(&entries);
                let expected = model.verdict(of, *made);
                let made = Mark(*made as u64);
                check(plain(purges.verdict(entry.scopes(), made)), expected);
                check(plain(purges.judge(entry)), expected);
            }
            Step::Look(_) => {}
        }
        assert!(purges.len() <= most);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn as_long_as_nothing_is_forgotten_the_verdict_is_the_models(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        play(64, &steps, |verdict, expected| assert_eq!(verdict, expected));
    }

    /// `Current` is never said of what a purge has hit, nor `Stale` of what a hard one has.
    #[test]
    fn forgetting_makes_a_verdict_harder_at_most(
        steps in prop::collection::vec(step(), 1..60),
        most in 2..5_usize,
    ) {
        let severity = |verdict| match verdict {
            Verdict::Current { .. } => 0,
            Verdict::Stale => 1,
            Verdict::Gone => 2,
        };
        play(most, &steps, |verdict, expected| {
            assert!(severity(verdict) >= severity(expected), "{verdict:?} for {expected:?}");
        });
    }
}
