//! renewald: see README.

pub mod budget;
pub mod clock;
pub mod delivery;
pub mod provider;
pub mod retry;
pub mod schedule;
pub mod settings;
pub mod signals;
pub mod sink;
pub mod tls;
