//! The clients, and one run of a scenario from its first request to its last answer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use http::Method;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::plan::{self, Asker, Plan};
use super::tally::{End, Measured, Tally, Totals};
use super::upstream::Upstream;
use crate::error::GatewayError;
use crate::layers::limit::{Limit, LimitLayer};
use crate::layers::testing::{Fake, Rig, SECOND, label, send};
use crate::policy::endpoint::Priority;
use crate::policy::share::{ClientId, Percent, Reserve, Share};
use crate::request::FetchRequest;
use crate::store::limiter::LabelIndex;
use crate::world::Client;
use tower::Layer as _;

/// Everything that a client's tasks share.
struct Field {
    rig: Rig,
    limit: Limit<Fake<FetchRequest>>,
    upstream: Arc<Upstream>,
    label: LabelIndex,
    tally: Mutex<Tally>,
    end: Instant,
}

/// Runs a scenario once.
pub(super) async fn run(plan: &Plan, seed: u64) -> Measured {
    let mut luck = Rng::with_seed(seed);
    let rig = rig(plan);
    let upstream = Upstream::new(plan, &rig.clock, luck.fork());
    let fake = {
        let upstream = Arc::clone(&upstream);
        Fake::new(move |_, request| Arc::clone(&upstream).serve(request))
    };
    let limit = LimitLayer::new(rig.clock.clone()).layer(fake);
    let label = rig.route.label.as_ref().unwrap().index;
    let begin = rig.clock.now();
    let end = begin + plan.lasts.0;
    let tally = Mutex::new(Tally::new(plan.client.len(), begin + plan.warm_up.0, end));
    let field = Arc::new(Field { rig, limit, upstream, label, tally, end });
    let mut tasks = JoinSet::new();
    for (index, asker) in plan.client.iter().enumerate() {
        let client = Arc::new(Client::new(index, share(asker), None, &field.rig.clock));
        for _ in 0..asker.at_a_time {
            let (field, client) = (Arc::clone(&field), Arc::clone(&client));
            tasks.spawn(one_after_the_other(field, client, asker.clone(), luck.fork()));
        }
        if asker.at_a_time == 0 {
            tasks.spawn(by_chance(Arc::clone(&field), client, asker.clone(), luck.fork()));
        }
    }
    tasks.spawn(compare(Arc::clone(&field)));
    let midnight = arrived_at_last_midnight(plan, &field).await;
    tokio::time::sleep_until(field.rig.clock.timer(end)).await;
    field.tally.lock().stops(end);
    let at_end = field.upstream.books().seen.clone();
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let (after, today) = {
        let books = field.upstream.books();
        (books.seen.clone(), books.spent_today())
    };
    let status = field.rig.upstream().limiter.status(field.label).unwrap();
    let of_client = |asker: &Asker| {
        let client = &asker.name;
        let series = "weir_limit_spent_total{upstream=\"zoom\",label=\"heavy\",client=";
        u32::try_from(field.rig.counted(&format!("{series}\"{client}\"}}"))).unwrap()
    };
    let totals = Totals {
        arrived_today: after.arrived - midnight,
        at_end,
        after,
        today,
        ledger: status.day.unwrap().spent,
        metrics: plan.client.iter().map(of_client).sum(),
    };
    field.tally.lock().measured(plan, &totals)
}

fn rig(plan: &Plan) -> Rig {
    let budget = &plan.budget;
    let percent = |percent: u16| Percent::from_tenths(percent * 10).unwrap();
    Rig::with(|setup| {
        let mut spec = label(budget.per_second, budget.max_wait.0);
        spec.max_queue = budget.max_queue;
        setup.label = Some(spec);
        setup.per_day = budget.per_day;
        setup.reserve =
            Reserve { high: percent(budget.reserve_high), normal: percent(budget.reserve_normal) };
        setup.clients = plan.client.iter().map(|asker| asker.name.as_str().into()).collect();
        setup.starts = plan.starts.0;
    })
}

