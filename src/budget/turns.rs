//! Whose turn it is where several accounts keep to one limit: each that waits gets a slot before another gets its second. No waiting
//! here, `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// So long whoever had the last slot lets another go first, who is waking up. Less than the lateness that the pace makes up for.
const COURTESY: Duration = Duration::from_millis(2);

/// Without this the same account may be woken first each time.
#[derive(Debug, Default)]
pub(super) struct Turns {
    accounts: Vec<Account>,
    /// Slots given so far.
    given: u64,
    /// Since when the slot that is due is left to another.
    left_since: Option<Instant>,
}

#[derive(Debug)]
struct Account {
    id: usize,
    /// Its callers in line.
    waiting: u32,
    /// Which slot it got last.
    last: u64,
}

impl Turns {
    pub fn waits(&mut self, id: usize) {
        self.account(id).waiting += 1;
    }

    pub fn leaves(&mut self, id: usize) {
        if let Some(account) = self.accounts.iter_mut().find(|account| account.id == id) {
            account.waiting = account.waiting.saturating_sub(1);
        }
    }

    pub fn forget(&mut self, id: usize) {
        self.accounts.retain(|account| account.id != id);
    }

    /// A slot is due. Until when this account leaves it to another that has waited longer.
    pub fn yields_until(&mut self, id: usize, now: Instant) -> Option<Instant> {
        let last = self.account(id).last;
        if !self.accounts.iter().any(|other| other.waiting > 0 && other.last < last) {
            return None;
        }
        let until = *self.left_since.get_or_insert(now) + COURTESY;
        (now < until).then_some(until)
    }

    pub fn taken(&mut self, id: usize) {
        self.given += 1;
        self.left_since = None;
        let given = self.given;
        self.account(id).last = given;
    }

    fn account(&mut self, id: usize) -> &mut Account {
        let at = self.accounts.iter().position(|account| account.id == id).unwrap_or_else(|| {
            self.accounts.push(Account { id, waiting: 0, last: 0 });
            self.accounts.len() - 1
        });
        &mut self.accounts[at]
    }
}
