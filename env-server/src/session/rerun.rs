//! Answers to repeated operations.
//!
//! The reply to the last operation is stored. Earlier replies are recomputed by replaying from the
//! state at which their chunk of the history begins. Nothing is stored for them but the operations,
//! which are kept anyway, and applying an operation costs nothing extra.

use super::blueprint::Blueprint;
use super::history::History;
use super::lanes::Lanes;
use super::operation::Reply;

/// Environments that replay the past. They are kept for the next repeated operation, which usually
/// is the following one.
pub(super) struct Rerun {
    vector: Lanes,
    /// Number of the operation that they would replay next.
    next_seq: u64,
}

impl Rerun {
    /// Returns its size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.vector.bytes()
    }
}

impl Rerun {
    /// Returns the reply to operation `seq` of a history, by replaying it from the state at the
    /// start of its chunk, or from `rerun` if that lies in between. The environments stay in
    /// `rerun`.
    ///
    /// # Errors
    /// Describes why it cannot be replayed.
    pub(super) fn reply(
        rerun: &mut Option<Rerun>,
        blueprint: &Blueprint,
        history: &History,
        seq: u64,
    ) -> Result<Reply, String> {
        let (chunk, _) = history.find(seq).ok_or("it is not kept")?;
        let is_on_the_way = |rerun: &Rerun| (chunk.first_seq..=seq).contains(&rerun.next_seq);
        let Rerun {
            mut vector,
            mut next_seq,
        } = match rerun.take().filter(is_on_the_way) {
            Some(rerun) => rerun,
            None => {
                let vector = blueprint.environments();
                let mut vector = vector.map_err(|problem| problem.to_string())?;
                if let Some(base) = &chunk.base {
                    vector.restore_base(base)?;
                }
                Rerun {
                    vector,
                    next_seq: chunk.first_seq,
                }
            }
        };
        let operations = chunk.operations();
        for (at, bytes) in operations.skip((next_seq - chunk.first_seq) as usize) {
            let (_, reply) = blueprint.perform_again(&mut vector, chunk, at, bytes)?;
            next_seq = at + 1;
            if at == seq {
                *rerun = Some(Rerun { vector, next_seq });
                return Ok(reply);
            }
        }
        Err("it is not kept".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use env_protocol::{
        AutoresetMode, CreateEnv, CreateVectorEnv, Encoding, ErrorCode, ForkRequest,
    };
    use serde_json::json;

    use super::*;
    use crate::journal::{Durability, JournalConfig};
    use crate::session::history::WINDOW;
    use crate::session::{Clock, Creation, Operation, Session};
    use crate::session::{Limits, store::Store};
    use environments::vector::Reset;

    fn single() -> Creation {
        let kwargs = json!({"delay": 5, "difficulty": 1, "previous_reward": true});
        Creation::Single(CreateEnv {
            spec_id: "MemoryTask-v0".to_owned(),
            kwargs: serde_json::from_value(kwargs).unwrap(),
            seed: Some(3),
            ttl_s: None,
        })
    }

    fn vector() -> Creation {
        Creation::Vector(CreateVectorEnv {
            spec_id: "RepeatPrevious-v0".to_owned(),
            num_envs: 700,
            kwargs: Default::default(),
            seed: None,
            autoreset_mode: AutoresetMode::SameStep,
            ttl_s: None,
        })
    }

    /// Returns the operation with a number: mostly steps, with resets (seeded or not) and restores.
    fn operation(session: &Session, seq: u64) -> Operation {
        match seq {
            0 => Operation::Reset(Reset::default()),
            _ if seq % 50 == 7 => Operation::Restore(Box::new(session.snapshot().unwrap())),
            _ if seq.is_multiple_of(6) => Operation::Reset(Reset {
                seed: seq
                    .is_multiple_of(12)
                    .then_some(env_protocol::Seed::First(seq)),
                ..Reset::default()
            }),
            _ => {
                let lanes = session.creation().num_envs();
                Operation::Step((0..lanes).map(|lane| ((seq + lane) % 2) as f64).collect())
            }
        }
    }

    fn open(dir: &Path) -> Store {
        let limits = Limits {
            trajectory_bytes: 0,
            ..Limits::default()
        };
        let config = JournalConfig::new(dir, Durability::Process);
        Store::open(limits, Clock::default(), config).unwrap().0
    }

    /// Repeats the operations with these numbers, and checks that their replies are equal and that
    /// other operations with these numbers are refused.
    fn resend(session: &Session, done: &[(Operation, Vec<u8>)], order: &[u64]) {
        for &seq in order {
            let (operation, expected) = &done[seq as usize];
            let answer = session.apply(Some(seq), operation.clone()).unwrap();
            assert!(answer.is_replay);
            assert!(
                answer.reply.encode(Encoding::Json) == *expected,
                "operation {seq}"
            );
            let other = Operation::Reset(Reset {
                seed: Some(env_protocol::Seed::First(1 << 40)),
                ..Reset::default()
            });
            let refused = session.apply(Some(seq), other).unwrap_err();
            let (code, expected) = match seq as usize + 1 == done.len() {
                true => (ErrorCode::SeqReused, None),
                false => (ErrorCode::SeqConflict, Some(done.len() as u64)),
            };
            assert_eq!((refused.code, refused.expected_seq), (code, expected));
        }
    }

    fn everything_in_the_window_is_answered_again(creation: Creation, operations: u64) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let session = store
            .create_as("e", creation.clone(), None)
            .unwrap()
            .session;
        let mut done = Vec::new();
        for seq in 0..operations {
            let operation = operation(&session, seq);
            let answer = session.apply(Some(seq), operation.clone()).unwrap();
            assert!(!answer.is_replay);
            done.push((operation, answer.reply.encode(Encoding::Json)));
        }
        let window: Vec<u64> = (operations - WINDOW..operations).collect();
        let backwards: Vec<u64> = window.iter().rev().copied().collect();
        let snapshot = session.snapshot().unwrap();
        resend(&session, &done, &window);
        resend(&session, &done, &backwards);
        drop(session);
        // The same from the journal, as it is and after a compaction.
        for is_compacted in [false, true] {
            if is_compacted {
                store.compact().unwrap();
            }
            drop(store);
            store = open(dir.path());
            let session = store
                .create_as("e", creation.clone(), None)
                .unwrap()
                .session;
            resend(&session, &done, &window);
            assert_eq!(session.snapshot().unwrap(), snapshot);
            let old = session.apply(Some(0), done[0].0.clone()).unwrap_err();
            let future = session
                .apply(Some(operations + 1), done[1].0.clone())
                .unwrap_err();
            for conflict in [&old, &future] {
                assert_eq!(conflict.code, ErrorCode::SeqConflict);
                assert_eq!(conflict.expected_seq, Some(operations));
            }
            let first = session.lock().unwrap().history.first_seq();
            let told = format!("no operation before {first} can be answered again");
            assert!(old.detail.contains(&told), "{}", old.detail);
            assert!(!future.detail.contains("before"), "{}", future.detail);
        }
        // The replaying environments count, and are dropped by the next operation.
        let session = store.create_as("e", creation, None).unwrap().session;
        resend(&session, &done, &window[..1]);
        let rerun = session.lock().unwrap().rerun.as_ref().map(Rerun::bytes);
        assert!(rerun.is_some_and(|bytes| bytes > 0 && session.bytes() > bytes));
        let next = operation(&session, operations);
        session.apply(Some(operations), next).unwrap();
        assert!(session.lock().unwrap().rerun.is_none());
    }

    #[test]
    fn a_single_environment_answers_again() {
        everything_in_the_window_is_answered_again(single(), 5_003);
    }

    #[test]
    fn a_vector_answers_again() {
        everything_in_the_window_is_answered_again(vector(), 403);
    }

    #[test]
    fn a_fork_before_others_is_answered_again_and_makes_nothing() {
        let store = Store::new(Limits::default(), Clock::default());
        let session = store.create_as("e", single(), None).unwrap().session;
        session.apply(Some(0), operation(&session, 0)).unwrap();
        let fork = |seq| ForkRequest {
            seq: Some(seq),
            ..ForkRequest::default()
        };
        let forked = store.fork(&session, fork(1), None).unwrap();
        session.apply(Some(2), operation(&session, 2)).unwrap();
        let again = store.fork(&session, fork(1), None).unwrap();
        assert!(again.is_replay);
        assert_eq!(again.reply, forked.reply);
        assert_eq!(store.all().len(), 2);
    }
}
