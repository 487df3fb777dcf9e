//! A provider that does nothing but answer: no state, no JSON library, keep-alive connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the fake tells on `GET /arrivals`: microseconds since its start, one a line. `GET /count` tells how many.
type Arrivals = Rc<RefCell<Vec<u64>>>;

/// Answers a request, whose body begins behind its head.
pub type Answer = fn(request: &str, head: usize) -> String;

pub fn run(arguments: &[String], answer: Answer) {
    let delay = Duration::from_millis(arguments[0].parse().expect("milliseconds"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("address"));
        let (start, arrivals) = (Instant::now(), Arrivals::default());
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            tokio::task::spawn_local(serve(stream, answer, delay, start, arrivals.clone()));
        }
    });
}

async fn serve(
    mut stream: TcpStream,
    answer: Answer,
    delay: Duration,
    start: Instant,
    arrivals: Arrivals,
) -> Option<()> {
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        let (head, length) = loop {
            if let Some(request) = complete(&buffer[..filled]) {
                break request;
            }
            let read = stream.read(&mut buffer[filled..]).await.ok()?;
            if read == 0 {
                return None;
            }
            filled += read;
        };
        let request = std::str::from_utf8(&buffer[..length]).ok()?;
        let body = if request.starts_with("GET /count") {
            arrivals.borrow().len().to_string()
        } else if request.starts_with("GET /arrivals") {
            let lines: Vec<String> = arrivals.borrow().iter().map(u64::to_string).collect();
            lines.join("\n")
        } else {
            let at = u64::try_from(start.elapsed().as_micros()).ok()?;
            arrivals.borrow_mut().push(at);
            answer(request, head)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.ok()?;
        buffer.copy_within(length..filled, 0);
        filled -= length;
    }
}

/// The end of the head and of the whole request, once both are there.
fn complete(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap_or(0));
    (bytes.len() >= head + length).then_some((head, head + length))
}
