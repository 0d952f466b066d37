//! The budget as a whole, simulated: our layer and limiter between clients by chance and an
//! upstream that counts strictly, on paused time. Every file in `tests/scenarios` is a scenario
//! with the ranges that hold for every seed; a new file is a new scenario.
//!
//! `WEIR_SCENARIO=name cargo test --lib scenario -- --nocapture` runs those whose name contains
//! that, and shows what was measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use parking_lot::Mutex;

mod plan;
mod runner;
mod tally;
mod upstream;

use plan::{Plan, Range};
use tally::Measured;

fn plans() -> Vec<Plan> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut plans = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let plan = toml::from_str(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            plans.push(Plan { name, ..plan });
        }
    }
    assert!(plans.len() > 10, "the scenarios were not found");
    // The longest first, so that no core is idle at the end.
    plans.sort_by(|a, b| b.lasts.0.cmp(&a.lasts.0).then_with(|| a.name.cmp(&b.name)));
    plans
}

/// What has to be so in every scenario, unless it says otherwise.
fn always(plan: &Plan) -> BTreeMap<String, Range> {
    let at_most = |max| Range { min: None, max: Some(max) };
    let per_second = f64::from(plan.upstream.per_second);
    [
        ("largest_second".to_owned(), at_most(per_second)),
        ("spent_less_seen".to_owned(), Range { min: Some(0.0), max: Some(0.0) }),
        ("ledger_less_seen".to_owned(), Range { min: Some(0.0), max: Some(0.0) }),
        ("refused.draining".to_owned(), at_most(0.0)),
    ]
    .into()
}

/// Everything that is out of its range, one a line.
fn objections(plan: &Plan, seed: u64, measured: &Measured) -> String {
    let mut expected = always(plan);
    expected.extend(plan.expect.iter().map(|(name, range)| (name.clone(), *range)));
    let mut wrong = String::new();
    for (field, range) in expected {
        let Some(&value) = measured.get(&field) else {
            writeln!(wrong, "{}: nobody measures {field}", plan.name).unwrap();
            continue;
        };
        if !range.holds(value) {
            let (name, Range { min, max }) = (&plan.name, range);
            let end = |end: Option<f64>| end.map_or("any".to_owned(), |end| end.to_string());
            let range = format!("{}..{}", end(min), end(max));
            writeln!(wrong, "{name}, seed {seed}: {field} = {value}, not in {range}").unwrap();
        }
    }
    wrong
}

fn simulate(plan: &Plan, seed: u64) -> Measured {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(runner::run(plan, seed))
}

#[test]
fn every_scenario_holds_for_every_seed() {
    #[expect(clippy::disallowed_methods, reason = "which scenario a person wants to look at")]
    let wanted = std::env::var("WEIR_SCENARIO").unwrap_or_default();
    let plans: Vec<_> = plans().into_iter().filter(|plan| plan.name.contains(&wanted)).collect();
    let runs: Vec<_> =
        plans.iter().flat_map(|plan| (0..plan.seeds).map(move |seed| (plan, seed))).collect();
    let (next, wrong) = (Mutex::new(runs.into_iter()), Mutex::new(String::new()));
    let all: Mutex<BTreeMap<&str, Vec<Measured>>> = Mutex::default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let Some((plan, seed)) = next.lock().next() else { break };
                    let measured = simulate(plan, seed);
                    wrong.lock().push_str(&objections(plan, seed, &measured));
                    all.lock().entry(&plan.name).or_default().push(measured);
                }
            });
        }
    });
    for plan in &plans {
        println!("{}: {}", plan.name, plan.shows);
        println!("{}", summary(&all.lock()[&*plan.name]));
    }
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The least and the most of everything that was measured.
fn summary(runs: &[Measured]) -> String {
    let mut text = String::new();
    for name in runs[0].keys() {
        let values = || runs.iter().map(|measured| measured[name]);
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        if most != 0.0 {
            writeln!(text, "    {name}: {least:.4}..{most:.4}").unwrap();
        }
    }
    text
}
