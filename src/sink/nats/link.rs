//! One connection to a NATS server, and what the server says about it beside the answers.

use async_nats::jetstream::response::Response;
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, Request, RequestError, RequestErrorKind, ServerAddr,
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use crate::text::visible;

pub struct Link {
    client: Client,
    news: watch::Receiver<News>,
}

/// What came outside of answers.
#[derive(Clone, Debug, Default)]
struct News {
    lost: bool,
    /// The last error that the server sent: a refused publish gets no other answer.
    error: Option<String>,
}

/// What JetStream answers to `STREAM.NAMES`.
#[derive(Deserialize)]
struct Names {
    streams: Option<Vec<String>>,
}

impl Link {
    pub async fn connect(servers: &[ServerAddr], options: ConnectOptions) -> Result<Self, String> {
        let (sender, news) = watch::channel(News::default());
        let options = options.event_callback(move |event| {
            sender.send_modify(|news| news.note(event));
            async {}
        });
        let connected = options.connect(servers).await;
        let client = connected.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                "could not connect: the server does not accept our credentials".to_owned()
            }
            _ => format!("could not connect: {}", crate::chain(&error)),
        })?;
        Ok(Self { client, news })
    }

    pub fn is_alive(&self) -> bool {
        !self.news.borrow().lost
    }

    pub async fn request(&self, subject: &str, request: Request) -> Result<async_nats::Message, RequestError> {
        self.client.send_request(subject.to_owned(), request).await
    }

    /// Ends when there will be no answer to a publish on this subject.
    pub async fn refused(&self, subject: &str) -> String {
        let about = format!("\"{subject}\"");
        self.when(|error| error.contains(&about)).await
    }

    async fn when(&self, matters: impl Fn(&str) -> bool) -> String {
        let mut news = self.news.clone();
        let matter = |news: &News| news.lost || news.error.as_deref().is_some_and(&matters);
        match news.wait_for(matter).await.map(|news| news.clone()) {
            Ok(News { lost: false, error: Some(error) }) => format!("the server refused it: {}", visible(&error)),
            Ok(_) | Err(_) => "connection lost".to_owned(),
        }
    }

    /// The names of the streams that take a subject, which may have wildcards.
    pub async fn streams(&self, subject: &str) -> Result<Vec<String>, String> {
        let request = Request::new().payload(json!({ "subject": subject }).to_string().into()).timeout(None);
        let answer = tokio::select! {
            answer = self.request("$JS.API.STREAM.NAMES", request) => answer,
            reason = self.when(|_| true) => return Err(format!("cannot ask JetStream for its streams: {reason}")),
        };
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => "JetStream is off on this server".to_owned(),
            _ => format!("cannot ask JetStream for its streams: {}", crate::chain(&error)),
        })?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Response::<Names>::Ok(names)) => Ok(names.streams.unwrap_or_default()),
            Ok(Response::Err { error }) => Err(format!("JetStream says: {}", visible(&error.to_string()))),
            Err(_) => Err("JetStream's answer cannot be read".to_owned()),
        }
    }
}

impl News {
    fn note(&mut self, event: Event) {
        match event {
            Event::Disconnected | Event::Closed => self.lost = true,
            Event::ServerError(error) => self.error = Some(error.to_string()),
            _ => {}
        }
    }
}
