//! Recovery restores what was there, and damage stays contained.

use std::fs;
use std::path::Path;
use std::time::Duration;

use env_protocol::{CreateEnv, CreateVectorEnv, ForkRequest, Kwargs, LeaseRequest, Seed};
use serde_json::json;

use super::*;
use crate::journal::Durability;
use crate::session::store::CreatedSession;
use crate::session::{Answer, Creation, Kind, Operation};
use environments::vector::Reset;
use service::Owner;

pub(super) fn open(dir: &Path) -> (Store, Recovery) {
    let config = JournalConfig::new(dir, Durability::Process);
    Store::open(Limits::default(), Clock::default(), config).expect("a journal")
}

pub(super) fn single() -> Creation {
    let kwargs = json!({"delay": 5, "difficulty": 1});
    Creation::Single(CreateEnv {
        spec_id: "MemoryTask-v0".to_owned(),
        kwargs: serde_json::from_value(kwargs).unwrap(),
        seed: None,
        ttl_s: Some(60),
    })
}

pub(super) fn vector() -> Creation {
    let kwargs = json!({"delay": 9, "delay_min": 2, "difficulty": 1});
    Creation::Vector(CreateVectorEnv {
        spec_id: "MemoryTask-v0".to_owned(),
        num_envs: 3,
        kwargs: serde_json::from_value(kwargs).unwrap(),
        seed: Some(Seed::First(4)),
        autoreset_mode: env_protocol::AutoresetMode::SameStep,
        ttl_s: None,
    })
}

/// With noise, a limit that cuts episodes, and everything that can be observed.
fn wrapped() -> Creation {
    let wrappers = json!({"max_episode_steps": 4, "observation_noise": 0.5, "previous_action": true,
                          "previous_reward": true, "is_first": true});
    let wrappers: Kwargs = serde_json::from_value(wrappers).unwrap();
    match vector() {
        Creation::Vector(mut body) => {
            body.kwargs.extend(wrappers);
            Creation::Vector(body)
        }
        single => single,
    }
}

pub(super) fn created(store: &Store, id: &str, creation: Creation) -> Arc<Session> {
    let CreatedSession { session, .. } = store.create_as(id, creation, None).expect("created");
    session
}

pub(super) fn reset(session: &Session, seq: u64) -> Answer {
    let operation = Operation::Reset(Reset::default());
    session.apply(Some(seq), operation).expect("reset")
}

pub(super) fn step(session: &Session, seq: u64) -> Answer {
    let lanes = session.creation().num_envs();
    let actions = (0..lanes).map(|lane| ((seq + lane) % 2) as f64).collect();
    let answer = session.apply(Some(seq), Operation::Step(actions));
    answer.unwrap_or_else(|problem| panic!("step {seq}: {problem}"))
}

/// Plays further, without anything else in between, and returns all replies.
pub(super) fn play(session: &Session, from: u64, to: u64) -> Vec<String> {
    let replies = (from..to).map(|seq| {
        let answer = match session.creation().kind() {
            Kind::Single if seq % 6 == 0 => reset(session, seq),
            Kind::Vector if seq == 0 => reset(session, seq),
            _ => step(session, seq),
        };
        format!("{:?}", answer.reply)
    });
    replies.collect()
}

#[test]
fn everything_goes_on_where_it_was() {
    goes_on_where_it_was(vector);
    goes_on_where_it_was(wrapped);
}

fn goes_on_where_it_was(vector: fn() -> Creation) {
    let dir = tempfile::tempdir().unwrap();
    let calm = Store::new(Limits::default(), Clock::default());
    let untroubled = [created(&calm, "v", vector())];
    let expected = play(&untroubled[0], 0, 60);
    let mut played = Vec::new();
    let mut single_snapshot = None;
    // The server ends and starts again every few operations.
    for round in 0..6 {
        let (store, recovery) = open(dir.path());
        assert!(
            recovery.lost.is_empty() && recovery.damage.is_empty(),
            "{recovery:?}"
        );
        let (v, e) = (
            created(&store, "v", vector()),
            created(&store, "e", single()),
        );
        if let Some(snapshot) = single_snapshot.take() {
            assert_eq!(e.snapshot().unwrap(), snapshot);
        }
        played.extend(play(&v, 10 * round, 10 * (round + 1)));
        play(&e, 7 * round, 7 * (round + 1));
        single_snapshot = Some(e.snapshot().unwrap());
    }
    assert_eq!(played, expected);
}

