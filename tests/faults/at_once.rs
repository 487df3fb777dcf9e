//! Several sites at once: each has its own provider, receiver and files, and nothing in common but the machine.

use std::sync::Mutex;
use std::thread;

/// Works on each item, on as many at once as there are cores; the results are in the order of the items.
pub fn each<T: Send, R: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let waiting: Vec<T> = items.into_iter().collect();
    let done: Vec<Mutex<Option<R>>> = waiting.iter().map(|_| Mutex::new(None)).collect();
    let waiting = Mutex::new(waiting.into_iter().enumerate());
    run_on_all_cores(|| {
        loop {
            let next = waiting.lock().expect("nobody panics with it").next();
            let Some((n, item)) = next else { return };
            let result = work(item);
            *done[n].lock().expect("nobody panics with it") = Some(result);
        }
    });
    done.into_iter().map(|result| result.into_inner().expect("no panic").expect("it was worked on")).collect()
}

/// Runs the same once on each core. A panic of one is a panic of all, once the others have ended.
pub fn run_on_all_cores(work: impl Fn() + Sync) {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(&work))));
}
