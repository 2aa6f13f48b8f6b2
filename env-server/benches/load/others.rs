//! Clients that are not part of the load, and how long they wait for answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use env_protocol::Encoding;

use crate::support::{Connection, request};
use crate::wave::Answers;

/// Number of these clients.
pub const PLAYERS: usize = 4;

/// Time between an answer and the next step.
const PAUSE: Duration = Duration::from_millis(2);

/// Running players, each with its own environment and connection.
pub struct Others {
    is_over: Arc<AtomicBool>,
    players: Vec<JoinHandle<(Vec<Duration>, Answers)>>,
}

impl Others {
    /// Starts the players. `name` must be new, since ids begin with it.
    pub fn begin(address: &str, name: &str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let players = (0..PLAYERS).map(|i| {
            let (address, is_over) = (address.to_owned(), Arc::clone(&is_over));
            let path = format!("/v1/envs/{name}-{i}");
            std::thread::spawn(move || play(&address, &path, &is_over))
        });
        Others {
            players: players.collect(),
            is_over,
        }
    }

    /// Stops the players; returns the sorted times of steps, and the other answers.
    pub fn end(self) -> (Vec<Duration>, Answers) {
        self.is_over.store(true, Ordering::Relaxed);
        let (mut times, mut answers) = (Vec::new(), Answers::default());
        for player in self.players {
            let (of_one, answered) = player.join().expect("a player");
            times.extend(of_one);
            answers.add(answered);
        }
        times.sort_unstable();
        (times, answers)
    }
}

fn play(address: &str, path: &str, is_over: &AtomicBool) -> (Vec<Duration>, Answers) {
    let mut connection = Connection::open(address);
    let (mut times, mut answers) = (Vec::new(), Answers::default());
    let mut bytes = Vec::new();
    let mut ask = |method: &str, path: &str, body: &str| {
        request(method, path, Encoding::Json, body.as_bytes(), &mut bytes);
        let began = Instant::now();
        connection.send(&bytes);
        answers.take(&mut connection).then(|| began.elapsed())
    };
    let creation = r#"{"spec_id":"MemoryTask-v0","kwargs":{"delay":10000000},"seed":1}"#;
    ask("PUT", path, creation).expect("an environment");
    ask("POST", &format!("{path}/reset"), "{}").expect("an episode");
    let step = format!("{path}/step");
    while !is_over.load(Ordering::Relaxed) {
        times.extend(ask("POST", &step, r#"{"action":0}"#));
        std::thread::sleep(PAUSE);
    }
    ask("DELETE", path, "");
    (times, answers)
}
