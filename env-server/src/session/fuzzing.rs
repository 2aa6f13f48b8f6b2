//! Fuzz targets that need access to sessions; [`crate::fuzzing`] has the list.

use std::sync::Arc;

use env_protocol::{Encoding, ErrorCode, Snapshot, Trajectory};

use super::context::SessionContext;
use super::limits::Limits;
use super::records::ReplayedSessions;
use super::store::Store;
use super::trajectory::{creation_for, replay};
use super::wire_bytes::read_length;
use super::{Description, Kind, Operation, Reply, Session};
use environments::actions::{ActionRange, action_ranges};
use environments::vector::Reset;
use service::leases::Clock;

#[cfg(test)]
pub(crate) mod seeds;

/// Most lanes that are played, so that the input cannot ask for much time.
const MAX_LANES: u64 = 8;
/// Operations played after restoring a state.
const STEPS: usize = 24;

/// Decodes an operation as in histories and journals.
pub fn operation(bytes: &[u8]) {
    if let Ok(operation) = Operation::decode(bytes) {
        let written = encoded(&operation);
        let again = Operation::decode(&written).expect("what has been written can be read");
        // Compare bytes rather than operations: a snapshot may contain NaN, which is not equal to
        // itself.
        assert_eq!(encoded(&again), written);
    }
}

fn encoded(operation: &Operation) -> Vec<u8> {
    let mut bytes = Vec::new();
    operation.encode(&mut bytes);
    bytes
}

/// Reads records of a journal, each after a byte for its key and its length. Sessions are
/// recovered from any contents and play on, or are lost.
pub fn record(mut bytes: &[u8]) {
    let mut replayed = ReplayedSessions::new(1_024);
    while let Some((&key, mut rest)) = bytes.split_first() {
        let length = read_length(&mut rest).unwrap_or(rest.len());
        let (record, after) = rest.split_at(length.min(rest.len()));
        replayed.record(0, u64::from(key), record);
        bytes = after;
    }
    let context = Arc::new(SessionContext::new(
        1_024,
        Clock::default(),
        None,
        replayed.last_key,
        crate::session::Catalogue::default(),
    ));
    for (key, whole) in replayed.sessions {
        // Larger ones are refused before they are written.
        if whole.created.creation.num_envs() > MAX_LANES || replayed.lost.contains_key(&key) {
            continue;
        }
        if let Ok(session) = Session::recover(key, whole, Arc::clone(&context)) {
            tells_its_trajectory(&session);
            plays_on(&session, STEPS);
        }
    }
}

/// Checks that the session's trajectory can be replayed, or that it reports that it cannot.
fn tells_its_trajectory(session: &Session) {
    match session.told(None, 100) {
        Ok(page) => drop(replay(&page)),
        Err(problem) => assert_eq!(problem.code, ErrorCode::Internal),
    }
}

/// Restores a snapshot in either encoding: it is refused, or restored and played on from.
pub fn snapshot(bytes: &[u8]) {
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        if let Ok(snapshot) = encoding.decode::<Snapshot>(bytes) {
            restore(&snapshot);
        }
    }
}

/// Reads a page of a trajectory as `env-server replay` does.
pub fn trajectory(bytes: &[u8]) {
    if let Ok(page) = serde_json::from_slice::<Trajectory>(bytes)
        && page.start.lanes.len() as u64 <= MAX_LANES
    {
        let _ = replay(&page);
    }
}

fn restore(snapshot: &Snapshot) {
    let limits = Limits {
        max_lanes_per_env: MAX_LANES as usize,
        max_memory_bytes: 64 << 20,
        ..Limits::default()
    };
    let store = Store::new(limits, Clock::default());
    let Ok(created) = store.create(creation_for(snapshot), None) else {
        return;
    };
    let session = created.session;
    let before = session.snapshot().expect("it is sound");
    let restored = session.apply(None, Operation::Restore(Box::new(snapshot.clone())));
    let now = session.snapshot().expect("it is sound");
    match restored {
        Err(problem) => {
            assert_eq!(problem.code, ErrorCode::InvalidSnapshot);
            assert_eq!(now, before, "a refusal changes nothing");
        }
        Ok(_) => {
            let again = session.apply(None, Operation::Restore(Box::new(now.clone())));
            again.expect("its own snapshot");
            assert_eq!(session.snapshot().expect("it is sound"), now);
            plays_on(&session, STEPS);
        }
    }
}

/// Plays steps, and resets where needed. Observations of a single environment must be in its space.
pub(crate) fn plays_on(session: &Session, steps: usize) {
    let space = match session.describe().expect("it is sound") {
        Description::Single(description) => description.action_space,
        Description::Vector(description) => description.single_action_space,
    };
    let ranges = action_ranges(&space);
    let lanes = session.creation().num_envs() as usize;
    for t in 0..steps {
        let row = ranges.iter().enumerate().map(|(position, range)| {
            let varied = t * 7 + t / 5 + position;
            match range {
                ActionRange::Integers(range) => {
                    (range.start + varied as i64 % (range.end - range.start)) as f64
                }
                ActionRange::Reals { low, high } => low + (high - low) * (varied % 5) as f64 / 4.0,
            }
        });
        let row: Vec<f64> = row.collect();
        let answer = match session.apply(None, Operation::Step(row.repeat(lanes))) {
            Err(problem) if problem.code == ErrorCode::NeedsReset => {
                session.apply(None, Operation::Reset(Reset::default()))
            }
            answer => answer,
        };
        let answer = answer.unwrap_or_else(|problem| panic!("{problem}"));
        if session.creation().kind() == Kind::Single {
            let observation = match &*answer.reply {
                Reply::Reset(reply) => &reply.observation,
                Reply::Step(reply) => &reply.observation,
                other => panic!("{other:?}"),
            };
            let space = &session.blueprint().spaces.observation;
            assert!(space.contains(observation), "{observation:?} at {t}");
        }
    }
    session.pictures(None).expect("it is sound");
}
