//! Names that become metric labels, header members and environment variables.

use crate::config::fault::Report;

const LONGEST: usize = 64;

/// Reports a name that could not stand everywhere it has to. Lower case, because the environment
/// reaches no other keys.
pub(super) fn check(path: &str, name: &str, report: &mut Report) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let good = !name.is_empty() && name.len() <= LONGEST && name.chars().all(legal);
    if !good {
        let why = format!("{name:?} is not a name");
        report.fault_try(path, why, "use up to 64 lower-case letters, digits, '-' and '_'");
    }
    good
}
