//! Processes, their CPU time and memory, and what they print of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `getconf CLK_TCK`; the same on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that is ended with its handle.
pub struct Child {
    process: std::process::Child,
    pub address: String,
}

impl Child {
    /// The fake provider, answering after `delay`.
    pub fn fake(delay: Duration) -> Self {
        let mut process =
            this("fake", &[&delay.as_millis().to_string()]).stdout(Stdio::piped()).spawn().expect("the fake");
        let mut address = String::new();
        BufReader::new(process.stdout.as_mut().expect("piped")).read_line(&mut address).expect("its address");
        Self { process, address: address.trim().to_owned() }
    }

    /// The real binary, running as a daemon.
    pub fn daemon(settings: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_renewald"))
            .args(["-qq", "--config"])
            .arg(settings)
            .arg("run")
            .stdin(Stdio::null())
            .spawn()
            .expect("the daemon");
        Self { process, address: String::new() }
    }

    /// So far.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.process.id().to_string())
    }

    /// Microseconds at which requests arrived.
    pub fn arrivals(&self) -> Vec<u64> {
        self.get("/arrivals").lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// How many requests arrived.
    pub fn count(&self) -> usize {
        self.get("/count").parse().expect("a number")
    }

    fn get(&self, path: &str) -> String {
        get(&mut BufReader::new(TcpStream::connect(&self.address).expect("the fake")), path)
    }
}

/// Asks on a connection that is kept, and returns the body.
pub fn get(connection: &mut BufReader<TcpStream>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).expect("asked");
    let (mut length, mut line) = (0, String::new());
    connection.read_line(&mut line).expect("a status");
    assert!(line.contains("200 OK"), "{path}: {line}");
    while line != "\r\n" {
        line.clear();
        connection.read_line(&mut line).expect("a header");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("text")
}

impl Drop for Child {
    fn drop(&mut self) {
        self.process.kill().expect("ended");
        self.process.wait().expect("reaped");
    }
}

/// What a measured process reported of itself.
pub struct Sample {
    requests: f64,
    wall_seconds: f64,
    cpu_seconds: f64,
    pub peak_megabytes: f64,
}

impl Sample {
    pub fn of(role: &str, arguments: &[&str]) -> Self {
        let line = call(role, arguments);
        let mut fields = line.split_whitespace().map(|field| field.parse().expect("a figure"));
        let mut next = || fields.next().expect("four figures");
        Self { requests: next(), wall_seconds: next(), cpu_seconds: next(), peak_megabytes: next() }
    }

    pub fn per_second(&self) -> f64 {
        self.requests / self.wall_seconds
    }

    /// Microseconds.
    pub fn cpu_per_request(&self) -> f64 {
        self.cpu_seconds / self.requests * 1e6
    }
}

/// In the measured process: does the work, which returns its number of requests, and prints the figures.
pub fn report(work: impl FnOnce() -> u64) {
    let (start, cpu) = (Instant::now(), cpu_seconds("self"));
    let requests = work();
    println!("{requests} {} {} {}", start.elapsed().as_secs_f64(), cpu_seconds("self") - cpu, peak_megabytes());
}

/// Calls this program in another role and returns what it prints.
pub fn call(role: &str, arguments: &[&str]) -> String {
    let output = this(role, arguments).stderr(Stdio::inherit()).output().expect("started");
    assert!(output.status.success(), "{role} failed");
    String::from_utf8(output.stdout).expect("text")
}

fn this(role: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(role).args(arguments);
    command
}

/// User and system time of a process.
fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("stat");
    let behind_name = stat.rsplit(')').next().expect("a name");
    behind_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>()
        / TICKS_PER_SECOND
}

fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("kB") / 1000.0
}
