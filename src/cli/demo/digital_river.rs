//! Digital River on the stage, and who plays there: the subscriptions of the demo, each a case of its own.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use super::stage::{Act, Actor, Deed, Outcome, PROVIDER, Paid, Stage, at, unplayable};
use crate::cli::Error;
use crate::clock::Timestamp;
use crate::provider::digital_river::convention::CONVENTION;
use crate::provider::kinds::IMPLIED_TERRITORY;
use crate::sandbox::digital_river::{self as fake, Account, NewSubscriptions, Options, Period, Sandbox, Switches};
use crate::store::NewSubscription;

#[derive(Debug)]
pub(super) struct DigitalRiver {
    sandbox: Sandbox,
    account: Account,
}

/// A case, its number, the day and hour its term ends, and what is else than usual.
type Role = (&'static str, &'static str, (u32, u32), fn(&mut NewSubscriptions));

const ROLES: [Role; 8] = [
    ("billed five days ahead", "SHOP-7001", (9, 10), |_| {}),
    ("billed at the end", "SHOP-7002", (5, 15), |new| new.billed_before = Duration::ZERO),
    ("paid for by the week", "SHOP-7003", (3, 8), |new| {
        (new.period, new.billed_before) = (Period::days(7), Duration::from_secs(86_400));
    }),
    ("payment fails twice", "SHOP-7004", (20, 12), |new| new.pays = false),
    ("extended without an order", "SHOP-7005", (18, 9), |new| new.pays = false),
    ("free of charge", "SHOP-7006", (14, 18), |new| new.free = true),
    ("cancelled", "SHOP-7007", (30, 7), |_| {}),
    ("twice, while renewald is down", "SHOP-7008", (24, 0), |new| new.pays = false),
];

impl DigitalRiver {
    pub(super) fn start(start: Timestamp) -> io::Result<Self> {
        let switches = Switches { rate_limit: 0, ..Switches::default() };
        let account = Account { switches, ..Account::default() };
        let options = Options { speed: 0.0, start, account: account.clone(), ..Options::default() };
        Ok(Self { sandbox: Sandbox::start(options)?, account })
    }

    fn id_of(&self, number: &str) -> Result<String, Error> {
        let mut all = self.sandbox.subscriptions().into_iter();
        let found = all.find(|subscription| subscription.upstream_id.as_deref() == Some(number));
        found.map(|subscription| subscription.subscription_id).ok_or_else(|| unplayable("nobody has this number"))
    }
}

impl Stage for DigitalRiver {
    fn settings(&self) -> String {
        format!(
            r#"[providers.{PROVIDER}]
kind = "digital-river"
api_url = "{}"
api_key = "{}"     # a real one belongs into a file: api_key_file
requests_per_second = 0        # no limit, for the demo only
"#,
            self.api_url(),
            self.account.api_key,
        )
    }

    fn api_url(&self) -> String {
        self.sandbox.api_url()
    }

    fn enter(&self) -> Result<(Vec<Actor>, Vec<NewSubscription>), Error> {
        let start = self.sandbox.now();
        let (mut actors, mut tracked) = (Vec::new(), Vec::new());
        for (case, number, (day, hour), change) in ROLES {
            let ends_at = at(start, day, hour, 0);
            let mut new = NewSubscriptions {
                created_at: Some(ends_at - Duration::from_secs(30 * 86_400)),
                ends_at: Some(ends_at),
                pays: true,
                upstream_id: Some(number.to_owned()),
                ..NewSubscriptions::default()
            };
            change(&mut new);
            for subscription_id in self.sandbox.create(new).map_err(unplayable)? {
                tracked.push(NewSubscription {
                    provider: PROVIDER.into(),
                    convention: &CONVENTION,
                    territory: IMPLIED_TERRITORY.into(),
                    partner_order_number: number.to_owned(),
                    subscription_id: subscription_id.clone(),
                    generation: Some(0),
                    known: Vec::new(),
                    known_before: None,
                    expires_at: Some(ends_at),
                    metadata: None,
                    tracked_by: "order",
                });
                let (number, label) = (number.to_owned(), number.to_owned());
                actors.push(Actor { number, subscription_id, label, case, outcome: Outcome::Charge });
            }
        }
        Ok((actors, tracked))
    }

    /// SHOP-7008 renews while nobody looks.
    fn acts(&self) -> VecDeque<(Timestamp, Act)> {
        let start = self.now();
        let act = |day, hour, number, deed| (at(start, day, hour, 0), Act::AtProvider(number, deed));
        VecDeque::from([
            act(12, 10, "SHOP-7007", Deed::Cancel),
            act(15, 13, "SHOP-7004", Deed::RefusePayment(2)),
            act(17, 9, "SHOP-7004", Deed::Renew),
            act(17, 18, "SHOP-7005", Deed::Extend),
            (at(start, 20, 18, 0), Act::StopDaemon),
            act(21, 10, "SHOP-7008", Deed::Renew),
            act(22, 10, "SHOP-7008", Deed::Renew),
            (at(start, 23, 9, 15), Act::StartDaemon),
        ])
    }

    fn act(&self, number: &str, deed: Deed) -> Result<(), Error> {
        let id = self.id_of(number)?;
        let done: Result<(), fake::Error> = match deed {
            Deed::Cancel => self.sandbox.end(&id, fake::State::Cancelled),
            Deed::Renew => self.sandbox.pay(&id).map(drop),
            Deed::Extend => self.sandbox.extend(&id),
            Deed::RefusePayment(times) => self
                .sandbox
                .open_invoice(&id)
                .and_then(|()| (0..times).try_for_each(|_| self.sandbox.fail_attempt(&id, "insufficient_funds"))),
            Deed::AcceptOffer | Deed::Upgrade => return Err(unplayable("there is no such thing")),
        };
        done.map_err(unplayable)
    }

    fn now(&self) -> Timestamp {
        self.sandbox.now()
    }

    fn set_now(&self, now: Timestamp) {
        self.sandbox.set_now(now);
    }

    fn renews_at(&self) -> Vec<Timestamp> {
        self.sandbox.subscriptions().into_iter().filter_map(|subscription| subscription.pays_at).collect()
    }

    fn renewals(&self) -> Vec<Paid> {
        let mut counts: HashMap<String, i64> = HashMap::new();
        let paid = |sold: fake::Sold| {
            let count = counts.entry(sold.subscription_id.clone()).or_default();
            *count += 1;
            Paid {
                number: sold.upstream_id.unwrap_or_default(),
                subscription_id: sold.subscription_id,
                generation: *count,
                reference: sold.order_id.unwrap_or_else(|| format!("period:{}", sold.ends_at)),
                renewed_at: sold.sold_at,
            }
        };
        self.sandbox.renewals().into_iter().map(paid).collect()
    }

    fn keys(&self, paid: &Paid) -> Vec<String> {
        self.sandbox.expected_keys(&paid.reference)
    }

    fn request_count(&self) -> u64 {
        self.sandbox.request_count()
    }
}
