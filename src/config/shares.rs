//! What every client gets of every label, in numbers: comments below the effective configuration.

use std::fmt::Write as _;
use std::time::Duration;

use super::Settings;
use super::settings::ClientSettings;
use crate::policy::quota::{LabelSpec, Mode, PoolSpec};
use crate::policy::share::{EffectiveShare, Reserve, Share, effective};

/// Clients shown of a label; so many more are only counted.
const MOST_CLIENTS: usize = 100;

const MEANING: &str = "\
# Shares: what a client gets of a label while all of its priority want more than there is and
# those above it want nothing, and the most that it may spend of the day.
";

/// One block a label. Empty if there is none.
pub(super) fn text(settings: &Settings) -> String {
    let mut clients: Vec<_> = settings.clients.iter().map(ClientSettings::share).collect();
    if clients.is_empty() {
        clients.push(Share::anonymous());
    }
    let mut out = String::new();
    for upstream in &settings.upstreams {
        for label in &upstream.labels {
            let pool = upstream.pools.iter().find(|pool| Some(&pool.id) == label.pool.as_ref());
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                out,
                "#\n# upstreams.{}.labels.{}: {}",
                upstream.id,
                label.id,
                figures(label, pool)
            );
            write_clients(&mut out, &effective(label, pool, &clients));
        }
    }
    if out.is_empty() { out } else { format!("{MEANING}{out}") }
}

/// `10 a second, 30000 a day (daily), reserve high 20%`
fn figures(label: &LabelSpec, pool: Option<&PoolSpec>) -> String {
    let windows = label.windows.iter();
    let mut parts: Vec<_> =
        windows.map(|window| format!("{} {}", window.limit, every(window.per))).collect();
    if let Some(PoolSpec { id, per_day, reserve: Reserve { high, normal }, .. }) = pool {
        parts.push(format!("{per_day} a day ({id})"));
        let kept = [("high", high), ("normal", normal)];
        let kept = kept.iter().filter(|(_, part)| part.tenths() > 0);
        parts.extend(kept.map(|(priority, part)| format!("reserve {priority} {part}")));
    }
    if label.mode == Mode::Observe {
        parts.push("holds nobody back (observe)".into());
    }
    parts.join(", ")
}

/// One line a client, in columns.
fn write_clients(out: &mut String, shares: &[EffectiveShare]) {
    let rows: Vec<_> = shares.iter().take(MOST_CLIENTS).map(columns).collect();
    let mut widths = Vec::new();
    for (at, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
        match widths.get_mut(at) {
            Some(width) => *width = cell.len().max(*width),
            None => widths.push(cell.len()),
        }
    }
    for row in &rows {
        let mut line = String::from("#");
        for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            let cell = if at < 2 { format!("{cell:width$}") } else { format!("{cell:>width$}") };
            line += "   ";
            line += &cell;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if let Some(more) = shares.len().checked_sub(MOST_CLIENTS).filter(|more| *more > 0) {
        let _infallible = writeln!(out, "#   and {more} more");
    }
}

fn columns(of: &EffectiveShare) -> Vec<String> {
    let windows = of.windows.iter().map(|(part, per)| format!("{} {}", short(*part), every(*per)));
    let day = of.per_day.map(|most| format!("at most {most} a day"));
    let who = [of.share.client.to_string(), of.share.priority.as_str().to_owned()];
    who.into_iter().chain(windows).chain(day).collect()
}

fn every(per: Duration) -> &'static str {
    if per.as_secs() == 1 { "a second" } else { "a minute" }
}

/// One decimal at most. Little is not nothing.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    match text.strip_suffix(".0") {
        Some("0") => "<0.1".into(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [10.0, 7.5, 10.0 / 3.0, 9.96, 0.1, 0.04, 4e9];
        let written = numbers.map(short);
        assert_eq!(written, ["10", "7.5", "3.3", "10", "0.1", "<0.1", "4000000000"]);
    }
}
