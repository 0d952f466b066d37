//! `Vary`: one question with several answers (RFC 9111, section 4.1).

use super::crowd::{CROWD, WHILE, asking, burst, respecting, slow, texts};
use super::*;

/// The languages that are asked for; the last of those who ask says nothing of it.
const LANGUAGES: [Option<&str>; 5] = [Some("de"), Some("fr"), Some("it"), Some("tr"), None];

fn speaking(rig: &Rig, language: Option<&str>) -> RoutedRequest {
    match language {
        Some(language) => asking(rig.get(), &[("accept-language", language)]),
        None => rig.get(),
    }
}

fn language(question: &FetchRequest) -> String {
    let language = question.headers.get("accept-language");
    language.map_or("any", |language| language.to_str().unwrap()).to_owned()
}

const VARYING: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("vary", "accept-language")];

#[tokio::test(start_paused = true)]
async fn each_form_of_a_cold_question_is_asked_once_and_everybody_gets_their_own() {
    let rig = respecting();
    let fake = slow(|_, question| Ok(answer(200, &VARYING, language(question))));
    let cache = rig.cached(fake.clone());
    let one = |n: usize| speaking(&rig, LANGUAGES[n % LANGUAGES.len()]);
    let (answers, took) = burst(&rig, &cache, one).await;
    // The first to land says what they have not in common; then the others ask side by side.
    assert_eq!((fake.calls(), took), (LANGUAGES.len(), 2 * WHILE));
    for (n, told) in texts(answers).await.into_iter().enumerate() {
        assert_eq!(told, LANGUAGES[n % LANGUAGES.len()].unwrap_or("any"));
    }
    assert_eq!(rig.saved(), (CROWD - LANGUAGES.len()) as u64);

    let late = send(&cache, speaking(&rig, Some("sv"))).await.unwrap();
    assert_eq!(status(&late), "weir; fwd=miss; fwd-status=200; stored");
    assert_eq!((text(late).await.as_str(), fake.calls()), ("sv", LANGUAGES.len() + 1));
    for language in LANGUAGES.into_iter().chain([Some("sv"), Some(" SV;q=1")]) {
        let hit = send(&cache, speaking(&rig, language)).await.unwrap();
        assert!(status(&hit).starts_with("weir; hit; ttl=5"), "{language:?}: {}", status(&hit));
        let expected =
            language.map_or("any", |language| if language.len() > 2 { "sv" } else { language });
        assert_eq!(text(hit).await, expected);
    }
    assert_eq!(fake.calls(), LANGUAGES.len() + 1);
}

/// The number of answers to one question that are kept.
const MOST: usize = 32;

#[tokio::test(start_paused = true)]
async fn of_too_many_forms_the_one_stored_longest_ago_goes() {
    let rig = respecting();
    let fake = Fake::new(|_, question: FetchRequest| async move {
        Ok(answer(200, &VARYING, language(&question)))
    });
    let cache = rig.cached(fake.clone());
    let ask = async |n: usize| {
        let language = format!("x-{n}");
        let told = send(&cache, speaking(&rig, Some(&language))).await.unwrap();
        let is_hit = status(&told).starts_with("weir; hit");
        assert_eq!(text(told).await, language);
        is_hit
    };
    for n in 0..=MOST {
        assert!(!ask(n).await, "{n} is new");
    }
    for n in 1..=MOST {
        assert!(ask(n).await, "{n} is kept");
    }
    assert!(!ask(0).await, "the first had to go");
    assert!(!ask(1).await, "and now the second");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_vary_replaces_all() {
    let rig = respecting();
    let fake = Fake::new(|n, question: FetchRequest| async move {
        let fields = if n == 2 { &VARYING[..1] } else { &VARYING[..] };
        Ok(answer(200, fields, format!("{} {n}", language(&question))))
    });
    let cache = rig.cached(fake.clone());
    for (wish, language, expected) in [
        ("", "de", "de 0"),
        ("", "fr", "fr 1"),
        ("", "de", "de 0"),
        ("", "it", "it 2"),
        ("", "de", "it 2"),
        ("", "fr", "it 2"),
        // And what it has replaced does not come back when the answers vary again.
        ("no-cache", "it", "it 3"),
        ("", "de", "de 4"),
        ("", "it", "it 3"),
    ] {
        let request = speaking(&rig, Some(language));
        let told = send(&cache, asking(request, &[("cache-control", wish)])).await.unwrap();
        assert_eq!(text(told).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn one_form_is_replaced_by_its_own_successor_and_the_others_stay() {
    let rig = respecting();
    let fake = Fake::new(|n, question: FetchRequest| async move {
        Ok(answer(200, &VARYING, format!("{} {n}", language(&question))))
    });
    let cache = rig.cached(fake.clone());
    for (wish, language, expected) in [
        ("", "de", "de 0"),
        ("", "fr", "fr 1"),
        ("no-cache", "de", "de 2"),
        ("", "de", "de 2"),
        ("", "fr", "fr 1"),
    ] {
        let request = speaking(&rig, Some(language));
        let told = send(&cache, asking(request, &[("cache-control", wish)])).await.unwrap();
        assert_eq!(text(told).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_everything_is_for_the_one_who_asked() {
    for vary in ["*", "accept-language, *", "authorization"] {
        let rig = respecting();
        let fake = slow(move |n, _| {
            let fields = [("cache-control", "public, max-age=60"), ("vary", vary)];
            Ok(answer(200, &fields, n.to_string()))
        });
        let cache = rig.cached(fake.clone());
        let (answers, took) = burst(&rig, &cache, |_| rig.get()).await;
        let mut told = texts(answers).await;
        told.sort_unstable();
        told.dedup();
        assert_eq!((told.len(), fake.calls(), took), (CROWD, CROWD, 2 * WHILE), "{vary}");
        assert_eq!((rig.saved(), cache.state.entries.usage().0), (0, 0));
    }
}
