//! Which subscriptions a pass asks, and what it puts up with: both follow from who waits for it.

/// Which subscriptions a pass asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What is due by now.
    Due,
    /// What will be due soon as well, each subscription at most once: the one-shot run.
    CatchUp,
    /// Waiting order data, and polls that were not answered: what a one-shot run asks again before it ends. A probe makes one
    /// request.
    Again { is_probe: bool },
}

/// How a pass goes about its scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    scope: Scope,
    has_bell: bool,
}

impl Mode {
    pub fn new(scope: Scope, has_bell: bool) -> Self {
        Self { scope, has_bell }
    }

    /// Ends when the provider stays away or wants a long pause, rather than wait for it: somebody waits for a one-shot run.
    pub fn gives_up(self) -> bool {
        self.scope != Scope::Due
    }

    /// The log is told of what the pass does, while it goes on too. Of a one-shot run its caller tells.
    pub fn tells(self) -> bool {
        self.has_bell
    }

    /// Makes one request and no more.
    pub fn is_probe(self) -> bool {
        self.scope == Scope::Again { is_probe: true }
    }

    /// Of polls, only those that were not answered when they were made last.
    pub fn only_unanswered(self) -> bool {
        matches!(self.scope, Scope::Again { .. })
    }

    /// Reads what the provider lists by itself, where that is due.
    pub fn reads_lists(self) -> bool {
        !self.only_unanswered()
    }

    /// Asks what will be due soon, and nobody twice.
    pub fn looks_ahead(self) -> bool {
        self.scope == Scope::CatchUp
    }
}
