//! What renewald promises, through the real binary and through its worker, against a sandbox and a receiver on real
//! sockets, with real files.

mod admin;
mod alerts;
mod amqp;
mod answers;
mod brokers;
mod budget;
mod clocks;
mod commands;
mod crashes;
mod encryption;
mod exec;
mod fake_receiver;
mod files;
mod freshness;
mod harness;
mod http;
mod instances;
mod metrics;
mod nats;
mod numbers;
mod once;
mod operating;
mod order_data;
mod queue;
mod queued;
mod redis;
mod reload;
mod removal;
mod renewals;
mod secrecy;
mod servers;
mod sinks;
mod smtp;
mod status;
mod webhook;
