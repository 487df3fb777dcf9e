//! Faults: what can go wrong, and the rules that say for which requests it does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::{About, Call};
use super::clock::duration;
use super::random::Random;

/// A rule: which requests suffer, how often, and what. Everything left out matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault<E, A> {
    pub endpoint: Option<E>,
    #[serde(flatten)]
    pub about: A,
    /// Of the matching requests, this share suffers.
    #[serde(default = "certain")]
    pub probability: f64,
    /// So many matching requests are spared first.
    #[serde(default)]
    pub skip: u32,
    /// So many requests suffer, then the rule is spent; all without it.
    #[serde(default)]
    pub times: Option<u32>,
    pub fault: FaultKind,
}

fn certain() -> f64 {
    1.0
}

impl<E: PartialEq, A: About> Fault<E, A> {
    /// Every request suffers.
    pub fn new(fault: FaultKind) -> Self {
        Self { endpoint: None, about: A::default(), probability: 1.0, skip: 0, times: None, fault }
    }

    pub fn at(self, endpoint: E) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }

    pub fn probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Spares the first `skip` matching requests.
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    fn matches(&self, call: &Call<E, A>) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == call.endpoint) && call.about.fits(&self.about)
    }
}

/// What goes wrong. `delay` and `hold` add up with others; of those that change the answer the first rule wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// Answers later, by real time.
    Delay {
        #[serde(with = "duration")]
        by: Duration,
    },
    /// Answers once released.
    Hold,
    /// Closes the connection without a byte.
    CutBefore,
    /// Closes the connection in the middle of the true body.
    CutMidBody,
    /// Answers with this status instead.
    Status {
        status: u16,
        #[serde(default)]
        body: ErrorBody,
        /// Verbatim, so that a wrong one can be sent.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// 200 with this body and `application/json`.
    Body { body: String },
    /// What was asked for is done, and the answer is another one.
    DoneBut { status: u16, body: String },
    /// The first half of the true body, correctly framed.
    TruncatedJson,
    /// 200 `{}`
    EmptyObject,
    /// 200 and an HTML page, as a captive portal would.
    Html,
    /// 200 and nothing.
    EmptyBody,
    /// The true body with every value of another type.
    WrongTypes,
    /// So many bytes of valid-looking JSON.
    HugeBody { bytes: u64 },
    /// So many bytes again, as gzip a thousandth of that.
    GzipBomb { bytes: u64 },
    /// The true body, a byte at a time.
    Trickle {
        #[serde(with = "duration")]
        every: Duration,
    },
    /// Headers, and then nothing for ever.
    Stall,
    /// JSON nested so deep.
    DeepJson { depth: usize },
    /// The true body with every top-level member twice.
    DuplicateKeys,
    /// The true body behind a byte order mark.
    ByteOrderMark,
    /// 302
    Redirect { location: String },
    /// The true answer to the same request without these parameters: a server that ignores a filter.
    IgnoreQuery { names: Vec<String> },
}

impl FaultKind {
    /// Whether a gateway answers by itself: nothing behind it sees the request, and no script moves on.
    pub(super) fn hides_request(&self) -> bool {
        use FaultKind::*;
        matches!(
            self,
            Status { .. }
                | Body { .. }
                | EmptyObject
                | Html
                | EmptyBody
                | HugeBody { .. }
                | GzipBomb { .. }
                | DeepJson { .. }
                | Redirect { .. }
        )
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorBody {
    /// What a gateway says.
    #[default]
    Html,
    Empty,
    /// The platform's own error body.
    Json,
}

/// What one request has to suffer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Suffering {
    pub(super) delay: Duration,
    pub(super) hold: bool,
    pub(super) alteration: Option<FaultKind>,
}

impl Suffering {
    /// Whether the answer cannot be given at once.
    pub(super) fn waits(&self) -> bool {
        self.hold || !self.delay.is_zero()
    }
}

/// The rules in force, oldest first.
#[derive(Debug)]
pub(super) struct Faults<E, A> {
    rules: Vec<Fault<E, A>>,
}

impl<E: PartialEq, A: About> Faults<E, A> {
    pub(super) fn new() -> Self {
        Self { rules: Vec::new() }
    }

