//! RabbitMQ: persistent, mandatory messages into a durable queue, with publisher confirms.
//!
//! The bare loop has a channel for each publish under way, as the sink has: on a channel with several, lapin may take an
//! unroutable message for a delivered one.

use std::cell::RefCell;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use renewald::delivery::Message;

use crate::broker::{Broker, windowed};
use crate::servers::rabbitmq::{RabbitMq, shared};

const PERSISTENT: u8 = 2;

pub struct Amqp {
    server: std::sync::RwLockReadGuard<'static, RabbitMq>,
    vhost: String,
}

pub fn start() -> Option<Amqp> {
    Some(Amqp { server: shared()?, vhost: String::new() })
}

impl Broker for Amqp {
    const NAME: &str = "amqp";

    fn place(&mut self, name: &str) -> String {
        self.server.vhost(name).exchange_with_queue("renewals", "renewals-shop");
        self.vhost = name.to_owned();
        let url = self.server.url();
        format!(
            "kind = \"amqp\"\nurl = \"{url}\"\nvhost = \"{name}\"\nexchange = \"renewals\"\nrouting_key = \"{{type}}\""
        )
    }

    async fn publish_all(&self, messages: &[Message], window: usize) {
        let url = format!("{}/{}", self.server.url(), self.vhost);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("connected");
        let mut channels = Vec::new();
        for _ in 0..window {
            let channel = connection.create_channel().await.expect("a channel");
            channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
            channels.push(channel);
        }
        let idle = RefCell::new(channels);
        windowed(messages, window, async |message| {
            let channel = idle.borrow_mut().pop().expect("one for each under way");
            publish(&channel, message).await;
            idle.borrow_mut().push(channel);
        })
        .await;
    }
}

async fn publish(channel: &Channel, message: &Message) {
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/cloudevents+json".into())
        .with_message_id(message.id.to_string().into());
    let key = message.cloud_event_type();
    let sent = channel.basic_publish("renewals".into(), key.into(), mandatory, &message.body, properties).await;
    let confirmed = sent.expect("sent").await.expect("confirmed");
    assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
}
