//! Where a shop's calls come in for as long as somebody holds the instance lock: the socket beside the database.

use crate::listen::Endpoint;
use crate::shop::{self, Desk, Door};
use crate::store::Store;

/// Serves it; without a socket everything else goes on.
pub(super) fn open(desk: &Desk, store: &Store) -> Option<Endpoint> {
    let opened = shop::bind(store.path()).and_then(|bound| {
        let doors = vec![(bound, shop::router(desk.clone(), Door::Socket))];
        Endpoint::open("shop", doors, std::future::ready(()))
    });
    opened.inspect_err(|error| tracing::warn!("`renewald shop` has to wait: {}", crate::chain(error))).ok()
}
