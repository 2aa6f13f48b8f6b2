//! Telling again what was played, from the operations alone.

use std::sync::Arc;

use env_protocol::{
    CreateEnv, CreateVectorEnv, ErrorCode, OperationKind, Problem, Snapshot, TRAJECTORY_FORMAT,
    TRAJECTORY_VERSION, Trajectory, TrajectoryEntry,
};
use serde_json::Value as Json;

use super::keeper::Keeper;
use super::lease::Clock;
use super::operation::Operation;
use super::{Creation, Parents, Session, ended, make_vector, restore_base};

/// Most replies of lanes in one page, so that a page of a large vector stays readable.
const MAX_LANE_REPLIES: usize = 262_144;

impl Session {
    /// Operations from number `from` on, or from the earliest that is kept, at most `limit` of
    /// them. They are played again, on environments of their own.
    ///
    /// # Errors
    /// `invalid-query` when `from` is not (or no longer) there; `env-closed`, `lease-expired`.
    pub fn trajectory(&self, from: Option<u64>, limit: usize) -> Result<Trajectory, Problem> {
        let lanes = self.creation.num_envs() as usize;
        let limit = limit.min(MAX_LANE_REPLIES / lanes).max(1) as u64;
        let (first_seq, end_seq, from, chunks) = {
            let state = self.lock()?;
            if let Some((end, _)) = state.end {
                return Err(ended(&self.id, end));
            }
            let (first_seq, end_seq) = (state.history.first_seq(), state.history.end_seq());
            let from = from.unwrap_or(first_seq);
            if !(first_seq..=end_seq).contains(&from) {
                let detail = format!(
                    "from is {from}, but the operations kept are those from {first_seq} to \
                     {end_seq}, the last not included"
                );
                return Err(Problem::new(ErrorCode::InvalidQuery, detail));
            }
            (first_seq, end_seq, from, state.history.since(from))
        };
        let broken = |detail: String| Problem::new(ErrorCode::Internal, detail);
        let mut vector = make_vector(self.spec, &self.arguments, &self.creation, &self.seed)?;
        if let Some(base) = chunks.first().and_then(|chunk| chunk.base.as_ref()) {
            restore_base(vector.as_mut(), base).map_err(broken)?;
        }
        let end = end_seq.min(from.saturating_add(limit));
        let mut start = (from == chunks[0].first_seq).then(|| vector.save());
        let mut entries = Vec::new();
        let operations = chunks.iter().flat_map(|chunk| chunk.operations());
        for (seq, bytes) in operations.take_while(|(seq, _)| *seq < end) {
            let operation = self.recorded(vector.as_ref(), bytes).map_err(broken)?;
            let kind = operation.kind();
            let asked = (seq >= from).then(|| self.request_of(operation.clone()));
            let reply = self.perform(vector.as_mut(), operation, seq + 1);
            if let Some(body) = asked {
                entries.push(TrajectoryEntry {
                    seq,
                    operation: kind,
                    body,
                    reply: serde_json::to_value(&reply).expect("replies are plain data"),
                });
            }
            if seq + 1 == from {
                start = Some(vector.save());
            }
        }
        let start = start.ok_or_else(|| broken("the history has a gap".to_owned()))?;
        Ok(Trajectory {
            format: TRAJECTORY_FORMAT.to_owned(),
            version: TRAJECTORY_VERSION,
            first_seq,
            start: self.snapshot_of(start),
            entries,
            next: (end < end_seq).then_some(end),
        })
    }
}

/// A trajectory that has been played again and found equal.
#[derive(Debug)]
pub struct Replayed {
    /// How many operations it had.
    pub operations: usize,
    /// How many steps of lanes were among them.
    pub steps: usize,
    /// Where the state was at its end.
    pub end: Snapshot,
}

