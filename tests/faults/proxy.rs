//! A way over TCP to a server, made worse at will: for what happens between us and a broker, whatever its protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Open,
    /// Connections are closed at once, those that there are too.
    Closed,
    /// Every piece of an answer takes so long.
    Slow(Duration),
    /// Once these bytes have gone to the server, no answer comes back on that connection.
    AnswersLost(&'static [u8]),
    /// The same, but each answer comes after so long.
    AnswersLate(&'static [u8], Duration),
}

struct Shared {
    target: Mutex<SocketAddr>,
    way: Mutex<Way>,
    struck: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

/// Listens until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            way: Mutex::new(Way::Open),
            struck: AtomicUsize::new(0),
            connections: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let proxy = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                accept(stream, &shared);
            }
        });
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on; begins to count anew.
    pub fn set(&self, way: Way) {
        *self.shared.way.lock().expect("nobody panics with it") = way;
        self.shared.struck.store(0, Ordering::Relaxed);
        if matches!(way, Way::Closed) {
            self.cut();
        }
    }

    /// How often something was closed, slowed down, lost or delayed.
    pub fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        for connection in self.shared.connections.lock().expect("nobody panics with it").drain(..) {
            drop(connection.shutdown(Shutdown::Both)); // fails where an end was faster
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.cut();
        drop(TcpStream::connect(self.address)); // wakes the thread that listens
    }
}

impl Shared {
    fn way(&self) -> Way {
        *self.way.lock().expect("nobody panics with it")
    }

    fn strike(&self) {
        self.struck.fetch_add(1, Ordering::Relaxed);
    }
}

fn accept(client: TcpStream, shared: &Arc<Shared>) {
    if matches!(shared.way(), Way::Closed) {
        return shared.strike();
    }
    let Ok(server) = TcpStream::connect(*shared.target.lock().expect("nobody panics with it")) else { return };
    let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
    shared.connections.lock().expect("nobody panics with it").extend([copy(&client), copy(&server)]);
    let armed = Arc::new(AtomicBool::new(false));
    let (from, to, both, arming) = (copy(&client), copy(&server), shared.clone(), armed.clone());
    thread::spawn(move || drop(ask(from, to, &both, &arming)));
    let shared = shared.clone();
    thread::spawn(move || drop(answer(server, client, &shared, &armed)));
}

/// Client to server, looking for the bytes after which answers are lost.
fn ask(mut from: TcpStream, mut to: TcpStream, shared: &Shared, armed: &AtomicBool) -> std::io::Result<()> {
    let (mut buffer, mut tail) = ([0; 16 * 1024], Vec::new());
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return to.shutdown(Shutdown::Write);
        }
        tail.extend_from_slice(&buffer[..length]);
        if let Way::AnswersLost(mark) | Way::AnswersLate(mark, _) = shared.way()
            && tail.windows(mark.len()).any(|window| window == mark)
        {
            armed.store(true, Ordering::SeqCst);
        }
        // The bytes may be cut in two.
        tail.drain(..tail.len().saturating_sub(64));
        to.write_all(&buffer[..length])?;
    }
}

/// Server to client.
fn answer(mut from: TcpStream, mut to: TcpStream, shared: &Shared, armed: &AtomicBool) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return to.shutdown(Shutdown::Both);
        }
        match shared.way() {
            Way::AnswersLost(_) if armed.load(Ordering::SeqCst) => {
                shared.strike();
                continue;
            }
            Way::AnswersLate(_, by) if armed.load(Ordering::SeqCst) => {
                shared.strike();
                thread::sleep(by);
            }
            Way::Slow(by) => {
                shared.strike();
                thread::sleep(by);
            }
            _ => {}
        }
        to.write_all(&buffer[..length])?;
    }
}
