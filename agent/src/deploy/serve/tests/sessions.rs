//! Exactly once, leases and limits.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::deploy::serve::sessions::MAX_ENDED;
use service::Owner;

fn begun(limits: Limits) -> Service {
    let service = service("recurrent-ppo", limits);
    service.begin("mine", lanes(2), None).unwrap();
    service
}

#[test]
fn each_operation_is_applied_once() {
    let service = begun(Limits::default());
    let first = act(&service, shows("mine", 0, &[1.0, 0.0])).unwrap();
    assert_eq!(first.seq, Some(1));
    let again = service
        .act(request(shows("mine", 0, &[1.0, 0.0])), None)
        .unwrap();
    assert_eq!((&*again.reply, again.is_replay), (&first, true));
    assert_eq!(
        refusal(act(&service, shows("mine", 0, &[1.0, 0.5]))),
        (ErrorCode::SeqReused, "/seq".into())
    );
    for seq in [2, u64::MAX] {
        let problem = act(&service, shows("mine", seq, &[1.0, 0.0])).unwrap_err();
        assert_eq!(
            (problem.code, problem.expected_seq),
            (ErrorCode::SeqConflict, Some(1))
        );
    }
    // A refused one counts for nothing.
    assert_eq!(
        refusal(act(&service, shows("mine", 1, &[1.0]))),
        (ErrorCode::InvalidBody, "/is_first".into())
    );
    let second = act(&service, shows("mine", 1, &[0.0, 0.0])).unwrap();
    assert_eq!(second.seq, Some(2));
    // Without a seq it is applied, and numbered.
    let mut unnumbered = shows("mine", 2, &[0.0, 0.0]);
    unnumbered.as_object_mut().unwrap().remove("seq");
    assert_eq!(act(&service, unnumbered).unwrap().seq, Some(3));
    let (description, is_new) = service.begin("mine", lanes(2), None).unwrap();
    assert_eq!((description.seq, is_new), (3, false));
}

/// A client that sends several requests without waiting, and loses the replies, sends all of them
/// again.
#[test]
fn the_last_operations_are_answered_again() {
    let service = begun(Limits::default());
    let shown = |seq: u64| shows("mine", seq, &[(seq % 3) as f32 / 2.0, 1.0]);
    let replies: Vec<_> = (0..100)
        .map(|seq| act(&service, shown(seq)).unwrap())
        .collect();
    for seq in (36..100).chain((36..100).rev()) {
        let again = service.act(request(shown(seq)), None).unwrap();
        assert_eq!(
            (&*again.reply, again.is_replay),
            (&replies[seq as usize], true)
        );
    }
    assert_eq!(
        refusal(act(&service, shows("mine", 50, &[0.25, 0.25]))),
        (ErrorCode::SeqConflict, "/seq".into())
    );
    let older = act(&service, shown(35)).unwrap_err();
    assert_eq!(
        (older.code, older.expected_seq),
        (ErrorCode::SeqConflict, Some(100))
    );
    assert!(
        older
            .detail
            .ends_with("no operation before 36 can be answered again")
    );
}

/// Bytes bound them, too; the last one is always kept.
#[test]
fn large_operations_are_kept_while_there_is_room() {
    let service = service("recurrent-ppo", Limits::default());
    for (id, num_envs, operations, kept) in [("few", 400, 12, 2..=11), ("many", 3_200, 3, 1..=1)] {
        service.begin(id, lanes(num_envs), None).unwrap();
        let row = vec![0.5; num_envs as usize];
        let shown = |seq: u64| shows(id, seq, &row);
        (0..operations).for_each(|seq| drop(act(&service, shown(seq)).unwrap()));
        let again = (0..operations).filter(|&seq| act(&service, shown(seq)).is_ok());
        let count = again.count();
        assert!(kept.contains(&count), "{id}: {count}");
        assert!(act(&service, shown(operations - 1)).is_ok());
    }
}

