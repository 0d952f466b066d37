//! What is said of a panic: where, and only such words as stand in the source. A message that was
//! put together may hold what the code was working on.

use std::any::Any;
use std::panic::{self, PanicHookInfo};

const WITHHELD: &str = "(withheld: it may hold data)";

/// From now on panics are events of the operational log, and nothing else.
pub(super) fn tell_panics() {
    panic::set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!(at, thread, why = words(panic.payload()), "a defect: this panicked");
}

/// `panic!("text")` has the text itself, anything with arguments a `String`.
fn words(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or(WITHHELD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_together_is_withheld() {
        let secret = "hunter2";
        let panics: [(fn(&str), _); 3] = [
            (|_| panic!("words of the source"), "words of the source"),
            (|secret| panic!("about {secret}"), WITHHELD),
            (|secret| panic::panic_any(secret.to_owned()), WITHHELD),
        ];
        for (panicking, told) in panics {
            let payload = panic::catch_unwind(|| panicking(secret)).unwrap_err();
            assert_eq!(words(&*payload), told);
        }
    }
}
