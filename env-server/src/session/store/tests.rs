//! Ownership of sessions.

use std::path::Path;

use env_protocol::CreateEnv;
use serde_json::json;

use super::*;
use crate::journal::{Durability, JournalConfig};

fn creation(delay: u64) -> Creation {
    Creation::Single(CreateEnv {
        spec_id: "MemoryTask-v0".to_owned(),
        kwargs: serde_json::from_value(json!({"delay": delay})).unwrap(),
        seed: Some(7),
        ttl_s: None,
    })
}

fn owner(name: &str) -> Owner {
    Owner {
        name: name.into(),
        max_envs: None,
        max_lanes: None,
    }
}

fn empty() -> Store {
    Store::new(Limits::default(), Clock::default())
}

fn open(dir: &Path) -> Store {
    let config = JournalConfig::new(dir, Durability::Process);
    Store::open(Limits::default(), Clock::default(), config)
        .unwrap()
        .0
}

/// Returns the server's answer for an id and a caller: the environment's delay, or a code.
fn answer(store: &Store, id: &str, asks: Option<&Owner>) -> Result<u64, ErrorCode> {
    let found = store.get(Kind::Single, id, asks);
    let session = found.map_err(|problem| problem.code)?;
    match session.creation() {
        Creation::Single(body) => Ok(body.kwargs["delay"].as_u64().unwrap()),
        Creation::Vector(_) => unreachable!("it is a single one"),
    }
}

fn ids(store: &Store, asks: Option<&Owner>) -> Vec<String> {
    let (page, _) = store.list(Kind::Single, "", 100, asks).unwrap();
    let ids = page.into_iter().map(|description| match description {
        Description::Single(description) => description.env_id,
        Description::Vector(_) => unreachable!("all are single ones"),
    });
    ids.collect()
}

#[test]
fn ids_are_each_principals_own() {
    let store = empty();
    let (alice, bob) = (owner("alice"), owner("bob"));
    let create = |id: &str, delay, asks: &Owner| {
        let created = store.create_as(id, creation(delay), Some(asks));
        created.map(|c| c.is_new).map_err(|p| p.code)
    };
    assert_eq!(create("mine", 2, &alice), Ok(true));
    assert_eq!(create("mine", 3, &bob), Ok(true));
    assert_eq!(create("mine", 2, &alice), Ok(false));
    assert_eq!(create("mine", 3, &alice), Err(ErrorCode::EnvExists));
    assert_eq!(answer(&store, "mine", Some(&alice)), Ok(2));
    assert_eq!(answer(&store, "mine", Some(&bob)), Ok(3));
    // A caller cannot find out whether others have an id.
    store.create_as("hers", creation(2), Some(&alice)).unwrap();
    let refusal = |id: &str| {
        let problem = store.get(Kind::Single, id, Some(&bob)).err().unwrap();
        (problem.code, problem.detail.replace(id, "…"))
    };
    assert_eq!(refusal("hers"), refusal("nobodys"));
    for id in ["alice/hers", "bob/mine", "/mine", "alice/"] {
        assert_eq!(
            answer(&store, id, Some(&bob)),
            Err(ErrorCode::UnknownEnv),
            "{id}"
        );
    }
    assert_eq!(
        answer(&store, &"x".repeat(10_000), Some(&bob)),
        Err(ErrorCode::UnknownEnv)
    );
    // A fork belongs to its creator, under an id that others may have.
    let theirs = store.get(Kind::Single, "mine", Some(&bob)).unwrap();
    theirs
        .apply(None, Blueprint::reset_operation(Default::default()))
        .unwrap();
    let fork = ForkRequest {
        seq: None,
        env_id: Some("hers".to_owned()),
        ttl_s: None,
    };
    store.fork(&theirs, fork, Some(&bob)).unwrap();
    assert_eq!(answer(&store, "hers", Some(&bob)), Ok(3));
    assert_eq!(answer(&store, "hers", Some(&alice)), Ok(2));
    // Nor does closing one affect others.
    store.close(Kind::Single, "mine", Some(&bob)).unwrap();
    assert_eq!(
        answer(&store, "mine", Some(&bob)),
        Err(ErrorCode::EnvClosed)
    );
    assert_eq!(answer(&store, "mine", Some(&alice)), Ok(2));
    assert_eq!(ids(&store, Some(&alice)), ["hers", "mine"]);
    assert_eq!(ids(&store, Some(&bob)), ["hers"]);
}

