//! How far a provider's own lists have been read, and which ways of listing are not believed.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::renewal::walk::{End, What};
use crate::renewal::ways::{self, Trust};
use crate::store::{FeedRow, FeedState};

/// What a provider lists by itself.
#[derive(Serialize, ToSchema)]
pub struct Feed {
    /// Over what has changed; `null`: never.
    pub changes: Option<Walk>,
    /// Over everything; `null`: never.
    pub everything: Option<Walk>,
    /// Ways of listing that did not do what they should. Each is tried again after a day.
    pub distrusted: Vec<Distrusted>,
}

/// The walk that is under way, or the last.
#[derive(Serialize, ToSchema)]
#[schema(as = FeedWalk)]
pub struct Walk {
    /// The provider's name for how it lists.
    pub way: String,
    pub begun_at: Timestamp,
    pub pages: u32,
    /// `null`: it is under way.
    pub ended: Option<End>,
    /// The latest of the provider's times of change that a whole walk has seen.
    pub watermark: Option<Timestamp>,
    /// When a walk last saw all of it.
    pub whole_at: Option<Timestamp>,
    /// Subscriptions in that one that nobody tracked then.
    pub untracked: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DistrustedWay)]
pub struct Distrusted {
    pub way: String,
    /// `off`: it is not read; `hints_only`: its rows only say where to look.
    pub trust: Trust,
    pub why: String,
    pub since: Timestamp,
    /// When that was seen last.
    pub seen_at: Timestamp,
}

impl From<FeedState> for Feed {
    fn from(state: FeedState) -> Self {
        let mut feed = Self { changes: None, everything: None, distrusted: Vec::new() };
        for row in state.rows {
            let place = match row.walk.what {
                What::Changes => &mut feed.changes,
                What::Everything => &mut feed.everything,
            };
            *place = Some(row.into());
        }
        feed.distrusted = state.distrusted.into_iter().map(Into::into).collect();
        feed
    }
}

impl From<FeedRow> for Walk {
    fn from(row: FeedRow) -> Self {
        let FeedRow { watermark, whole_at, whole_untracked, walk, ended, .. } = row;
        Self {
            way: walk.way,
            begun_at: walk.begun_at,
            pages: walk.pages,
            ended,
            watermark,
            whole_at,
            untracked: whole_untracked,
        }
    }
}

impl From<ways::Distrusted> for Distrusted {
    fn from(ways::Distrusted { way, trust, why, since, seen_at }: ways::Distrusted) -> Self {
        Self { way, trust, why, since, seen_at }
    }
}
