//! NATS: JetStream's acknowledgement for each message, a stream in files.

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use renewald::delivery::Message;

use crate::broker::{Broker, windowed};
use crate::servers::nats::Nats as Server;

pub struct Nats {
    server: Server,
    subject: String,
}

pub fn start() -> Option<Nats> {
    Some(Nats { server: Server::new()?, subject: String::new() })
}

impl Broker for Nats {
    const NAME: &str = "nats";

    fn place(&mut self, name: &str) -> String {
        self.server.client().create_stream(name, &[name]);
        self.subject = name.to_owned();
        format!("kind = \"nats\"\nurl = \"{}\"\nsubject = \"{name}\"\nstream = \"{name}\"", self.server.url())
    }

    async fn publish_all(&self, messages: &[Message], window: usize) {
        let client = async_nats::connect(self.server.url()).await.expect("connected");
        let jetstream = async_nats::jetstream::new(client);
        windowed(messages, window, async |message| publish(&jetstream, &self.subject, message).await).await;
    }
}

async fn publish(jetstream: &Context, subject: &str, message: &Message) {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", message.id.to_string());
    let sent = jetstream.publish_with_headers(subject.to_owned(), headers, message.body.clone().into()).await;
    let acknowledged = sent.expect("sent").await.expect("acknowledged");
    assert!(acknowledged.sequence > 0 && !acknowledged.duplicate);
}
