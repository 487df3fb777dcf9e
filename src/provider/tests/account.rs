//! The provider at the other end of the wire: what it says of each path, and who asked for which.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::lists::Lists;
use super::wire::path;

#[derive(Clone, Default)]
pub struct Account {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    answers: BTreeMap<String, (u16, Value)>,
    asked: Vec<(Instant, String)>,
    lists: Lists,
}

impl Account {
    /// Listens on loopback until the runtime ends; the second is its address.
    pub async fn open() -> (Self, String) {
        let account = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(account.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (account, url)
    }

    pub fn says(&self, segments: &[&str], answer: Value) {
        self.answers(segments, 200, answer);
    }

    pub fn refuses(&self, segments: &[&str], status: u16) {
        self.answers(segments, status, Value::Null);
    }

    pub fn answers(&self, segments: &[&str], status: u16, answer: Value) {
        self.world.lock().unwrap().answers.insert(path(segments), (status, answer));
    }

    /// Changes what is listed.
    pub fn lists(&self, change: impl FnOnce(&mut Lists)) {
        change(&mut self.world.lock().unwrap().lists);
    }

    /// The requests since this was last asked, sorted: passes send them side by side.
    pub fn asked(&self) -> Vec<String> {
        let mut asked: Vec<_> = self.arrivals().into_iter().map(|(_, path)| path).collect();
        asked.sort();
        asked
    }

    /// The same, as they came, and when.
    pub fn arrivals(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.world.lock().unwrap().asked)
    }
}

/// 404 for what nothing was said about.
async fn answer(State(account): State<Account>, uri: Uri) -> (StatusCode, String) {
    let mut world = account.world.lock().unwrap();
    world.asked.push((Instant::now(), uri.to_string()));
    if let Some(way) = uri.path().strip_prefix("/feed/") {
        let (status, page) = world.lists.page(way, uri.query().unwrap_or_default());
        return (StatusCode::from_u16(status).unwrap(), page.to_string());
    }
    // However much of it was encoded.
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let segments: Vec<_> = uri.path().split('/').skip(1).map(decoded).collect();
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();
    let (status, answer) = world.answers.get(&path(&segments)).cloned().unwrap_or((404, Value::Null));
    (StatusCode::from_u16(status).unwrap(), answer.to_string())
}
