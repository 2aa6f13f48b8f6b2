//! A storm: players whose calls are lost, cut, duplicated, pipelined, stale, from the future or
//! garbage, on a server that is killed over and over. Every reply is compared with that of an
//! undisturbed server asked once.

mod calm;
mod connection;
mod player;
mod request;

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use env_server::journal::Durability;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::MortalServer;
pub use connection::Transport;
use player::Player;

/// Length and severity of a storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How the players reach the server.
    pub transport: Transport,
    /// Durability of acknowledged operations.
    pub durability: Durability,
    /// Least number of SIGKILLs.
    pub kills: u64,
    /// Least number of calls. Kills and calls continue until both numbers are reached.
    pub calls: u64,
    /// Players, each a thread with its own environments.
    pub players: u64,
    /// Seed of everything random.
    pub seed: u64,
}

/// The result of a storm.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Number of SIGKILLs.
    pub kills: u64,
    /// Calls by fate, in the order of [`Fate::ALL`].
    pub calls: [u64; Fate::ALL.len()],
    /// Replies that were compared with the calm server's.
    pub compared: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Descriptions of the first replies that differ.
    pub mismatches: Vec<String>,
    /// Number of replies that differ.
    pub num_mismatches: u64,
}

impl Outcome {
    /// Returns the number of calls.
    pub fn num_calls(&self) -> u64 {
        self.calls.iter().sum()
    }

    /// Returns the number of calls that were disturbed.
    pub fn num_faulty(&self) -> u64 {
        self.num_calls() - self.calls[Fate::Clean as usize] - self.calls[Fate::Repeated as usize]
    }
}

/// The fate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Undisturbed.
    Clean,
    /// Repeated, because its outcome is unknown.
    Repeated,
    /// Its reply is not read.
    Lost,
    /// The connection ends in the middle of the request.
    Cut,
    /// Sent on two connections at once.
    Doubled,
    /// Sent with others of the same environment before any is answered; the connection ends before all are.
    Pipelined,
    /// An earlier operation, unchanged or changed.
    Stale,
    /// An operation with a number in the future.
    Future,
    /// Not a valid request.
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
    /// Whether the kills are over: from then on a dead server is a failure.
    killer_is_done: AtomicBool,
    mismatches: Mutex<Vec<String>>,
    num_mismatches: AtomicU64,
}

/// Most mismatches that are described.
const KEPT_MISMATCHES: usize = 20;
/// Longest pause between a server's start and its end.
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
    /// Runs the storm. `serve` is the name of a test that calls [`crate::serve_if_asked`], or
    /// anything in a program that calls it first.
    ///
    /// # Errors
    /// When the server does not start, or not again after a kill.
    pub fn rage(self, serve: &'static str) -> io::Result<Outcome> {
        let data = tempfile::tempdir()?;
        let mut server = MortalServer::start_with(data.path(), serve, self.durability)?;
        let shared = Shared {
            storm: self,
            address: server.address().to_owned(),
            calls: Default::default(),
            compared: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            killer_is_done: AtomicBool::new(false),
            mismatches: Mutex::default(),
            num_mismatches: AtomicU64::new(0),
        };
        let begun = Instant::now();
        let killed = thread::scope(|scope| {
            let shared = &shared;
            for number in 0..self.players {
                scope.spawn(move || Player::new(shared, number).play());
            }
            let killed = kill_over_and_over(&mut server, shared);
            shared.killer_is_done.store(true, Ordering::Relaxed);
            killed
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

/// Kills the server until the storm is over, and leaves it alive.
fn kill_over_and_over(server: &mut MortalServer, shared: &Shared) -> io::Result<()> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(shared.storm.seed ^ 0xdead);
    // Spread the kills over the calls, so that both are completed together.
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
