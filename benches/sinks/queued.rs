//! The messages, a database with all of them queued, and the relay that delivers them.

use std::path::Path;
use std::sync::Arc;

use renewald::clock::Timestamp;
use renewald::daemon::Worker;
use renewald::delivery::{
    About, Delivery, DownloadManager, Event, File, LicenceKey, Line, Message, Occasion, Renewal, Serial, keys_hash,
};
use renewald::settings::Settings;
use renewald::signals::Shutdown;
use renewald::store::{Access, ListFilter, NewMessage, PollRecord, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::tracked;

/// What the sink is called in settings and database.
const SINK: &str = "shop";
/// What is tracked or queued in one transaction.
const PAGE: usize = 500;

/// One renewal each of as many subscriptions.
pub fn messages(count: usize) -> Vec<Message> {
    (1..=count).map(|id| message(id as i64)).collect()
}

/// The rows are counted as the subscriptions are.
fn id(subscription_id: &str) -> i64 {
    subscription_id.parse().expect("a number")
}

fn order_number(id: i64) -> String {
    format!("PARTNER{id}")
}

fn message(id: i64) -> Message {
    let metadata = r#"{"customer":"20431","email":"customer@shop.example"}"#;
    let about = About {
        provider: "bench".to_owned(),
        territory: "eu".to_owned(),
        partner_order_number: order_number(id),
        subscription_id: id.to_string(),
        partner_reference: None,
        is_numbered: true,
        metadata: serde_json::value::RawValue::from_string(metadata.to_owned()).expect("an object"),
    };
    let (now, renewed) = (Timestamp::now(), format!("{}-1", order_number(id)));
    let event = Event::RenewalReady {
        renewal: Renewal {
            generation: 1,
            revision: 0,
            partner_order_number: Some(renewed.clone()),
            reference: renewed,
        },
        occasion: Occasion::Renewal,
        late: false,
        detected_at: now,
        expires_at: Some(now),
        delivery: delivery(id),
    };
    Message::new(&about, &event, now)
}

/// Three seats and an installer for each of two systems.
fn delivery(id: i64) -> Delivery {
    let serial = |seat| Serial {
        data: LicenceKey::new(format!("{id:08X}-{seat:04X}-7Q2M-9KXT-4WJH-PV6C")),
        encoding: "text".to_owned(),
        charset: "utf-8".to_owned(),
        file_name: String::new(),
    };
    let link = |name: &str| format!("https://downloads.provider.example/orders/{id}/{name}?token={:0>64}", id);
    let file = |name: &str| File {
        label: format!("Product - setup ({name})"),
        r#type: "install".to_owned(),
        url: link(name),
        size: Some(182.4),
        group: String::new(),
    };
    let line = Line {
        product_ref: Some("811537".to_owned()),
        remark: "Sign in with the address of your order to activate the product on a new device.".to_owned(),
        digital_locker_link: link("locker"),
        download_until: Some("2027-12-12".to_owned()),
        serials: (1..=3).map(serial).collect(),
        files: ["windows.exe", "macos.dmg"].map(file).into(),
    };
    let download_manager = Some(DownloadManager { pc: Some(link("pc")), mac: Some(link("mac")) });
    let order_number = Some((12_567_638 + id).to_string());
    Delivery { order_number, lines: vec![line], download_manager, ..Delivery::default() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A database with messages queued for the sink, made once and copied for each run.
pub struct Queue(TempDir);

impl Queue {
    pub fn of(messages: &[Message]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        runtime().block_on(async {
            let store = Store::open(&database(directory.path()), Access::Command).expect("a store");
            for page in messages.chunks(PAGE) {
                queue(&store, page).await;
            }
            store.close().await;
        });
        Self(directory)
    }

    /// Ready to be delivered to a sink with these settings.
    pub fn copy(&self, sink: &str, window: usize) -> Queued {
        let directory = tempfile::tempdir().expect("a directory");
        let path = database(directory.path());
        std::fs::copy(database(self.0.path()), &path).expect("a copy");
        // The disk is not to be busy with the copy when the time starts.
        std::fs::File::open(&path).and_then(|file| file.sync_all()).expect("on disk");
        let settings = directory.path().join("renewald.toml");
        let text = format!(
            r#"
            [providers.bench]
            kind = "nexway-connect"
            api_url = "http://127.0.0.1:9/connect"
            iam_url = "http://127.0.0.1:9/iam"
            realm = "bench"
            client_secret = "bench"
            territories.eu.secret = "bench"
            [admin]
            listen = ""
            [sinks.{SINK}]
            concurrency = {window}
            {sink}
            "#
        );
        std::fs::write(&settings, text).expect("settings");
        let settings = Arc::new(Settings::load(Some(&settings)).expect("settings").settings);
        let store = Store::open(&path, Access::Command).expect("a store");
        let waiting = u64::try_from(pending(&path)).expect("a count");
        Queued { worker: Worker::new(settings, store).expect("a worker"), waiting, _directory: directory }
    }
}

fn database(directory: &Path) -> std::path::PathBuf {
    directory.join("renewald.db")
}

fn pending(database: &Path) -> i64 {
    let db = rusqlite::Connection::open(database).expect("the database");
    let count = "SELECT count(*) FROM dispatches WHERE state = 'pending'";
    db.query_row(count, [], |row| row.get(0)).expect("a count")
}

/// Tracks what the messages are about, and queues them.
async fn queue(store: &Store, messages: &[Message]) {
    let about: Vec<_> = messages.iter().map(|message| message.about().expect("a subscription")).collect();
    let new = about
        .iter()
        .map(|about| tracked::subscription(about.partner_order_number.clone(), id(&about.subscription_id), None));
    let now = Timestamp::now();
    store.track(new.collect(), false, now).await.expect("tracked");
    // In a new file rows are numbered as they are added, like the subscriptions of the messages.
    let filter = ListFilter { after: id(&about[0].subscription_id) - 1, limit: PAGE, ..ListFilter::default() };
    let rows = store.list(filter, now).await.expect("a page").items;
    let records = rows.into_iter().zip(messages).map(|(row, message)| {
        let before = row.subscription;
        let new = NewMessage {
            message: message.clone(),
            subscription: before.row,
            territory: before.territory.clone(),
            generation: 1,
            reference: String::new(),
            keys_hash: keys_hash(&delivery(id(&before.subscription_id))),
            sinks: vec![SINK.to_owned()],
        };
        PollRecord { after: before.clone(), before, renewals: vec![], had: vec![], messages: vec![new] }
    });
    store.record_polls(records.collect(), now).await.expect("queued");
}

/// The daemon's own relay, with everything still to do.
pub struct Queued {
    worker: Worker,
    waiting: u64,
    _directory: TempDir,
}

impl Queued {
    /// Returns when all are marked as delivered, on disk.
    pub async fn deliver_all(&mut self) {
        let relay = &mut self.worker.relays[0];
        let report = relay.pass(&Timestamp::now, None, &Shutdown::manual()).await.expect("a pass");
        assert_eq!((report.delivered, report.blocked), (self.waiting, false));
    }
}