/// Plays a trajectory again, from its own beginning, and compares every reply.
///
/// # Errors
/// Says what does not fit or differs, and at which operation.
pub fn replay(trajectory: &Trajectory) -> Result<Replayed, String> {
    check_header(trajectory)?;
    let start = &trajectory.start;
    let session = session_for(start)?;
    let mut vector = make_vector(
        session.spec,
        &session.arguments,
        &session.creation,
        &session.seed,
    )
    .map_err(|problem| problem.to_string())?;
    let restore = Operation::Restore(Box::new(start.clone()));
    let in_start = |problem: Problem| format!("start: {problem}");
    session.check(vector.as_ref(), &restore).map_err(in_start)?;
    session.perform(vector.as_mut(), restore, 0);
    let mut steps = 0;
    let mut next_seq = trajectory.entries.first().map_or(0, |entry| entry.seq);
    for entry in &trajectory.entries {
        let seq = entry.seq;
        if seq != next_seq {
            return Err(format!("operation {seq} follows where {next_seq} must"));
        }
        next_seq = seq + 1;
        let at = |problem: Problem| format!("operation {seq}: {problem}");
        let operation = session
            .operation_of(entry.operation, entry.body.clone())
            .map_err(at)?;
        session.check(vector.as_ref(), &operation).map_err(at)?;
        if entry.operation == OperationKind::Step {
            steps += start.lanes.len();
        }
        let reply = session.perform(vector.as_mut(), operation, next_seq);
        let reply = serde_json::to_value(&reply).expect("replies are plain data");
        if let Some(difference) = difference("", &reply, &entry.reply) {
            return Err(format!("operation {seq}: reply{difference}"));
        }
    }
    Ok(Replayed {
        operations: trajectory.entries.len(),
        steps,
        end: session.snapshot_of(vector.save()),
    })
}

fn check_header(trajectory: &Trajectory) -> Result<(), String> {
    let Trajectory {
        format, version, ..
    } = trajectory;
    if format != TRAJECTORY_FORMAT || *version != TRAJECTORY_VERSION {
        return Err(format!(
            "this is {format:?}, version {version}; {TRAJECTORY_FORMAT:?}, version \
             {TRAJECTORY_VERSION}, can be read"
        ));
    }
    Ok(())
}

/// A session that a snapshot can be restored into, if into any.
fn session_for(start: &Snapshot) -> Result<Session, String> {
    let parents = Parents {
        keeper: Arc::new(Keeper::new(0, Clock::default(), None, 0)),
        owner: None,
        ttl_s: 1,
        is_fork: false,
    };
    Session::new(String::new(), creation_for(start), 0, parents)
        .map_err(|problem| format!("start: {problem}"))
}

/// What creates the kind, spec and arguments that a snapshot is of.
pub(super) fn creation_for(snapshot: &Snapshot) -> Creation {
    let (spec_id, kwargs) = (snapshot.spec_id.clone(), snapshot.kwargs.clone());
    match snapshot.autoreset_mode {
        None => Creation::Single(CreateEnv {
            spec_id,
            kwargs,
            seed: None,
            ttl_s: None,
        }),
        Some(autoreset_mode) => Creation::Vector(CreateVectorEnv {
            spec_id,
            num_envs: snapshot.lanes.len() as u64,
            kwargs,
            seed: None,
            autoreset_mode,
            ttl_s: None,
        }),
    }
}

/// The first place where two documents differ, and how.
fn difference(pointer: &str, ours: &Json, recorded: &Json) -> Option<String> {
    match (ours, recorded) {
        (Json::Object(a), Json::Object(b)) if a.keys().eq(b.keys()) => a
            .iter()
            .find_map(|(key, value)| difference(&format!("{pointer}/{key}"), value, &b[key])),
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| difference(&format!("{pointer}/{i}"), a, b))
        }
        // A number may have been written with or without a fraction.
        (Json::Number(a), Json::Number(b)) if a.as_f64() == b.as_f64() => None,
        _ if ours == recorded => None,
        _ => Some(format!(
            "{pointer} is {ours} here and {recorded} in the recording"
        )),
    }
}
