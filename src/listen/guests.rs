//! Who was not let in lately, by peer, and how such a one is slowed: after a few its answers are held back. Who knows the secret is
//! let in at any time, also from the same address: a proxy brings everybody from one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::Peer;

/// So many mistakes a minute are answered at once.
const FORGIVEN: u32 = 10;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Then each is answered so much later …
const HELD_BACK: Duration = Duration::from_secs(1);
/// … so many at a time, from whomever: they keep connections that others need. The rest is sent away at once.
const MOST_HELD_BACK: usize = 16;
/// Peers that are remembered. Who comes when there are so many counts as one who has come before.
const MOST_PEERS: usize = 1024;

#[derive(Debug)]
pub struct Guests {
    seen: Mutex<HashMap<Option<IpAddr>, Seen>>,
    places: Semaphore,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Instant,
    mistakes: u32,
}

/// How one that was not let in is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Refused,
    /// There are too many of them.
    TooMany,
}

impl Default for Guests {
    fn default() -> Self {
        Self { seen: Mutex::default(), places: Semaphore::new(MOST_HELD_BACK) }
    }
}

impl Guests {
    /// One more that was not let in, and how it is answered now that this returns.
    pub async fn refused(&self, peer: Peer) -> Answer {
        if self.note(peer) <= FORGIVEN {
            return Answer::Refused;
        }
        let Ok(_place) = self.places.try_acquire() else { return Answer::TooMany };
        sleep(HELD_BACK).await;
        Answer::Refused
    }

    /// How many it has made within a minute, this one included.
    fn note(&self, Peer(peer): Peer) -> u32 {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let network = peer.map(network);
        if seen.len() >= MOST_PEERS && !seen.contains_key(&network) {
            seen.retain(|_, one| now < one.since + FORGOTTEN_AFTER);
            if seen.len() >= MOST_PEERS {
                return u32::MAX;
            }
        }
        let one = seen.entry(network).or_insert(Seen { since: now, mistakes: 0 });
        if now >= one.since + FORGOTTEN_AFTER {
            *one = Seen { since: now, mistakes: 0 };
        }
        one.mistakes = one.mistakes.saturating_add(1);
        one.mistakes
    }
}

/// Whoever has one IPv6 address has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer(Some(text.parse().unwrap()))
    }

    async fn took(guests: &Guests, who: Peer) -> (Answer, Duration) {
        let began = Instant::now();
        (guests.refused(who).await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_is_slowed_and_nobody_else() {
        let guests = Guests::default();
        for _ in 0..FORGIVEN {
            assert_eq!(took(&guests, peer("2001:db8::1")).await, (Answer::Refused, Duration::ZERO));
        }
        assert_eq!(took(&guests, peer("2001:db8::2")).await, (Answer::Refused, HELD_BACK), "the same network");
        assert_eq!(took(&guests, peer("192.0.2.1")).await, (Answer::Refused, Duration::ZERO));
        assert_eq!(took(&guests, Peer(None)).await, (Answer::Refused, Duration::ZERO));
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert_eq!(took(&guests, peer("2001:db8::1")).await, (Answer::Refused, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_few_are_held_back_and_little_is_remembered() {
        let guests = std::sync::Arc::new(Guests::default());
        let one = peer("192.0.2.1");
        for _ in 0..FORGIVEN {
            guests.refused(one).await;
        }
        let held: Vec<_> = (0..MOST_HELD_BACK).map(|_| guests.clone()).collect();
        let held: Vec<_> =
            held.into_iter().map(|guests| tokio::spawn(async move { guests.refused(one).await })).collect();
        tokio::task::yield_now().await;
        assert_eq!(took(&guests, one).await, (Answer::TooMany, Duration::ZERO));
        for held in held {
            assert_eq!(held.await.unwrap(), Answer::Refused);
        }
        for n in 0..5000_u32 {
            guests.note(Peer(Some(std::net::Ipv4Addr::from(n).into())));
        }
        assert_eq!(guests.seen.lock().unwrap().len(), MOST_PEERS);
    }
}
