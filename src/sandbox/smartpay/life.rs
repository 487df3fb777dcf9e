//! What becomes of a subscription: charged, refused, tried again, paused, ended.

use uuid::Uuid;

use super::books::{Books, Cycle, Decline, Error, Status, Subscription, Transaction};
use crate::clock::Timestamp;

impl Books {
    /// Does everything that falls due until `now`, each at its own time.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        while let Some((at, index)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            let subscription = &self.subscriptions[index as usize];
            if subscription.retry_at.is_some_and(|retry_at| retry_at <= at) {
                self.retry(index, at);
            } else if subscription.next_billing_at <= at {
                self.charge(index, at);
            }
            self.attend(index);
        }
    }

    /// The day of a charge has come.
    pub(super) fn charge(&mut self, index: u32, at: Timestamp) {
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.refusals == 0 {
            return self.bill(index, at);
        }
        subscription.refuse_one();
        self.bill_in_vain(index, Decline::Failed, at);
        let subscription = &mut self.subscriptions[index as usize];
        subscription.retries_left = subscription.terms.retries;
        subscription.retry_at = (subscription.retries_left > 0).then(|| at + subscription.terms.retry_every);
        subscription.carry_over();
    }

    fn retry(&mut self, index: u32, at: Timestamp) {
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.refusals == 0 {
            if self.capture(index, None, at).is_err() {
                self.subscriptions[index as usize].retry_at = None;
            }
            return;
        }
        subscription.refuse_one();
        subscription.retries_left = subscription.retries_left.saturating_sub(1);
        subscription.retry_at = (subscription.retries_left > 0).then(|| at + subscription.terms.retry_every);
        let transaction = self.transaction(at, false);
        let subscription = &mut self.subscriptions[index as usize];
        if let Some(cycle) = subscription.cycles.iter_mut().rfind(|cycle| cycle.declined.is_some()) {
            cycle.transactions.push(transaction);
            cycle.updated_at = at;
        }
        subscription.carry_over();
        subscription.touch(at, false);
    }

    fn transaction(&mut self, at: Timestamp, is_captured: bool) -> Transaction {
        Transaction { id: self.made_up(), at, is_captured }
    }

    /// What was bought when it was made, in the past.
    pub(super) fn buy(&mut self, index: u32, at: Timestamp) {
        let (id, transaction) = (self.made_up(), self.transaction(at, true));
        let subscription = &mut self.subscriptions[index as usize];
        let starts_at = subscription.cycles.last().map_or(at, |last| last.ends_at);
        subscription.cycles.push(Cycle {
            id,
            created_at: at,
            updated_at: at,
            starts_at,
            ends_at: subscription.terms.period.after(starts_at),
            declined: None,
            paid_at: Some(at),
            cents: subscription.terms.cents,
            transactions: vec![transaction],
        });
        subscription.remaining -= 1;
        let place = subscription.cycles.len() - 1;
        self.captured.push((index, place));
    }

    /// A new billing cycle, not paid for yet.
    fn open_cycle(&mut self, index: u32, declined: Option<Decline>, at: Timestamp) {
        let (id, transaction) = (self.made_up(), self.transaction(at, declined.is_none()));
        let subscription = &mut self.subscriptions[index as usize];
        let starts_at = subscription.next_billing_at;
        let ends_at = subscription.terms.period.after(starts_at);
        subscription.cycles.push(Cycle {
            id,
            created_at: at,
            updated_at: at,
            starts_at,
            ends_at,
            declined,
            paid_at: declined.is_none().then_some(at),
            cents: subscription.terms.cents + std::mem::take(&mut subscription.outstanding),
            transactions: vec![transaction],
        });
        subscription.next_billing_at = ends_at;
        subscription.retry_at = None;
    }

    /// A new billing cycle is charged, with success.
    pub(super) fn bill(&mut self, index: u32, at: Timestamp) {
        self.open_cycle(index, None, at);
        let subscription = &mut self.subscriptions[index as usize];
        subscription.remaining -= 1;
        subscription.status = if subscription.remaining > 0 { Status::Active } else { Status::Expired };
        subscription.touch(at, false);
        let (place, is_over) = (subscription.cycles.len() - 1, subscription.remaining <= 0);
        self.captured.push((index, place));
        self.tell_of_cycle(index, place, at);
        if is_over {
            self.tell(index, "automated", "billing.expires", at);
        }
        self.attend(index);
    }

    /// A new billing cycle is charged, without.
    pub(super) fn bill_in_vain(&mut self, index: u32, decline: Decline, at: Timestamp) {
        self.open_cycle(index, Some(decline), at);
        let subscription = &mut self.subscriptions[index as usize];
        subscription.status = Status::Overdue;
        subscription.touch(at, false);
        self.tell(index, "automated", "status.updated", at);
        self.attend(index);
    }

    /// The oldest billing cycle that waits for its payment gets it, or this one.
    pub(super) fn capture(&mut self, index: u32, cycle: Option<usize>, at: Timestamp) -> Result<(), Error> {
        let transaction = self.transaction(at, true);
        let subscription = &mut self.subscriptions[index as usize];
        let unpaid = |place: &usize| subscription.cycles[*place].declined.is_some();
        let place = cycle.or_else(|| (0..subscription.cycles.len()).find(unpaid)).filter(unpaid);
        let place = place.ok_or(Error::NothingUnpaid)?;
        let cycle = &mut subscription.cycles[place];
        (cycle.declined, cycle.paid_at, cycle.updated_at) = (None, Some(at), at);
        cycle.transactions.push(transaction);
        subscription.remaining -= 1;
        (subscription.retry_at, subscription.outstanding) = (None, 0);
        if subscription.status == Status::Overdue {
            subscription.status = Status::Active;
        }
        subscription.touch(at, false);
        self.captured.push((index, place));
        self.tell_of_cycle(index, place, at);
        self.attend(index);
        Ok(())
    }

    /// The merchant has it charged once more, which may be in vain. Not while that happens by itself. Returns the retry's id.
    pub(super) fn retry_by_hand(&mut self, index: u32, place: usize, at: Timestamp) -> Result<Uuid, Error> {
        let subscription = &mut self.subscriptions[index as usize];
        let not_now = |why| Err(Error::NotNow { status: subscription.status, why });
        if subscription.cycles[place].declined.is_none() {
            return Err(Error::NothingUnpaid);
        }
        if subscription.status.is_over() {
            return not_now("it is over");
        }
        if subscription.retry_at.is_some() && place + 1 == subscription.cycles.len() {
            return not_now("an automatic retry is pending");
        }
        if subscription.refusals == 0 {
            self.capture(index, Some(place), at)?;
        } else {
            subscription.refuse_one();
            let transaction = self.transaction(at, false);
            let subscription = &mut self.subscriptions[index as usize];
            let cycle = &mut subscription.cycles[place];
            cycle.transactions.push(transaction);
            cycle.updated_at = at;
            subscription.touch(at, false);
        }
        Ok(self.made_up())
    }

    /// Its status becomes this, as by PATCH, DELETE or the end of its plan.
    pub(super) fn stand(&mut self, index: u32, status: Status, at: Timestamp) -> Result<(), Error> {
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.status.is_over() {
            return Err(Error::NotNow { status: subscription.status, why: "it is over" });
        }
        subscription.status = status;
        subscription.retry_at = None;
        subscription.touch(at, true);
        self.tell(index, "api", "status.updated", at);
        self.attend(index);
        Ok(())
    }
}

impl Subscription {
    fn refuse_one(&mut self) {
        if self.refusals != u32::MAX {
            self.refusals -= 1;
        }
    }

    /// What no retry will bring any more is charged with the next billing cycle.
    fn carry_over(&mut self) {
        if self.retry_at.is_none() {
            self.outstanding += self.cycles.last().map_or(0, |cycle| cycle.cents);
        }
    }

    /// `is_change`: not by a charge.
    pub(super) fn touch(&mut self, at: Timestamp, is_change: bool) {
        self.updated_at = at;
        if is_change {
            self.changed_at = at;
        }
    }
}
