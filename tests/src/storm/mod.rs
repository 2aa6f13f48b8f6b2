//! A storm: players whose calls are lost, cut, doubled, pipelined, stale, too early or garbage, on
//! a server that is killed repeatedly. Every reply is compared with that of a calm server, which
//! receives each request once.

mod calm;
mod connection;
mod player;
mod request;

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use env_server::journal::Durability;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::MortalServer;
pub use connection::Transport;
use player::Player;

/// The size of a storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// The kind of connection between players and server.
    pub transport: Transport,
    /// Durability of acknowledged operations.
    pub durability: Durability,
    /// Least number of SIGKILLs.
    pub kills: u64,
    /// Least number of calls. Kills and calls continue until both numbers are reached.
    pub calls: u64,
    /// Number of players, each a thread with environments of its own.
    pub players: u64,
    /// Seed of all random choices.
    pub seed: u64,
}

/// The results of a storm.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Number of SIGKILLs.
    pub kills: u64,
    /// Number of calls by fate, in the order of [`Fate::ALL`].
    pub calls: [u64; Fate::ALL.len()],
    /// Number of replies that were compared with the calm server's.
    pub compared: u64,
    /// Duration of the storm.
    pub elapsed: Duration,
    /// Descriptions of the first replies that differ.
    pub mismatches: Vec<String>,
    /// Number of replies that differ.
    pub num_mismatches: u64,
}

impl Outcome {
    /// Number of all calls.
    pub fn num_calls(&self) -> u64 {
        self.calls.iter().sum()
    }

    /// Number of calls that were disturbed.
    pub fn num_faulty(&self) -> u64 {
        self.num_calls() - self.calls[Fate::Clean as usize] - self.calls[Fate::Repeated as usize]
    }
}

/// The way in which a call is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not disturbed.
    Clean,
    /// Sent again because its outcome is unknown.
    Repeated,
    /// Its reply is not read.
    Lost,
    /// The connection ends in the middle of the request.
    Cut,
    /// Sent on two connections at the same time.
    Doubled,
    /// Sent with others for the same environment before any is answered; the connection ends before
    /// all are answered.
    Pipelined,
    /// An earlier operation, unchanged or changed.
    Stale,
    /// An operation whose number is too large.
    Future,
    /// A request that the server must refuse.
    Garbage,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Fate; 9] = [
        Fate::Clean,
        Fate::Repeated,
        Fate::Lost,
        Fate::Cut,
        Fate::Doubled,
        Fate::Pipelined,
        Fate::Stale,
        Fate::Future,
        Fate::Garbage,
    ];
}

/// State shared by the players and the killer.
struct Shared {
    storm: Storm,
    address: String,
    calls: [AtomicU64; Fate::ALL.len()],
    compared: AtomicU64,
    kills: AtomicU64,
    mismatches: Mutex<Vec<String>>,
    num_mismatches: AtomicU64,
}

/// Number of mismatches whose descriptions are kept.
const KEPT_MISMATCHES: usize = 20;
/// Longest time between a server's start and its kill.
const LONGEST_LIFE: Duration = Duration::from_millis(250);

impl Shared {
    fn count(&self, fate: Fate) {
        self.calls[fate as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn num_calls(&self) -> u64 {
        let counts = self.calls.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn is_over(&self) -> bool {
        self.num_calls() >= self.storm.calls
            && self.kills.load(Ordering::Relaxed) >= self.storm.kills
    }

    fn mismatch(&self, what: String) {
        self.num_mismatches.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.mismatches.lock().expect("no thread panics with it");
        if kept.len() < KEPT_MISMATCHES {
            kept.push(what);
        }
    }
}

impl Storm {
    /// Runs the storm. `serve` is the name of a test that calls [`crate::serve_if_asked`], or any
    /// text in a program that calls that function first.
    ///
    /// # Errors
    /// When the server does not start, at first or after a kill.
    pub fn rage(self, serve: &'static str) -> io::Result<Outcome> {
        let data = tempfile::tempdir()?;
        let mut server = MortalServer::start_with(data.path(), serve, self.durability)?;
        let shared = Shared {
            storm: self,
            address: server.address().to_owned(),
            calls: Default::default(),
            compared: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            mismatches: Mutex::default(),
            num_mismatches: AtomicU64::new(0),
        };
        let begun = Instant::now();
        let killed = thread::scope(|scope| {
            let shared = &shared;
            for number in 0..self.players {
                scope.spawn(move || Player::new(shared, number).play());
            }
            kill_over_and_over(&mut server, shared)
        });
        killed?;
        Ok(Outcome {
            kills: shared.kills.into_inner(),
            calls: shared.calls.map(AtomicU64::into_inner),
            compared: shared.compared.into_inner(),
            elapsed: begun.elapsed(),
            mismatches: shared
                .mismatches
                .into_inner()
                .expect("no thread panics with it"),
            num_mismatches: shared.num_mismatches.into_inner(),
        })
    }
}

/// Kills and restarts the server until the storm is over, and leaves it running.
fn kill_over_and_over(server: &mut MortalServer, shared: &Shared) -> io::Result<()> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(shared.storm.seed ^ 0xdead);
    // Kills are spread over the calls, so that both reach their numbers together.
    let calls_a_kill = shared.storm.calls.checked_div(shared.storm.kills);
    while !shared.is_over() {
        let kills = shared.kills.load(Ordering::Relaxed);
        let is_due = calls_a_kill.is_some_and(|calls| shared.num_calls() >= kills * calls);
        if is_due {
            thread::sleep(LONGEST_LIFE.mul_f64(rng.random::<f64>().powi(2)));
            server.kill()?;
            server.restart()?;
            shared.kills.fetch_add(1, Ordering::Relaxed);
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}
