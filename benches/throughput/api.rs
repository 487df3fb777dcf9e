//! A sweep of the daemon, alone or while somebody reads its API and metrics.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon;
use crate::measure::{self, Child};
use crate::pass::Database;

const ROWS: usize = 50_000;
/// Each sends its share of the requests, one after the other.
const CLIENTS: u32 = 4;
/// In turn.
const PATHS: [&str; 2] = ["/v1/subscriptions?limit=50", "/metrics"];

pub struct Swept {
    /// From the first request that the provider heard to the last.
    pub seconds: f64,
    pub gets_per_second: f64,
}

/// Lets a daemon ask for everybody while so many GETs a second are sent to it.
pub fn sweep(gets_per_second: u32) -> Swept {
    let (fake, database) = (Child::fake(Duration::ZERO), Database::with(ROWS));
    let listen = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string();
    let _daemon = daemon::start(&fake, &database, 0.0, &listen);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS.min(gets_per_second))
            .map(|_| scope.spawn(|| ask(&listen, CLIENTS * Duration::from_secs(1) / gets_per_second, &done)))
            .collect();
        // One in twenty has renewed: its order data is asked for too.
        while fake.count() < ROWS + ROWS / 20 {
            thread::sleep(Duration::from_millis(50));
        }
        done.store(true, Ordering::Relaxed);
        let rates = clients.into_iter().map(|client| client.join().expect("answered"));
        let gets_per_second = rates.sum();
        let arrivals = fake.arrivals();
        Swept { seconds: (arrivals[arrivals.len() - 1] - arrivals[0]) as f64 / 1e6, gets_per_second }
    })
}

/// One client: a GET every so often until the sweep is over. Returns its rate.
fn ask(address: &str, every: Duration, done: &AtomicBool) -> f64 {
    let mut connection = BufReader::new(connect(address));
    let (start, mut sent) = (Instant::now(), 0);
    while !done.load(Ordering::Relaxed) {
        measure::get(&mut connection, PATHS[sent as usize % PATHS.len()]);
        sent += 1;
        thread::sleep((start + sent * every).saturating_duration_since(Instant::now()));
    }
    f64::from(sent) / start.elapsed().as_secs_f64()
}

/// As soon as the daemon listens.
fn connect(address: &str) -> TcpStream {
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_nodelay(true).expect("nodelay");
                return stream;
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}
