//! A proxy between a client and a server that fails by a seeded schedule.
//!
//! It separates requests, so that each has its own fate: it may never arrive, arrive twice or late,
//! or its reply may be lost or cut after the server has applied the operation.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Time by which a killed server is back; a client's own patience is longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Number of failures by kind.
#[derive(Debug, Default)]
pub struct Faults {
    /// Requests that never arrived.
    pub requests_lost: AtomicU64,
    /// Requests answered 503 without asking the server.
    pub unavailable: AtomicU64,
    /// Replies that never arrived, although the operation was applied.
    pub replies_lost: AtomicU64,
    /// Replies that arrived only by half.
    pub replies_cut: AtomicU64,
    /// Requests that arrived twice, on two connections.
    pub duplicated: AtomicU64,
    /// Requests that arrived late.
    pub delayed: AtomicU64,
    /// Requests for which there was no server.
    pub unanswered: AtomicU64,
}

impl Faults {
    /// Returns the number of all failures.
    pub fn total(&self) -> u64 {
        let kinds = [
            &self.requests_lost,
            &self.unavailable,
            &self.replies_lost,
            &self.replies_cut,
            &self.duplicated,
            &self.delayed,
            &self.unanswered,
        ];
        kinds
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

/// The fate of a request.
#[derive(Clone, Copy)]
enum Fate {
    Pass,
    LoseRequest,
    Unavailable,
    LoseReply,
    CutReply,
    Duplicate,
    Delay(Duration),
}

impl Fate {
    /// Draws a fate; one request in eight fails.
    fn draw(rng: &mut Xoshiro256PlusPlus) -> Self {
        match rng.random_range(0..48) {
            0 => Fate::LoseRequest,
            1 => Fate::Unavailable,
            2 => Fate::LoseReply,
            3 => Fate::CutReply,
            4 => Fate::Duplicate,
            5 => Fate::Delay(Duration::from_millis(rng.random_range(1..20))),
            _ => Fate::Pass,
        }
    }
}

/// A proxy that listens on a free port of this machine until it is dropped.
pub struct FaultyProxy {
    address: SocketAddr,
    faults: Arc<Faults>,
    over: Arc<AtomicBool>,
}

impl FaultyProxy {
    /// Starts a proxy that passes requests on to `server` (`http://HOST:PORT`), each with a fate
    /// drawn from `seed`.
    ///
    /// # Errors
    /// When no port of the loopback address is free.
    pub fn start(server: &str, seed: u64) -> io::Result<Self> {
        let upstream = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let faults = Arc::new(Faults::default());
        let over = Arc::new(AtomicBool::new(false));
        let (counts, ended) = (Arc::clone(&faults), Arc::clone(&over));
        thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ (number as u64) << 20);
                let (upstream, counts) = (upstream.clone(), Arc::clone(&counts));
                // An error ends the connection, as intended.
                thread::spawn(move || drop(serve(client, &upstream, rng, &counts)));
            }
        });
        Ok(Self {
            address,
            faults,
            over,
        })
    }

    /// Returns its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the failures so far.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wake the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

/// Serves one connection until it fails or is made to fail.
fn serve(
    mut client: TcpStream,
    upstream: &str,
    mut rng: Xoshiro256PlusPlus,
    faults: &Faults,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let count = |kind: &AtomicU64| kind.fetch_add(1, Ordering::Relaxed);
    let mut server: Option<TcpStream> = None;
    loop {
        let request = read_message(&mut client)?;
        let fate = Fate::draw(&mut rng);
        match fate {
            Fate::LoseRequest => {
                count(&faults.requests_lost);
                return client.shutdown(Shutdown::Both);
            }
            Fate::Unavailable => {
                count(&faults.unavailable);
                client
                    .write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
            Fate::Duplicate => {
                count(&faults.duplicated);
                let mut other = connect(upstream)?;
                other.write_all(&request)?;
                read_message(&mut other)?;
            }
            Fate::Delay(time) => {
                count(&faults.delayed);
                thread::sleep(time);
            }
            Fate::Pass | Fate::LoseReply | Fate::CutReply => {}
        }
        let Ok(reply) = ask(&mut server, upstream, &request) else {
            count(&faults.unanswered);
            return client.shutdown(Shutdown::Both);
        };
        match fate {
            Fate::LoseReply => {
                count(&faults.replies_lost);
                return client.shutdown(Shutdown::Both);
            }
            Fate::CutReply => {
                count(&faults.replies_cut);
                client.write_all(&reply[..reply.len() / 2])?;
                return client.shutdown(Shutdown::Both);
            }
            _ => client.write_all(&reply)?,
        }
    }
}

/// Sends a request on the kept connection, or a new one, and reads the reply.
fn ask(server: &mut Option<TcpStream>, upstream: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = match server.take() {
        Some(stream) => stream,
        None => connect(upstream)?,
    };
    stream.write_all(request)?;
    let reply = read_message(&mut stream)?;
    *server = Some(stream);
    Ok(reply)
}

fn connect(upstream: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(upstream)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads a request or a reply: a head, and the body whose length it gives.
fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        if let Some(end) = message.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
            let length = head.split("\r\ncontent-length:").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
            if message.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(message);
            }
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        message.extend_from_slice(&buffer[..read]);
    }
}