#[test]
fn sessions_made_without_tokens_are_open_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (owner("alice"), owner("bob"));
    {
        let store = open(dir.path());
        for id in ["old", "both", "gone"] {
            store.create_as(id, creation(2), None).unwrap();
        }
        store.close(Kind::Single, "gone", None).unwrap();
    }
    // The server is started with tokens.
    {
        let store = open(dir.path());
        assert_eq!(store.held_by(), [(None, 2)]);
        for asks in [&alice, &bob] {
            assert_eq!(answer(&store, "old", Some(asks)), Ok(2));
            assert_eq!(
                answer(&store, "gone", Some(asks)),
                Err(ErrorCode::EnvClosed)
            );
            assert_eq!(ids(&store, Some(asks)), ["both", "old"]);
        }
        let again = store.create_as("old", creation(2), Some(&alice)).unwrap();
        assert!(!again.is_new, "its client continues");
        let gone = store.create_as("gone", creation(2), Some(&alice));
        assert_eq!(gone.err().unwrap().code, ErrorCode::EnvClosed);
        // Another body creates another environment, owned by the caller.
        assert!(
            store
                .create_as("both", creation(3), Some(&alice))
                .unwrap()
                .is_new
        );
        assert_eq!(answer(&store, "both", Some(&alice)), Ok(3));
        assert_eq!(answer(&store, "both", Some(&bob)), Ok(2));
        assert_eq!(ids(&store, Some(&alice)), ["both", "old"]);
        store.close(Kind::Single, "old", Some(&bob)).unwrap();
        assert_eq!(
            answer(&store, "old", Some(&alice)),
            Err(ErrorCode::EnvClosed)
        );
    }
}

#[test]
fn sessions_of_principals_are_open_to_all_without_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (owner("alice"), owner("bob"));
    {
        let store = open(dir.path());
        store.create_as("hers", creation(2), Some(&alice)).unwrap();
        for (asks, delay) in [(&alice, 2), (&bob, 3)] {
            store
                .create_as("mine", creation(delay), Some(asks))
                .unwrap();
        }
        store.create_as("gone", creation(2), Some(&bob)).unwrap();
        store.close(Kind::Single, "gone", Some(&bob)).unwrap();
    }
    // The server is started without tokens.
    {
        let store = open(dir.path());
        let held = [
            (None, 0),
            (Some(Arc::from("alice")), 2),
            (Some(Arc::from("bob")), 1),
        ];
        assert_eq!(store.held_by(), held);
        assert_eq!(answer(&store, "hers", None), Ok(2));
        assert_eq!(answer(&store, "gone", None), Err(ErrorCode::EnvClosed));
        assert!(!store.create_as("hers", creation(2), None).unwrap().is_new);
        // It is unclear which of the two is meant.
        assert_eq!(answer(&store, "mine", None), Err(ErrorCode::UnknownEnv));
        assert_eq!(ids(&store, None), ["hers"]);
        for id in ["alice/mine", "alice/hers"] {
            assert_eq!(answer(&store, id, None), Err(ErrorCode::UnknownEnv), "{id}");
        }
        assert!(store.create_as("mine", creation(4), None).unwrap().is_new);
        assert_eq!(answer(&store, "mine", None), Ok(4));
        assert_eq!(ids(&store, None), ["hers", "mine"]);
        store.close(Kind::Single, "hers", None).unwrap();
        store.compact().unwrap();
    }
    // And with tokens again.
    let store = open(dir.path());
    assert_eq!(
        answer(&store, "hers", Some(&alice)),
        Err(ErrorCode::EnvClosed)
    );
    assert_eq!(answer(&store, "mine", Some(&alice)), Ok(2));
    assert_eq!(answer(&store, "mine", Some(&bob)), Ok(3));
    assert_eq!(
        answer(&store, "gone", Some(&bob)),
        Err(ErrorCode::EnvClosed)
    );
}
