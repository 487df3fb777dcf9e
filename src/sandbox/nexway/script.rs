//! Scripts of answers: step after step, each for one request or for a time.

use std::collections::VecDeque;
use std::time::Duration;

/// What may last for a while by the sandbox's clock; for one request without it.
pub(in crate::sandbox) trait Lasting {
    fn lasts(&mut self) -> &mut Option<Duration>;
}

/// The step for one request about an order of this age: `None` once the script is through.
pub(in crate::sandbox) fn next<S: Lasting + Clone>(steps: &mut VecDeque<S>, age: Duration) -> Option<S> {
    skip(steps, age);
    let step = steps.front_mut()?;
    if step.lasts().is_some() { Some(step.clone()) } else { steps.pop_front() }
}

/// Drops the timed steps that are over at this age.
pub(in crate::sandbox) fn skip<S: Lasting>(steps: &mut VecDeque<S>, age: Duration) {
    while let Some(lasts) = steps.front_mut().and_then(|step| *step.lasts()).filter(|lasts| age >= *lasts) {
        steps.pop_front();
        // The next timed step begins where this one ended, and ages are counted from the order's beginning.
        if let Some(next) = steps.iter_mut().find_map(|step| step.lasts().as_mut()) {
            *next = next.saturating_add(lasts);
        }
    }
}
