//! What renewald promises, through the real binary and through its worker, against a sandbox and a receiver on real
//! sockets, with real files.

mod admin;
mod answers;
mod budget;
mod clocks;
mod commands;
mod crashes;
mod fake_receiver;
mod files;
mod harness;
mod http;
mod instances;
mod metrics;
mod notify;
mod numbers;
mod once;
mod operating;
mod order_data;
mod renewals;
mod secrecy;
mod sinks;
mod status;
mod webhook;
