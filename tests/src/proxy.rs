//! A proxy between a client and a server that fails by a seeded schedule.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// How often a proxy failed, by kind.
#[derive(Debug, Default)]
pub struct Faults {
    /// Connections closed before a byte was passed on.
    pub refused: AtomicU64,
    /// Connections answered 503 without asking the server.
    pub unavailable: AtomicU64,
    /// Connections cut while the server's reply was on its way: the operation was applied, its reply is lost.
    pub replies_lost: AtomicU64,
}

impl Faults {
    /// All kinds together.
    pub fn total(&self) -> u64 {
        [&self.refused, &self.unavailable, &self.replies_lost]
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

/// What happens to one connection.
#[derive(Clone, Copy)]
enum Fate {
    Refuse,
    Unavailable,
    /// Cut both ways once the server has sent so many bytes, in the middle of a reply or behind one.
    CutAfter(usize),
}

/// Listens on a free port of this machine until it is dropped.
pub struct FaultyProxy {
    address: SocketAddr,
    faults: Arc<Faults>,
    over: Arc<AtomicBool>,
}

impl FaultyProxy {
    /// Passes connections on to `server` (`http://HOST:PORT`), each with a fate drawn from `seed`: a reply of the
    /// server is lost after some hundred to some thousand bytes.
    pub fn start(server: &str, seed: u64) -> std::io::Result<Self> {
        let upstream = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let faults = Arc::new(Faults::default());
        let over = Arc::new(AtomicBool::new(false));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (counts, ended) = (Arc::clone(&faults), Arc::clone(&over));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let fate = match rng.random_range(0..10) {
                    0 => Fate::Refuse,
                    1 => Fate::Unavailable,
                    _ => Fate::CutAfter(rng.random_range(100..20_000)),
                };
                let (upstream, counts) = (upstream.clone(), Arc::clone(&counts));
                thread::spawn(move || meet(fate, client, &upstream, &counts));
            }
        });
        Ok(Self {
            address,
            faults,
            over,
        })
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it failed so far.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

/// Errors end a connection, which is what this is about.
fn meet(fate: Fate, mut client: TcpStream, upstream: &str, faults: &Faults) {
    let count = |kind: &AtomicU64| kind.fetch_add(1, Ordering::Relaxed);
    match fate {
        Fate::Refuse => {
            count(&faults.refused);
        }
        Fate::Unavailable => {
            count(&faults.unavailable);
            let _ = client.read(&mut [0; 65_536]);
            let _ = client.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
        Fate::CutAfter(bytes) => {
            if pass_on(client, upstream, bytes) == Some(Cut) {
                count(&faults.replies_lost);
            }
        }
    }
}

/// The connection was cut by the proxy.
#[derive(PartialEq)]
struct Cut;

fn pass_on(mut client: TcpStream, upstream: &str, mut allowed: usize) -> Option<Cut> {
    let mut server = TcpStream::connect(upstream).ok()?;
    server.set_nodelay(true).ok()?;
    client.set_nodelay(true).ok()?;
    let (mut requests, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut requests, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 65_536];
    loop {
        let length = server.read(&mut buffer).ok().filter(|&length| length > 0)?;
        let passed = length.min(allowed);
        client.write_all(&buffer[..passed]).ok()?;
        allowed -= passed;
        if passed < length {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            return Some(Cut);
        }
    }
}
