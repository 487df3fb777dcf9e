//! `renewald sandbox`: the fake provider by itself, and the settings to try it with.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Serialize, Serializer};

use super::{Context, Error, Exit};
use crate::sandbox::{Kind, Offer, Options};
use crate::signals::Signals;

#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// Which provider it behaves like, as in the settings
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Seconds of the sandbox's clock in each second: 3600 = an hour a second, 0 = stands still
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Port of the API; its other services and the control endpoint have the next ones. 0 = any that are free
    #[arg(long, value_name = "PORT", default_value_t = 8700)]
    port: u16,
    /// Address to listen on: whoever reaches it controls the sandbox
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
    /// Address that is sent the provider's notifications, where it sends any: http://USER:PASSWORD@HOST/hooks/NAME
    #[arg(long, value_name = "URL")]
    notify: Option<String>,
}

/// What `sandbox --json` prints once it listens: each address under its name, and `settings`.
struct Listening<'a>(&'a Offer);

impl Serialize for Listening<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let addresses = self.0.addresses.iter().map(|(service, url)| (service.name, url));
        serializer.collect_map(addresses.chain([("settings", &self.0.settings)]))
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1e6).contains(&speed) { Ok(speed) } else { Err("a speed lies between 0 and 1000000".to_owned()) }
}

/// Runs until SIGINT or SIGTERM.
pub async fn run(args: SandboxArgs, context: &Context) -> Result<Exit, Error> {
    if args.notify.is_some() && !args.kind.notifies() {
        return Err(Error::usage("--notify: this kind of provider sends no notifications"));
    }
    let options = Options { bind: args.bind, port: args.port, speed: args.speed, ..Options::default() };
    // Before anything is printed: whoever waits for the first line may send a signal right after it.
    let signals = Signals::install().map_err(|error| Error::new(Exit::Internal, error.to_string()))?;
    let offer = args.kind.offer(options, args.notify.as_deref()).map_err(|error| cannot_listen(&args, &error))?;
    if context.global.json {
        context.print_json(&Listening(&offer))?;
    } else {
        context.print(&introduction(&offer, args.speed))?;
    }
    signals.shutdown.requested().await;
    Ok(Exit::Done)
}

fn cannot_listen(args: &SandboxArgs, error: &io::Error) -> Error {
    let SandboxArgs { port, bind, .. } = args;
    if error.kind() == io::ErrorKind::InvalidInput {
        return Error::usage(format!("--port {port}: {error}"));
    }
    let ports = if *port == 0 { "free ports".to_owned() } else { format!("the ports from {port} on") };
    Error::new(
        Exit::CannotCreate,
        format!("cannot listen on {ports} of {bind}: {error}; --port 0 takes any that are free"),
    )
}

fn introduction(offer: &Offer, speed: f64) -> String {
    let pace = match speed {
        1.0 => "its clock runs with ours".to_owned(),
        0.0 => "its clock stands still".to_owned(),
        _ => format!("its clock makes {speed} seconds in each of ours"),
    };
    let addresses = offer.addresses.iter().map(|(service, url)| format!("{:<15}{url}\n", service.title));
    let control = offer.control_url();
    let (what, calls) = offer.first;
    let call = |(path, body): &(&str, &str)| {
        format!("curl -s {control}{path} -H 'content-type: application/json' -d '{body}'\n")
    };
    format!(
        "The sandbox listens; {pace}. Ctrl-C ends it, and it forgets everything.\n\n\
         {}\n\
         For a settings file:\n\n{}\n\
         {what} (GET {control}/ lists all that can be done):\n\n{}",
        addresses.collect::<String>(),
        offer.settings,
        calls.iter().map(call).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn its_settings_can_be_used_as_they_are() {
        for kind in Kind::value_variants() {
            let offer = kind.offer(Options::default(), None).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("renewald.toml");
            std::fs::write(&path, &offer.settings).unwrap();
            let loaded = Settings::load(Some(&path)).unwrap().settings;
            let provider = &loaded.providers["sandbox"];
            assert!(provider.kind.to_string().starts_with(&offer.addresses[0].1), "{}", provider.kind);
        }
    }

    #[test]
    fn ports_leave_room_for_all_and_speeds_are_numbers() {
        let bind = Ipv4Addr::LOCALHOST.into();
        let args = |port| SandboxArgs { kind: Kind::default(), speed: 1.0, port, bind, notify: None };
        let options = Options { port: u16::MAX, ..Options::default() };
        let error = Kind::default().offer(options, None).unwrap_err();
        assert_eq!(cannot_listen(&args(u16::MAX), &error).exit, Exit::Usage);
        assert!(speed("NaN").is_err() && speed("-1").is_err() && speed("3600").is_ok());
    }
}
