//! renewald: see README.

pub mod budget;
pub mod cli;
pub mod clock;
pub mod delivery;
pub mod logging;
pub mod provider;
pub mod settings;
pub mod sink;
pub mod text;
