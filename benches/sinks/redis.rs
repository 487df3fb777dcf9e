//! Redis: one `XADD` for each message, whose reply is awaited.

use redis::aio::MultiplexedConnection;
use renewald::delivery::Message;

use crate::broker::{Broker, windowed};
use crate::servers::redis::Redis as Server;

pub struct Redis {
    server: Server,
    stream: String,
}

pub fn start() -> Option<Redis> {
    Some(Redis { server: Server::new()?, stream: String::new() })
}

impl Broker for Redis {
    const NAME: &str = "redis";

    fn place(&mut self, name: &str) -> String {
        self.stream = name.to_owned();
        format!("kind = \"redis\"\nurl = \"{}\"\nstream = \"{name}\"", self.server.url())
    }

    async fn publish_all(&self, messages: &[Message], window: usize) {
        let client = redis::Client::open(self.server.url()).expect("an address");
        let connection = client.get_multiplexed_async_connection().await.expect("connected");
        windowed(messages, window, async |message| add(connection.clone(), &self.stream, message).await).await;
    }
}

async fn add(mut connection: MultiplexedConnection, stream: &str, message: &Message) {
    let mut add = redis::cmd("XADD");
    add.arg(stream).arg("*").arg("id").arg(message.id.to_string()).arg("type").arg(message.cloud_event_type());
    add.arg("body").arg(&message.body[..]);
    add.exec_async(&mut connection).await.expect("added");
}
