//! Seeds that need access to sessions and journals.

use std::fs;

use env_protocol::{ForkRequest, LeaseRequest, Seed as EnvSeed};
use serde_json::json;

use super::*;
use crate::fuzzing::seeds::Seed;
use crate::journal::{Durability, Journal, JournalConfig};
use crate::session::Creation;
use crate::session::wire_bytes::write_length;

pub(crate) fn operations() -> Vec<Seed> {
    let store = Store::new(Limits::default(), Clock::default());
    let session = store.create(single(), None).expect("created").session;
    let snapshot = session.snapshot().expect("it is sound");
    let kwargs = json!({"delay": 3, "cue_time": "random"});
    let operations = [
        (
            "bits",
            Operation::Step([0, 1, 1, 0, 0, 0, 0, 0, 1].map(f64::from).to_vec()),
        ),
        ("bytes", Operation::Step(vec![0.0, 7.0, 255.0])),
        ("wide", Operation::Step(vec![-1.0, 2.0_f64.powi(40)])),
        ("floats", Operation::Step(vec![0.5, -2.0])),
        ("doubles", Operation::Step(vec![0.1, -0.0])),
        (
            "reset",
            Operation::Reset(Reset {
                mask: Some(vec![true, false]),
                seed: Some(EnvSeed::Each(vec![u64::MAX, 0])),
                kwargs: serde_json::from_value(kwargs).expect("a map"),
            }),
        ),
        ("restore", Operation::Restore(Box::new(snapshot))),
        (
            "fork",
            Operation::Fork {
                request: ForkRequest {
                    seq: None,
                    env_id: Some("g".to_owned()),
                    ttl_s: Some(9),
                },
                env_id: "g".to_owned(),
            },
        ),
    ];
    let seeds = operations.iter();
    seeds
        .map(|(name, operation)| Seed::new(*name, encoded(operation)))
        .collect()
}

fn single() -> Creation {
    let body = json!({"spec_id": "MemoryTask-v0", "kwargs": {"difficulty": 1}, "seed": 3});
    Creation::Single(serde_json::from_value(body).expect("a body"))
}

fn vector() -> Creation {
    let body = json!({"spec_id": "MemoryTask-v0", "num_envs": 2, "seed": [1, 2],
                      "autoreset_mode": "SameStep"});
    Creation::Vector(serde_json::from_value(body).expect("a body"))
}

/// The journal of a server on which everything that is written to one has happened.
struct JournalPosition {
    /// Keys and records, in order.
    records: Vec<(u64, Vec<u8>)>,
    /// A session as written by a compaction.
    whole: (u64, Vec<u8>),
    /// The only segment.
    segment: Vec<u8>,
}

fn written() -> JournalPosition {
    let folder = tempfile::tempdir().expect("a folder");
    let config = JournalConfig::new(folder.path(), Durability::Process);
    let opened = Store::open(Limits::default(), Clock::default(), config.clone());
    let (store, _) = opened.expect("an empty journal");
    let create = |id, creation| {
        store
            .create_as(id, creation, None)
            .expect("created")
            .session
    };
    let (e, v) = (create("e", single()), create("v", vector()));
    plays_on(&e, 5);
    plays_on(&v, 5);
    let fork = ForkRequest {
        env_id: Some("g".to_owned()),
        ..ForkRequest::default()
    };
    store.fork(&e, fork, None).expect("forked");
    // Fill a chunk, so that another one begins.
    for _ in 0..12 {
        let snapshot = Box::new(e.snapshot().expect("it is sound"));
        e.apply(None, Operation::Restore(snapshot))
            .expect("its own");
    }
    let lease = LeaseRequest { ttl_s: Some(9) };
    store.renew(&v, lease).expect("renewed");
    store.close(Kind::Single, "g", None).expect("closed");
    let whole = e.with_snapshot(|whole| (whole.key, whole.payload.to_vec()));
    drop((e, v, store));
    let mut records = Vec::new();
    let see = &mut |_, key, record: &[u8]| records.push((key, record.to_vec()));
    Journal::open(config, see).expect("a sound journal");
    let mut files = fs::read_dir(folder.path()).expect("a folder");
    let segment = files.find_map(|file| {
        let path = file.expect("a file").path();
        let is_segment = path
            .extension()
            .is_some_and(|extension| extension == "journal");
        is_segment.then(|| fs::read(path).expect("a segment"))
    });
    JournalPosition {
        records,
        whole: whole.expect("it lives"),
        segment: segment.expect("a segment"),
    }
}

pub(crate) fn records() -> Vec<Seed> {
    let written = written();
    let of = |key: u64| {
        let records = written.records.iter().filter(|(of, _)| *of == key);
        records.map(framed).collect::<Vec<_>>().concat()
    };
    vec![
        Seed::new("single", of(1)),
        Seed::new("vector", of(2)),
        Seed::new("fork-and-end", of(3)),
        Seed::new("whole", framed(&written.whole)),
    ]
}

/// Frames a record as the target reads it.
fn framed((key, record): &(u64, Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(*key).expect("a small key")];
    write_length(&mut bytes, record.len());
    bytes.extend_from_slice(record);
    bytes
}

pub(crate) fn segments() -> Vec<Seed> {
    vec![Seed::new("segment", written().segment)]
}