fn share(asker: &Asker) -> Share {
    let priority = match asker.priority {
        plan::Priority::High => Priority::High,
        plan::Priority::Normal => Priority::Normal,
        plan::Priority::Low => Priority::Low,
    };
    Share {
        client: ClientId::new(asker.name.as_str()),
        weight: NonZeroU32::new(asker.weight).unwrap(),
        priority,
        daily: asker.daily_share.map(|percent| Percent::from_tenths(percent * 10).unwrap()),
    }
}

/// How many had arrived when our last day began.
async fn arrived_at_last_midnight(plan: &Plan, field: &Field) -> u32 {
    let day =
        |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let last = day(plan.starts.0 + plan.lasts.0);
    if day(plan.starts.0) == last {
        return 0;
    }
    let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(last * 86_400);
    tokio::time::sleep(midnight.duration_since(field.rig.clock.wall()).unwrap()).await;
    field.upstream.books().seen.arrived
}

/// Compares our count of what is left with the upstream's, every minute.
async fn compare(field: Arc<Field>) {
    while field.rig.clock.now() + 60 * SECOND < field.end {
        tokio::time::sleep(60 * SECOND).await;
        let ours = field.rig.left().1;
        field.tally.lock().apart(ours.abs_diff(field.upstream.left()));
    }
}

/// How long until a client's hours begin; none if it may ask now.
fn sleeps(asker: &Asker, wall: SystemTime) -> Option<Duration> {
    let (from, to) = asker.hours;
    let today = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() % 86_400;
    let (from, to) = (from * 3600, to * 3600);
    let awake = (from..to).contains(&today);
    (!awake).then(|| Duration::from_secs((from + 86_400 - today) % 86_400))
}

/// As long by chance as a Poisson process leaves between two of its events.
fn pause(luck: &mut Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - luck.f64()).ln())
}

/// Asks, and asks again after it was answered.
async fn one_after_the_other(field: Arc<Field>, client: Arc<Client>, asker: Asker, mut luck: Rng) {
    while field.rig.clock.now() < field.end {
        if let Some(until) = sleeps(&asker, field.rig.clock.wall()) {
            tokio::time::sleep(until).await;
            continue;
        }
        let end = ask(&field, &client).await;
        let mean = if matches!(end, End::Answered) { asker.thinks.0 } else { asker.backs_off.0 };
        if !mean.is_zero() {
            tokio::time::sleep(pause(&mut luck, mean)).await;
        }
    }
}

/// Asks whenever it comes to its mind, whatever became of the last request.
async fn by_chance(field: Arc<Field>, client: Arc<Client>, asker: Asker, mut luck: Rng) {
    let mean = Duration::from_secs_f64(1.0 / asker.per_second);
    let mut under_way = JoinSet::new();
    loop {
        tokio::time::sleep(pause(&mut luck, mean)).await;
        if field.rig.clock.now() >= field.end {
            break;
        }
        if let Some(until) = sleeps(&asker, field.rig.clock.wall()) {
            tokio::time::sleep(until).await;
            continue;
        }
        while under_way.try_join_next().is_some_and(|ended| ended.is_ok()) {}
        let (field, client) = (Arc::clone(&field), Arc::clone(&client));
        under_way.spawn(async move { ask(&field, &client).await });
    }
    while let Some(ended) = under_way.join_next().await {
        ended.unwrap();
    }
}

async fn ask(field: &Field, client: &Arc<Client>) -> End {
    let clock = &field.rig.clock;
    let left = field.upstream.left_to_us();
    field.tally.lock().asks(client.index, left, clock.now());
    let request = FetchRequest { client: Arc::clone(client), ..field.rig.fetch(Method::GET) };
    let record = Arc::clone(&request.record);
    let end = match send(&field.limit, request).await {
        Ok(answer) if answer.status() == 200 => End::Answered,
        Ok(_) => End::PassedOn,
        Err(GatewayError::Limited { refused, .. }) => End::Refused(refused.reason),
        Err(_) => End::Failed,
    };
    let waited = record.wait().unwrap_or_default();
    field.tally.lock().ends(client.index, end, waited, clock.now());
    end
}
