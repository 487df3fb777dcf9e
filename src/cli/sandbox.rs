//! `renewald sandbox`: the fake provider by itself, and the settings to try it with.

use std::net::{IpAddr, Ipv4Addr};

use super::{Context, Error, Exit};
use crate::sandbox::{Options, Sandbox};
use crate::signals::Signals;

#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// Seconds of the sandbox's clock in each second: 3600 = an hour a second, 0 = stands still
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Port of the API; the token service and the control endpoint have the next two. 0 = any that are free
    #[arg(long, value_name = "PORT", default_value_t = 8700, value_parser = port)]
    port: u16,
    /// Address to listen on: whoever reaches it controls the sandbox
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
}

/// What `sandbox --json` prints once it listens.
#[derive(serde::Serialize)]
struct Listening {
    api_url: String,
    iam_url: String,
    control_url: String,
    /// Ready to use in a settings file.
    settings: String,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1e6).contains(&speed) { Ok(speed) } else { Err("a speed lies between 0 and 1000000".to_owned()) }
}

fn port(text: &str) -> Result<u16, String> {
    let port: u16 = text.parse().map_err(|_| "a port lies between 0 and 65535".to_owned())?;
    if port > u16::MAX - 2 { Err("the two ports after it are needed too".to_owned()) } else { Ok(port) }
}

/// Runs until SIGINT or SIGTERM.
pub async fn run(args: SandboxArgs, context: &Context) -> Result<Exit, Error> {
    let next = |n| if args.port == 0 { 0 } else { args.port + n };
    let options = Options {
        bind: args.bind,
        api_port: args.port,
        iam_port: next(1),
        control_port: next(2),
        speed: args.speed,
        ..Options::default()
    };
    // Before anything is printed: whoever waits for the first line may send a signal right after it.
    let signals = Signals::install().map_err(|error| Error::new(Exit::Internal, error.to_string()))?;
    let sandbox = Sandbox::start(options.clone()).map_err(|error| cannot_listen(&args, &error))?;
    let listening = Listening {
        api_url: sandbox.api_url(),
        iam_url: sandbox.iam_url(),
        control_url: sandbox.control_url(),
        settings: settings(&sandbox, &options),
    };
    if context.global.json {
        context.print_json(&listening)?;
    } else {
        context.print(&introduction(&listening, args.speed))?;
    }
    signals.shutdown.requested().await;
    Ok(Exit::Done)
}

fn cannot_listen(args: &SandboxArgs, error: &std::io::Error) -> Error {
    let (port, last) = (args.port, args.port.saturating_add(2));
    let ports = if port == 0 { "free ports".to_owned() } else { format!("ports {port} to {last}") };
    let text = format!("cannot listen on {ports} of {}: {error}; --port 0 takes any that are free", args.bind);
    Error::new(Exit::CannotCreate, text)
}

/// The account as renewald's settings describe it.
fn settings(sandbox: &Sandbox, options: &Options) -> String {
    let mut text = format!(
        "[providers.sandbox]\n\
         kind = \"nexway-connect\"\n\
         api_url = \"{}\"\n\
         iam_url = \"{}\"\n\
         realm = \"{}\"\n\
         client_secret = \"{}\"\n",
        sandbox.api_url(),
        sandbox.iam_url(),
        options.realm,
        options.client_secret,
    );
    for (name, secret) in &options.territories {
        text.push_str(&format!("[providers.sandbox.territories.{name}]\nsecret = \"{secret}\"\n"));
    }
    text
}

fn introduction(listening: &Listening, speed: f64) -> String {
    let Listening { api_url, iam_url, control_url, settings } = listening;
    let pace = match speed {
        1.0 => "its clock runs with ours".to_owned(),
        0.0 => "its clock stands still".to_owned(),
        _ => format!("its clock makes {speed} seconds in each of ours"),
    };
    let json = "-H 'content-type: application/json' -d";
    format!(
        "The sandbox listens; {pace}. Ctrl-C ends it, and it forgets everything.\n\n\
         API            {api_url}\n\
         token service  {iam_url}\n\
         control        {control_url}\n\n\
         For a settings file:\n\n{settings}\n\
         Create an order, then renew it (GET {control_url}/ lists all that can be done):\n\n\
         curl -s {control_url}/orders {json} '{{\"partner_order_number\": \"PARTNER689\"}}'\n\
         curl -s {control_url}/renew {json} '{{\"partner_order_number\": \"PARTNER689\"}}'\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn its_settings_can_be_used_as_they_are() {
        let options = Options::default();
        let sandbox = Sandbox::start(options.clone()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("renewald.toml");
        std::fs::write(&path, settings(&sandbox, &options)).unwrap();
        let loaded = Settings::load(Some(&path)).unwrap().settings;
        assert_eq!(loaded.providers["sandbox"].api_url, sandbox.api_url());
        assert_eq!(loaded.providers["sandbox"].territories.len(), 2);
    }

    #[test]
    fn ports_leave_room_for_three() {
        assert_eq!(port("0"), Ok(0));
        assert_eq!(port("65533"), Ok(65533));
        assert!(port("65534").is_err() && port("-1").is_err());
        assert!(speed("NaN").is_err() && speed("-1").is_err() && speed("3600").is_ok());
    }
}
