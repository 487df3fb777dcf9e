//! What renewald promises, through the real binary and through its worker, against a sandbox and a receiver on real
//! sockets, with real files.

mod amqp;
mod answers;
mod brokers;
mod budget;
mod clocks;
mod commands;
mod crashes;
mod fake_receiver;
mod files;
mod harness;
mod instances;
mod nats;
mod numbers;
mod once;
mod order_data;
mod renewals;
mod secrecy;
mod servers;
mod sinks;
mod status;
mod webhook;