#[test]
fn the_last_reply_is_given_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let e = created(&store, "e", single());
    reset(&e, 0);
    step(&e, 1);
    let fork = ForkRequest {
        seq: Some(2),
        ..ForkRequest::default()
    };
    let forked = store.fork(&e, fork.clone(), None).unwrap();
    let f = created(&store, "f", single());
    reset(&f, 0);
    let stepped = step(&f, 1);
    drop((e, f, store));
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.environments, 3);
    let f = store.get(Kind::Single, "f", None).unwrap();
    let again = step(&f, 1);
    assert!(again.is_replay);
    assert_eq!(again.reply, stepped.reply);
    let e = store.get(Kind::Single, "e", None).unwrap();
    let again = store.fork(&e, fork, None).unwrap();
    assert_eq!((again.is_replay, &again.reply), (true, &forked.reply));
    let other = e.apply(Some(2), Operation::Step(vec![0.0])).unwrap_err();
    assert_eq!(other.code.as_str(), "seq-reused");
}

#[test]
fn ends_leases_and_owners_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ann = Owner {
        name: "ann".into(),
        max_envs: Some(1),
        max_lanes: None,
    };
    {
        let (store, _) = open(dir.path());
        created(&store, "closed", single());
        store.close(Kind::Single, "closed", None).unwrap();
        created(&store, "expired", single());
        store.context().clock.skip(Duration::from_secs(61));
        store.reap();
        assert_eq!(store.leases_expired(), 1);
        let renewed = created(&store, "renewed", single());
        store
            .renew(&renewed, LeaseRequest { ttl_s: Some(7) })
            .unwrap();
        store.create_as("hers", single(), Some(&ann)).unwrap();
    }
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.environments, 2);
    let code = |id: &str, owner| {
        store
            .get(Kind::Single, id, owner)
            .err()
            .map(|p| p.code.as_str())
    };
    assert_eq!(code("closed", None), Some("env-closed"));
    assert_eq!(code("expired", None), Some("lease-expired"));
    let bob = Owner {
        name: "bob".into(),
        ..ann.clone()
    };
    assert_eq!(code("hers", Some(&bob)), Some("unknown-env"));
    assert_eq!(code("hers", Some(&ann)), None);
    let over = store.create_as("more", single(), Some(&ann)).err().unwrap();
    assert_eq!(over.code.as_str(), "quota-exceeded");
    store.context().clock.skip(Duration::from_secs(8));
    assert_eq!(code("renewed", None), Some("lease-expired"));
}

#[test]
fn a_compacted_journal_tells_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = JournalConfig::new(dir.path(), Durability::Process);
    config.segment_bytes = 4_096;
    let (store, _) = Store::open(Limits::default(), Clock::default(), config.clone()).unwrap();
    let v = created(&store, "v", vector());
    created(&store, "gone", single());
    store.close(Kind::Single, "gone", None).unwrap();
    let mut compactions = 0;
    let mut replies = Vec::new();
    for round in 0..40 {
        replies.extend(play(&v, 50 * round, 50 * (round + 1)));
        if store.is_compaction_due() {
            store.compact().unwrap();
            compactions += 1;
        }
    }
    assert!(compactions >= 2, "{compactions}");
    let trajectory = v.told(None, 1_000).unwrap();
    let snapshot = v.snapshot().unwrap();
    drop((v, store));
    let (store, recovery) = Store::open(Limits::default(), Clock::default(), config).unwrap();
    assert_eq!((recovery.environments, recovery.lost.len()), (1, 0));
    let v = store.get(Kind::Vector, "v", None).unwrap();
    assert_eq!(v.snapshot().unwrap(), snapshot);
    assert_eq!(
        v.told(Some(trajectory.first_seq), 1_000).unwrap(),
        trajectory
    );
    let calm = Store::new(Limits::default(), Clock::default());
    let untroubled = created(&calm, "v", vector());
    assert_eq!(replies, play(&untroubled, 0, 2_000));
    assert_eq!(play(&v, 2_000, 2_050), play(&untroubled, 2_000, 2_050));
    let gone = store.get(Kind::Single, "gone", None).err().unwrap();
    assert_eq!(gone.code.as_str(), "env-closed");
}

