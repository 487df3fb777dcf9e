//! `renewald page`: a link to the daemon's page that lets one browser in once. Where the daemon listens on a Unix socket, the command
//! brings that browser there itself, from a port of this machine that nobody else knows the way through.

mod forward;

use secrecy::ExposeSecret;

use super::healthcheck::reachable;
use super::{Context, Error, Exit};
use crate::admin::entry_code;
use crate::clock::Timestamp;
use crate::listen::secret::Expected;
use crate::vault::Key;

pub async fn run(context: &Context) -> Result<Exit, Error> {
    let admin = context.settings()?.settings.admin;
    if admin.listen.is_empty() {
        return Err(Error::new(Exit::Settings, "admin.listen is empty: the daemon has no page"));
    }
    if let Some(socket) = admin.listen.strip_prefix("unix:") {
        return forward::run(context, socket.into()).await;
    }
    let base = match &admin.public_url {
        Some(url) => url.clone(),
        None => {
            let address = reachable(&admin.listen).map_err(|e| Error::new(Exit::Settings, e.to_string()))?;
            format!("http://{address}")
        }
    };
    let link = match &admin.token {
        None => format!("{base}/"),
        Some(token) => {
            let token = token.read().map_err(|error| Error::new(Exit::Settings, crate::chain(&error)))?;
            let random = Key::generate().map_err(|error| Error::new(Exit::Internal, crate::chain(&error)))?;
            let code = entry_code(&Expected::of(token.expose_secret().as_bytes()), &random, Timestamp::now());
            format!("{base}/page/enter?code={code}")
        }
    };
    let is_plain = admin.token.is_none();
    show(context, &link, if is_plain { "it shows figures only" } else { "good once, within a minute" })?;
    Ok(Exit::Done)
}

fn show(context: &Context, link: &str, remark: &str) -> Result<(), Error> {
    if context.global.json {
        return context.print_json(&serde_json::json!({ "link": link }));
    }
    context.print(link)?;
    context.remark(remark);
    Ok(())
}
