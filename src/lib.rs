//! renewald: see README.

pub mod budget;
pub mod clock;
pub mod delivery;
pub mod provider;
pub mod sandbox;
pub mod settings;
pub mod sink;
