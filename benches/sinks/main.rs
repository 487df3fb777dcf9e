//! How much of a bare client's speed the sinks keep: `cargo bench --bench sinks`, or with names, `-- nats redis`.
//!
//! For each broker a private server is started on this machine, as the tests do it. Then, in turn, because a shared machine's
//! speed drifts: a bare loop publishes the messages by the sink's crate, waits for the same confirms and has as many under
//! way; and the relay delivers the same bytes from a real database, queued there before the time starts. Both times include
//! connecting; that of the relay includes every commit. Each run has an empty place of its own in the broker.

mod amqp;
mod broker;
mod nats;
mod queued;
mod redis;
#[path = "../tracked.rs"]
mod tracked;

/// The tests' servers.
#[path = "../../tests/it"]
mod it {
    #[allow(dead_code, reason = "tests look at more")]
    pub mod servers;
}

use std::time::{Duration, Instant};

use broker::Broker;
use it::servers;
use queued::{Queue, messages};
use renewald::delivery::Message;
use tokio::runtime::Runtime;

const MESSAGES: usize = 10_000;
const ROUNDS: usize = 5;
/// Publishes under way at once: the default `concurrency` of a sink.
const WINDOW: usize = 8;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let messages = messages(MESSAGES);
    let queue = Queue::of(&messages);
    let bytes = messages.iter().map(|message| message.body.len()).sum::<usize>() / MESSAGES;
    println!("{MESSAGES} messages of {bytes} bytes, {WINDOW} under way, median of {ROUNDS} rounds");
    if is_wanted("amqp") {
        measure(amqp::start(), &messages, &queue);
    }
    if is_wanted("nats") {
        measure(nats::start(), &messages, &queue);
    }
    if is_wanted("redis") {
        measure(redis::start(), &messages, &queue);
    }
}

/// Nothing where the server is not installed, which was said already.
fn measure<B: Broker>(broker: Option<B>, messages: &[Message], queue: &Queue) {
    let Some(mut broker) = broker else { return };
    let (mut bare, mut relay, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        broker.place(&format!("bare{round}"));
        bare.push(per_second(|runtime| runtime.block_on(broker.publish_all(messages, WINDOW))));
        let sink = broker.place(&format!("relay{round}"));
        let mut queued = queue.copy(&sink, WINDOW);
        relay.push(per_second(|runtime| runtime.block_on(queued.deliver_all())));
        shares.push(relay[round] / bare[round]);
    }
    let name = B::NAME;
    println!(
        "{name:<6} bare loop {:>6.0}/s, relay {:>6.0}/s: {:.2} of it ({:.2} to {:.2})",
        median(&mut bare),
        median(&mut relay),
        median(&mut shares),
        shares[0],
        shares[ROUNDS - 1]
    );
}

/// With a runtime as the daemon has it.
fn per_second(work: impl FnOnce(&Runtime)) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = Instant::now();
    work(&runtime);
    let took = start.elapsed();
    runtime.shutdown_timeout(Duration::from_secs(1));
    MESSAGES as f64 / took.as_secs_f64()
}

/// Sorts them.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