    pub(super) fn add(&mut self, fault: Fault<E, A>) {
        self.rules.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn rules(&self) -> &[Fault<E, A>] {
        &self.rules
    }

    /// What this request suffers; uses up `skip` and `times`.
    pub(super) fn strike(&mut self, call: &Call<E, A>, random: &mut Random) -> Suffering {
        let mut suffering = Suffering::default();
        for rule in self.rules.iter_mut().filter(|rule| rule.matches(call)) {
            let spent = rule.times == Some(0);
            let shadowed =
                suffering.alteration.is_some() && !matches!(rule.fault, FaultKind::Delay { .. } | FaultKind::Hold);
            if spent || shadowed || !random.chance(rule.probability) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times = rule.times.map(|times| times - 1);
            match &rule.fault {
                FaultKind::Delay { by } => suffering.delay = suffering.delay.saturating_add(*by),
                FaultKind::Hold => suffering.hold = true,
                alteration => suffering.alteration = Some(alteration.clone()),
            }
        }
        self.rules.retain(|rule| rule.times != Some(0));
        suffering
    }
}

#[cfg(test)]
mod tests {
    use super::super::call::Named;
    use super::*;

    type Rule = Fault<char, Named>;

    fn strikes(faults: &mut Faults<char, Named>, name: &str, times: usize) -> Vec<Option<FaultKind>> {
        let (call, mut random) = (Call::for_tests('o', Named::new(name)), Random::new(1));
        (0..times).map(|_| faults.strike(&call, &mut random).alteration).collect()
    }

    #[test]
    fn the_next_three_after_the_first_two() {
        let mut faults = Faults::new();
        faults.add(Rule::new(FaultKind::EmptyObject).after(2).times(3));
        let struck: Vec<_> = strikes(&mut faults, "A", 7).iter().map(Option::is_some).collect();
        assert_eq!(struck, [false, false, true, true, true, false, false]);
        assert_eq!(faults.rules(), []);
    }

    #[test]
    fn rules_are_for_their_endpoint_and_subject_only() {
        let mut faults = Faults::new();
        faults.add(Rule::new(FaultKind::Html).at('s'));
        faults.add(Rule { about: Named::new("B"), ..Rule::new(FaultKind::EmptyBody) });
        assert_eq!(strikes(&mut faults, "A", 1), [None]);
        assert_eq!(strikes(&mut faults, "B", 1), [Some(FaultKind::EmptyBody)]);
    }

    #[test]
    fn the_first_alteration_wins_and_does_not_use_up_the_second() {
        let mut faults = Faults::new();
        faults.add(Rule::new(FaultKind::Html).times(1));
        faults.add(Rule::new(FaultKind::EmptyBody).times(1));
        faults.add(Rule::new(FaultKind::Delay { by: Duration::from_millis(5) }));
        assert_eq!(strikes(&mut faults, "A", 3), [Some(FaultKind::Html), Some(FaultKind::EmptyBody), None]);
    }

    #[test]
    fn a_probability_strikes_about_its_share() {
        let mut faults = Faults::new();
        faults.add(Rule::new(FaultKind::Html).probability(0.25));
        let struck = strikes(&mut faults, "A", 1000).iter().flatten().count();
        assert!((200..300).contains(&struck), "{struck}");
    }

    #[test]
    fn a_misspelt_fault_is_named() {
        let error = serde_json::from_str::<Rule>(r#"{"fault": {"delay": {"by": "1s", "jitter": 3}}}"#).unwrap_err();
        assert!(error.to_string().contains("jitter"), "{error}");
        let error = serde_json::from_str::<Rule>(r#"{"fault": "hold", "endpont": "o"}"#).unwrap_err();
        assert!(error.to_string().contains("endpont"), "{error}");
    }
}