/// A flipped bit anywhere loses at most the environment whose record it is in, and is reported.
#[test]
fn damage_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        for id in ["a", "b", "c"] {
            let session = created(&store, id, single());
            play(&session, 0, 12);
        }
    }
    let segment = fs::read_dir(dir.path()).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.extension()
            .is_some_and(|extension| extension == "journal")
            .then_some(path)
    });
    let segment = segment.into_iter().next().expect("a segment");
    let good = fs::read(&segment).unwrap();
    let mut losses = 0;
    for at in (40..good.len()).step_by(13) {
        let copy = tempfile::tempdir().unwrap();
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(copy.path().join(segment.file_name().unwrap()), &bad).unwrap();
        let (store, recovery) = open(copy.path());
        let found: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .filter(|id| store.get(Kind::Single, id, None).is_ok())
            .collect();
        assert!(found.len() >= 2, "byte {at}: {recovery:?}");
        assert_eq!(recovery.environments, found.len());
        if found.len() == 2 {
            losses += 1;
            assert!(!recovery.lost.is_empty(), "byte {at}: {recovery:?}");
        }
        let is_tail = recovery.torn_tail_bytes > 0;
        for id in found {
            let session = store.get(Kind::Single, id, None).unwrap();
            // No acknowledged operation is missing unless that was reported.
            let is_whole = session
                .describe()
                .is_ok_and(|d| format!("{d:?}").contains("seq: 12"));
            assert!(
                is_whole || is_tail || !recovery.damage.is_empty(),
                "byte {at}: {recovery:?}"
            );
        }
    }
    assert!(losses > 10, "{losses}");
}

/// Checksums protect records from damage, so a record like this could only come from a defect.
#[test]
fn an_operation_that_does_not_fit_its_lanes_loses_its_environment() {
    let reset = |mask, seed| {
        Operation::Reset(Reset {
            mask,
            seed,
            ..Reset::default()
        })
    };
    for operation in [
        Operation::Step(vec![0.0; 4]),
        Operation::Step(Vec::new()),
        reset(Some(vec![true]), None),
        reset(None, Some(Seed::Each(vec![1]))),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        let v = created(&store, "v", vector());
        play(&v, 0, 2);
        let mut bytes = Vec::new();
        operation.encode(&mut bytes);
        let record = records::operation(2, &bytes);
        let journal = store.context().journal().unwrap();
        journal.append(&[Record::new(v.key(), &record)]).unwrap();
        drop((v, store));
        let (_, recovery) = open(dir.path());
        let [(id, detail)] = &recovery.lost[..] else {
            panic!("{recovery:?}");
        };
        assert!(id == "v" && detail.starts_with("operation 2: "), "{detail}");
    }
}

#[test]
fn a_state_that_is_too_large_to_be_kept_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (e, v) = (
        created(&store, "e", single()),
        created(&store, "v", vector()),
    );
    for session in [&e, &v] {
        assert_eq!(session.check_can_be_kept(1 << 20), Ok(()));
    }
    let refused = |session: &Session| session.check_can_be_kept(100).err().unwrap();
    assert_eq!(refused(&e).code.as_str(), "invalid-kwargs");
    let problem = refused(&v);
    assert_eq!(problem.code.as_str(), "invalid-num-envs");
    assert!(problem.detail.contains("100"), "{problem}");
    // Without a journal nothing needs to be written.
    let calm = Store::new(Limits::default(), Clock::default());
    assert_eq!(created(&calm, "v", vector()).check_can_be_kept(100), Ok(()));
}

/// A session that could prevent the compaction of the journal for all others is lost instead.
#[test]
fn one_that_cannot_be_written_down_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (one, other) = (
        created(&store, "one", single()),
        created(&store, "other", single()),
    );
    play(&other, 0, 3);
    store.give_up(
        &one,
        &JournalError::FrameSize {
            records: 1,
            bytes: 1 << 40,
        },
    );
    drop((one, other, store));
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.environments, 1);
    let gone = store.get(Kind::Single, "one", None).err().unwrap();
    assert_eq!(gone.code.as_str(), "env-lost");
}