/// A retry moves nothing on: what follows is what follows without it.
#[test]
fn a_retry_does_not_move_the_memory() {
    let service = begun(Limits::default());
    service.begin("other", lanes(2), None).unwrap();
    let mut replies = Vec::new();
    for (seq, x) in [0.0, 1.0, 1.0, 0.25, 0.5, 0.75].into_iter().enumerate() {
        let reply = act(&service, shows("mine", seq as u64, &[x, 1.0 - x])).unwrap();
        for _ in 0..2 {
            let same = act(&service, shows("other", seq as u64, &[x, 1.0 - x])).unwrap();
            assert_eq!(same, reply, "{seq}");
        }
        replies.push(numbers(&reply.actions));
    }
    assert!(
        replies.iter().flatten().any(|&a| a != replies[0][0]),
        "{replies:?}"
    );
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let service = begun(Limits::default());
    let change = |name: &str, value: Json| {
        let mut body = shows("mine", 0, &[1.0, 0.0]);
        body[name] = value;
        refusal(act(&service, body))
    };
    let (body, action) = (ErrorCode::InvalidBody, ErrorCode::InvalidAction);
    for (name, value, code, pointer) in [
        ("is_first", json!([0, 1]), body, "/is_first"),
        ("is_first", json!([true]), body, "/is_first"),
        ("previous_rewards", json!([1.0]), body, "/previous_rewards"),
        (
            "previous_actions",
            json!([0, 2]),
            action,
            "/previous_actions/1",
        ),
        (
            "previous_actions",
            json!([-1, 0]),
            action,
            "/previous_actions/0",
        ),
        (
            "previous_actions",
            json!([0.5, 0]),
            action,
            "/previous_actions/0",
        ),
        (
            "previous_actions",
            json!([[0], [0]]),
            action,
            "/previous_actions",
        ),
        ("state", json!("x"), body, "/state"),
        ("num_envs", json!(2), body, "/num_envs"),
        ("seed", json!(2), body, "/seed"),
        (
            "previous_rewards",
            json!([1.0, 1e39]),
            body,
            "/previous_rewards/1",
        ),
        (
            "observations",
            json!([[1, 0, 0], [1e39, 0, 0]]),
            ErrorCode::InvalidObservation,
            "/observations/1/0",
        ),
        (
            "observations",
            json!([[1, 0, -0.5], [1, 0, 0]]),
            ErrorCode::InvalidObservation,
            "/observations/0/2",
        ),
        (
            "observations",
            json!([[1, 0], [1, 0]]),
            ErrorCode::InvalidObservation,
            "/observations",
        ),
    ] {
        assert_eq!(change(name, value), (code, pointer.into()));
    }
    let unknown = serde_json::from_value::<ActRequest>(json!({"observation": []})).unwrap_err();
    assert!(unknown.to_string().contains("observation"), "{unknown}");
}

#[test]
fn a_session_belongs_to_its_id_and_body() {
    let service = begun(Limits::default());
    let code = |id: &str, body| refusal(service.begin(id, body, None)).0;
    assert_eq!(code("mine", lanes(3)), ErrorCode::SessionExists);
    for id in ["", ".x", "a b", &"x".repeat(65)] {
        assert_eq!(code(id, lanes(1)), ErrorCode::InvalidSessionId, "{id}");
    }
    assert_eq!(
        refusal(act(&service, shows("other", 0, &[1.0, 0.0]))).0,
        ErrorCode::UnknownSession
    );
    assert_eq!(
        refusal(service.close("other", None)).0,
        ErrorCode::UnknownSession
    );
    for _ in 0..2 {
        service.close("mine", None).unwrap();
    }
    assert_eq!(code("mine", lanes(2)), ErrorCode::SessionClosed);
    assert_eq!(
        refusal(act(&service, shows("mine", 0, &[1.0, 0.0]))).0,
        ErrorCode::SessionClosed
    );
    service.drain();
    assert_eq!(code("new", lanes(1)), ErrorCode::Draining);
}

#[test]
fn a_session_lives_while_its_lease_does() {
    let limits = Limits {
        default_ttl_s: 10,
        max_ttl_s: 20,
        ..Limits::default()
    };
    let service = begun(limits);
    let skip = |s| service.sessions.clock().skip(Duration::from_secs(s));
    for seq in 0..3 {
        skip(9);
        act(&service, shows("mine", seq, &[1.0, 0.0])).unwrap();
    }
    skip(4);
    let (description, _) = service.begin("mine", lanes(2), None).unwrap();
    assert_eq!((description.ttl_s, description.expires_in_s), (10, 6));
    // A repeated creation does not renew, a stored reply does.
    skip(5);
    act(&service, shows("mine", 2, &[1.0, 0.0])).unwrap();
    skip(9);
    service.reap();
    assert_eq!(service.sessions.len(), 1);
    skip(1);
    let code = || refusal(act(&service, shows("mine", 3, &[1.0, 0.0]))).0;
    assert_eq!(code(), ErrorCode::SessionExpired);
    assert_eq!(service.sessions.len(), 0);
    assert_eq!(
        refusal(service.begin("mine", lanes(2), None)).0,
        ErrorCode::SessionExpired
    );
    // It is remembered for as long as it could have lived.
    skip(10);
    service.reap();
    assert_eq!(code(), ErrorCode::UnknownSession);
    service.begin("mine", lanes(2), None).unwrap();

    let asks = |ttl_s| CreateSession {
        ttl_s: Some(ttl_s),
        ..lanes(1)
    };
    for ttl_s in [0, 21] {
        let refused = refusal(service.begin("long", asks(ttl_s), None));
        assert_eq!(refused, (ErrorCode::InvalidTtl, "/ttl_s".into()));
    }
    service.begin("long", asks(20), None).unwrap();
    skip(15);
    service.reap();
    assert_eq!(service.sessions.len(), 1);
}

