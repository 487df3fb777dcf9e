//! What is measured of each broker, and the window that the bare loops share.

use futures_util::{StreamExt, stream};
use renewald::delivery::Message;

/// A running server and a bare client of it.
pub trait Broker {
    const NAME: &str;

    /// Makes an empty place, to which the messages go from now on. The settings of the sink that sends there.
    fn place(&mut self, name: &str) -> String;

    /// Publishes all of them to the last place, so many at a time, and returns when the server has confirmed every one.
    async fn publish_all(&self, messages: &[Message], window: usize);
}

/// Publishes in order, `window` at a time: the next begins when any of them is confirmed.
pub async fn windowed<'a, P: Future<Output = ()>>(
    messages: &'a [Message],
    window: usize,
    publish: impl FnMut(&'a Message) -> P,
) {
    stream::iter(messages).map(publish).buffer_unordered(window).collect::<()>().await;
}
