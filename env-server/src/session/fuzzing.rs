//! Fuzz targets that reach into sessions; [`crate::fuzzing`] has the list.

use std::sync::Arc;

use env_protocol::{Encoding, ErrorCode, Snapshot, Trajectory};

use super::keeper::Keeper;
use super::lease::Clock;
use super::records::Recollection;
use super::store::{Limits, Store};
use super::trajectory::{creation_for, replay};
use super::wire_bytes::read_length;
use super::{Description, Kind, Operation, Reply, Session};
use environments::vector::{Reset, action_ranges};

#[cfg(test)]
pub(crate) mod seeds;

/// Most lanes that are played, so that bytes cannot ask for much time.
const MAX_LANES: u64 = 8;
/// Operations that a restored state is played on for.
const STEPS: usize = 24;

/// An operation as histories and journals have it.
pub fn operation(bytes: &[u8]) {
    if let Ok(operation) = Operation::decode(bytes) {
        let written = encoded(&operation);
        let again = Operation::decode(&written).expect("what has been written can be read");
        // Not the operations: a snapshot may hold NaN, which is not equal to itself.
        assert_eq!(encoded(&again), written);
    }
}

fn encoded(operation: &Operation) -> Vec<u8> {
    let mut bytes = Vec::new();
    operation.encode(&mut bytes);
    bytes
}

/// Records of a journal, each behind a byte for its key and its length: whatever they say,
/// sessions come back from them and play on, or are lost.
pub fn record(mut bytes: &[u8]) {
    let mut recollection = Recollection::new(1_024);
    while let Some((&key, mut rest)) = bytes.split_first() {
        let length = read_length(&mut rest).unwrap_or(rest.len());
        let (record, after) = rest.split_at(length.min(rest.len()));
        recollection.record(0, u64::from(key), record);
        bytes = after;
    }
    let keeper = Arc::new(Keeper::new(
        1_024,
        Clock::default(),
        None,
        recollection.last_key,
    ));
    for (key, whole) in recollection.sessions {
        // More are refused before they are written down.
        if whole.birth.creation.num_envs() > MAX_LANES || recollection.lost.contains_key(&key) {
            continue;
        }
        if let Ok(session) = Session::recover(key, whole, Arc::clone(&keeper)) {
            tells_its_trajectory(&session);
            plays_on(&session, STEPS);
        }
    }
}

/// What it tells of its past can be played again, or it says that it cannot tell.
fn tells_its_trajectory(session: &Session) {
    match session.told(None, 100) {
        Ok(page) => drop(replay(&page)),
        Err(problem) => assert_eq!(problem.code, ErrorCode::Internal),
    }
}

/// A snapshot in either encoding: it is refused, or restored and played on from.
pub fn snapshot(bytes: &[u8]) {
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        if let Ok(snapshot) = encoding.decode::<Snapshot>(bytes) {
            restore(&snapshot);
        }
    }
}

/// A page of a trajectory, as `env-server replay` reads it.
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

/// Steps and resets as need be. What a single environment shows is in its space.
pub(crate) fn plays_on(session: &Session, steps: usize) {
    let space = match session.describe().expect("it is sound") {
        Description::Single(description) => description.action_space,
        Description::Vector(description) => description.single_action_space,
    };
    let ranges = action_ranges(&space);
    let lanes = session.creation().num_envs() as usize;
    for t in 0..steps {
        let row = ranges.iter().enumerate().map(|(position, range)| {
            range.start + (t * 7 + t / 5 + position) as i64 % (range.end - range.start)
        });
        let row: Vec<i64> = row.collect();
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
            let space = &session.spaces.observation;
            assert!(space.contains(observation), "{observation:?} at {t}");
        }
    }
    session.pictures(None).expect("it is sound");
}
