//! A receiver of messages: when each subscription's `renewal.ready` arrived.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

pub struct Messages {
    pub address: SocketAddr,
    pub arrived: Receiver<(String, Instant)>,
}

impl Messages {
    /// Its threads end with the program.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (tell, arrived) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tell = tell.clone();
                thread::spawn(move || serve(&mut BufReader::new(stream), &tell));
            }
        });
        Self { address, arrived }
    }
}

/// Until the other side has enough.
fn serve(stream: &mut BufReader<TcpStream>, tell: &Sender<(String, Instant)>) -> Option<()> {
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let at = Instant::now();
        let message: serde_json::Value = serde_json::from_slice(&body).ok()?;
        if message["type"] == "renewald.renewal.ready.v1" {
            let id = message["data"]["subscription"]["subscription_id"].as_str()?;
            tell.send((id.to_owned(), at)).ok()?;
        }
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
