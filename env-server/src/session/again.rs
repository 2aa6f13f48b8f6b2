//! Answers to operations that come again.
//!
//! The reply to the last operation is stored. Those before it are worked out again, by playing from
//! the state at which their chunk of the history begins: nothing more is kept for them than the
//! operations, which are kept anyway, and an operation that is applied pays nothing.

use std::sync::Arc;

use env_protocol::{ErrorCode, Problem};

use super::{Answer, Operation, Reply, Session, State, make_vector, restore_base};
use environments::vector::VectorEnvironment;

/// Environments that play the past again. They stay for the next operation that comes again, which
/// mostly is the one that follows.
pub(super) struct Rerun {
    vector: Box<dyn VectorEnvironment>,
    /// Number of the operation that they would play next.
    next_seq: u64,
}

impl Rerun {
    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.vector.bytes()
    }
}

impl Session {
    /// Answers a request whose `seq` is not the next one.
    ///
    /// # Errors
    /// `seq-conflict`, where the operation of this number is not kept or was another one; of the last
    /// number, `seq-reused`.
    pub(super) fn answer_again(
        &self,
        state: &mut State,
        seq: u64,
        operation: &Operation,
        bytes: &[u8],
    ) -> Result<Answer, Problem> {
        let is_last = seq.checked_add(1) == Some(state.seq);
        let Some((_, kept)) = state.history.find(seq) else {
            return Err(conflict(state, seq));
        };
        let is_same = kept == bytes
            || Operation::decode(kept).is_ok_and(|kept| kept.is_same_request(operation));
        if !is_same && is_last {
            let detail = format!("seq {seq} has been used for another operation or body");
            return Err(Problem::new(ErrorCode::SeqReused, detail).at("/seq"));
        }
        if !is_same {
            return Err(conflict(state, seq));
        }
        // What is as safe as the last operation is as safe as those before it.
        let (last, written) = match &state.last {
            Some((reply, written)) => (Some(reply), *written),
            None => (None, Default::default()),
        };
        let reply = match last {
            Some(last) if is_last => Arc::clone(last),
            _ => {
                let reply = self.play_again(state, seq).map_err(|detail| {
                    let detail = format!("operation {seq} cannot be played again: {detail}");
                    Problem::new(ErrorCode::Internal, detail)
                });
                self.count_bytes(state);
                Arc::new(reply?)
            }
        };
        Ok(Answer {
            reply,
            is_replay: true,
            written,
        })
    }

    /// The reply to an operation that is kept.
    fn play_again(&self, state: &mut State, seq: u64) -> Result<Reply, String> {
        let State { history, rerun, .. } = state;
        let (chunk, _) = history.find(seq).ok_or("it is not kept")?;
        let is_on_the_way = |rerun: &Rerun| (chunk.first_seq..=seq).contains(&rerun.next_seq);
        let Rerun {
            mut vector,
            mut next_seq,
        } = match rerun.take().filter(is_on_the_way) {
            Some(rerun) => rerun,
            None => {
                let vector = make_vector(self.spec, &self.arguments, &self.creation, &self.seed);
                let mut vector = vector.map_err(|problem| problem.to_string())?;
                if let Some(base) = &chunk.base {
                    restore_base(vector.as_mut(), base)?;
                }
                Rerun {
                    vector,
                    next_seq: chunk.first_seq,
                }
            }
        };
        let operations = chunk.operations();
        for (at, bytes) in operations.skip((next_seq - chunk.first_seq) as usize) {
            let operation = self.recorded(vector.as_ref(), bytes)?;
            next_seq = at + 1;
            let reply = self.perform(vector.as_mut(), operation, next_seq);
            if at == seq {
                *rerun = Some(Rerun { vector, next_seq });
                return Ok(reply);
            }
        }
        Err("it is not kept".to_owned())
    }
}

fn conflict(state: &State, seq: u64) -> Problem {
    let (next, first) = (state.seq, state.history.first_seq());
    let detail = match seq < first {
        false => format!("seq is {seq}, but {next} comes next"),
        true => format!(
            "seq is {seq}, but {next} comes next, and no operation before {first} can be answered again"
        ),
    };
    let mut problem = Problem::new(ErrorCode::SeqConflict, detail).at("/seq");
    problem.expected_seq = Some(next);
    problem
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use env_protocol::{AutoresetMode, CreateEnv, CreateVectorEnv, Encoding, ForkRequest};
    use serde_json::json;

    use super::*;
    use crate::journal::{Durability, JournalConfig};
    use crate::session::history::WINDOW;
    use crate::session::store::{Limits, Store};
    use crate::session::{Clock, Creation};
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

    /// The operation of a number: mostly steps, resets with and without seeds, states put back.
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
                Operation::Step((0..lanes).map(|lane| ((seq + lane) % 2) as i64).collect())
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

    /// Sends all again that must still be there, and says how many more were.
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
        // The same from the journal, as it is and written anew.
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
        // What plays the past again is counted, and goes with the next operation.
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
