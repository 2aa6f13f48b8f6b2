//! Compares the estimated sizes of sessions with their allocations.

use env_protocol::{AutoresetMode, CreateVectorEnv, Encoding, Kwargs, Snapshot};
use serde_json::json;

use super::limits::Limits;
use super::store::Store;
use super::{Clock, Creation, Operation};
use crate::counting::{most, taken};
use environments::registry;
use environments::vector::Reset;

/// Returns every environment by default, at its largest, and with wrappers.
fn creations(num_envs: u64) -> impl Iterator<Item = Creation> {
    let wrappers = json!({"previous_action": true, "previous_reward": true, "is_first": true});
    let large = [
        json!({"num_decks": 32}),
        json!({"num_decks": 8}),
        json!({"num_bits": 1024}),
        json!({"num_bits": 60}),
        json!({"num_bandits": 1000}),
        json!({"board_size": 20}),
        json!({"difficulty": "hard"}),
    ];
    registry::specs().iter().flat_map(move |spec| {
        let kwargs = [json!({}), wrappers.clone()]
            .into_iter()
            .chain(large.clone());
        let kwargs = kwargs.map(|kwargs| serde_json::from_value::<Kwargs>(kwargs).unwrap());
        kwargs.map(move |kwargs| {
            Creation::Vector(CreateVectorEnv {
                spec_id: spec.id.clone(),
                num_envs,
                kwargs,
                seed: None,
                autoreset_mode: AutoresetMode::SameStep,
                ttl_s: None,
            })
        })
    })
}

#[test]
fn environments_are_counted_with_what_they_take() {
    let store = Store::new(Limits::default(), Clock::default());
    let mut counted_all = 0;
    // Create each once, so that lazily built tables already exist.
    creations(1).for_each(|creation| drop(store.create(creation, None)));
    for creation in creations(512) {
        let told = format!("{creation:?}");
        let before = (taken(), store.context().memory_bytes());
        // Not every environment has every argument.
        let Ok(created) = store.create(creation, None) else {
            continue;
        };
        counted_all += 1;
        let session = created.session;
        let born = store.context().memory_bytes() - before.1;
        session
            .apply(None, Operation::Reset(Reset::default()))
            .unwrap();
        for _ in 0..3 {
            let (actions, _) = session.oracle().unwrap();
            let step = session.blueprint().step_operation(actions).unwrap();
            session.apply(None, step).unwrap();
        }
        let given = (taken() - before.0) as usize;
        let counted = store.context().memory_bytes() - before.1;
        assert!(
            counted <= 2 * given && given <= 2 * counted,
            "{told}: counted {counted}, given {given}"
        );
        // States between operations are counted as they are added.
        let given = given - session.lock().unwrap().history.bytes();
        assert!(
            given <= 2 * born,
            "{told}: counted {born} when it was created, given {given}"
        );
    }
    assert!(counted_all > 2 * registry::ENTRIES.len(), "{counted_all}");
}

#[test]
fn a_state_written_down_is_the_state() {
    let store = Store::new(Limits::default(), Clock::default());
    for creation in creations(3) {
        let told = format!("{creation:?}");
        let (Ok(one), Ok(other)) = (
            store.create(creation.clone(), None),
            store.create(creation, None),
        ) else {
            continue;
        };
        let (one, other) = (one.session, other.session);
        one.apply(None, Operation::Reset(Reset::default())).unwrap();
        for _ in 0..4 {
            let expected = one.snapshot().unwrap();
            for encoding in [Encoding::Json, Encoding::MessagePack] {
                let written = one.snapshot_body(encoding).unwrap().into_pieces().concat();
                let read: Snapshot = encoding.decode(&written).unwrap();
                assert_eq!(read, expected, "{told}");
            }
            let base = one.lock().unwrap().vector.base().unwrap().unwrap();
            other.lock().unwrap().vector.restore_base(&base).unwrap();
            assert_eq!(other.snapshot().unwrap(), expected, "{told}");
            // As earlier versions have written it, with the state as a document.
            let saved = one.lock().unwrap().vector.native("states").unwrap().save();
            let base = rmp_serde::to_vec_named(&saved).unwrap();
            other.lock().unwrap().vector.restore_base(&base).unwrap();
            assert_eq!(other.snapshot().unwrap(), expected, "{told}");
            let (actions, _) = one.oracle().unwrap();
            one.apply(None, one.blueprint().step_operation(actions).unwrap())
                .unwrap();
        }
    }
}

/// Creates 4,096 lanes of a thousand bits.
fn wide() -> Creation {
    Creation::Vector(CreateVectorEnv {
        spec_id: "BsuiteMemorySize-v0".to_owned(),
        num_envs: 4_096,
        kwargs: serde_json::from_value(json!({"num_bits": 1000, "memory_length": 100})).unwrap(),
        seed: None,
        autoreset_mode: AutoresetMode::SameStep,
        ttl_s: None,
    })
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_built() {
    let limits = Limits {
        max_memory_bytes: 1 << 20,
        ..Limits::default()
    };
    let store = Store::new(limits, Clock::default());
    let (refused, taken) = most(|| store.create(wide(), None).err());
    assert_eq!(refused.unwrap().code, env_protocol::ErrorCode::ServerFull);
    assert!(taken < 1 << 20, "{taken}");
    assert_eq!(store.context().memory_bytes(), 0);
}

#[test]
fn a_snapshot_takes_hardly_more_than_its_body() {
    let store = Store::new(Limits::default(), Clock::default());
    let session = store.create(wide(), None).unwrap().session;
    session
        .apply(None, Operation::Reset(Reset::default()))
        .unwrap();
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let (body, taken) = most(|| session.snapshot_body(encoding).unwrap());
        assert!(body.len() > 4_000_000);
        assert!(taken < body.len() + (2 << 20), "{taken} for {}", body.len());
    }
}

#[test]
fn a_page_takes_hardly_more_than_what_plays_it() {
    let store = Store::new(Limits::default(), Clock::default());
    let session = store.create(wide(), None).unwrap().session;
    session
        .apply(None, Operation::Reset(Reset::default()))
        .unwrap();
    for _ in 0..8 {
        session
            .apply(None, Operation::Step(vec![0.0; 4_096]))
            .unwrap();
    }
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let (body, taken) = most(|| session.trajectory(None, 1_000, encoding).unwrap());
        let start = session.snapshot_body(encoding).unwrap().len();
        // One operation is larger than a page.
        let entry = body.len() - start;
        let of_entry = 16_000_000..80_000_000;
        assert!(of_entry.contains(&entry), "{entry}");
        let bound = session.bytes() + body.len() + 4 * entry;
        assert!(taken < bound, "{taken}, not {bound}");
    }
}