#[test]
fn there_are_limits() {
    let limits = Limits {
        max_sessions: 3,
        max_lanes_per_session: 4,
        max_lanes: 6,
        ..Limits::default()
    };
    let service = begun(limits);
    let code = |id: &str, num_envs| refusal(service.begin(id, lanes(num_envs), None)).0;
    assert_eq!(code("b", 0), ErrorCode::InvalidNumEnvs);
    assert_eq!(code("b", 5), ErrorCode::InvalidNumEnvs);
    service.begin("b", lanes(3), None).unwrap();
    assert_eq!(code("c", 2), ErrorCode::QuotaExceeded);
    service.begin("c", lanes(1), None).unwrap();
    service.close("mine", None).unwrap();
    service.begin("d", lanes(1), None).unwrap();
    assert_eq!(code("e", 1), ErrorCode::QuotaExceeded);

    let bytes = service.bytes_per_lane;
    let service = begun(Limits {
        max_memory_bytes: 5 * bytes,
        ..Limits::default()
    });
    let code = |num_envs| refusal(service.begin("b", lanes(num_envs), None)).0;
    assert_eq!(code(4), ErrorCode::ServerFull);
    service.begin("b", lanes(3), None).unwrap();
}

#[test]
fn sessions_of_others_cannot_be_seen() {
    let owner = |name: &str| Owner {
        name: Arc::from(name),
        max_envs: Some(1),
        max_lanes: Some(2),
    };
    let (alice, bob) = (owner("alice"), owner("bob"));
    let service = service("ppo", Limits::default());
    let code = |id: &str, num_envs| refusal(service.begin(id, lanes(num_envs), Some(&alice))).0;
    assert_eq!(code("hers", 3), ErrorCode::QuotaExceeded);
    service.begin("hers", lanes(2), Some(&alice)).unwrap();
    assert_eq!(code("more", 1), ErrorCode::QuotaExceeded);
    for other in [Some(&bob), None] {
        let asked = service.act(request(shows("hers", 0, &[1.0, 0.0])), other);
        assert_eq!(refusal(asked).0, ErrorCode::UnknownSession);
        assert_eq!(
            refusal(service.close("hers", other)).0,
            ErrorCode::UnknownSession
        );
    }
    // Ids are each one's own.
    service.begin("hers", lanes(1), Some(&bob)).unwrap();
    let asked = service.act(request(shows("hers", 0, &[1.0])), Some(&bob));
    assert_eq!(asked.unwrap().reply.seq, Some(1));
    service.close("hers", Some(&bob)).unwrap();
    let asked = service.act(request(shows("hers", 0, &[1.0, 0.0])), Some(&alice));
    assert_eq!(asked.unwrap().reply.seq, Some(1));
}

#[test]
fn an_owner_with_many_ended_sessions_forgets_only_its_own() {
    let owner = |name: &str| Owner {
        name: Arc::from(name),
        max_envs: None,
        max_lanes: None,
    };
    let (alice, bob) = (owner("alice"), owner("bob"));
    let service = service("ppo", Limits::default());
    let come_and_go = |id: &str, owner: &Owner| {
        service.begin(id, lanes(1), Some(owner)).unwrap();
        service.close(id, Some(owner)).unwrap();
    };
    come_and_go("mine", &alice);
    for i in 0..=MAX_ENDED {
        come_and_go(&i.to_string(), &bob);
    }
    let code = |id: &str, owner| refusal(service.begin(id, lanes(1), Some(owner))).0;
    assert_eq!(code("mine", &alice), ErrorCode::SessionClosed);
    assert_eq!(code("2", &bob), ErrorCode::SessionClosed);
    service.begin("0", lanes(1), Some(&bob)).unwrap();
}
