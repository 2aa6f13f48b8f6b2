//! Trajectories: the history of an environment, replayed from its operations alone.

use std::io::{self, Write};

use env_protocol::{
    CreateEnv, CreateVectorEnv, Encoding, ErrorCode, OperationKind, Problem, Seed, Snapshot,
    TRAJECTORY_FORMAT, TRAJECTORY_VERSION, Trajectory,
};
use serde::Serialize;
use serde_json::Value as Json;

use super::blueprint::Blueprint;
use super::catalogue::Catalogue;
use super::creation::Creation;
use super::lanes::Lanes;
use super::limits::PAGE_BYTES;
use super::operation::{Operation, Reply};
use super::requests::RequestBody;
use super::session::{Session, ended};
use super::transcode;
use environments::pieces::Pieces;

/// A [`env_protocol::TrajectoryEntry`].
#[derive(Serialize)]
struct Entry<'a> {
    seq: u64,
    operation: OperationKind,
    body: &'a RequestBody,
    reply: &'a Reply,
}

/// Entries one after another, as in a list.
struct Entries {
    encoding: Encoding,
    written: Pieces,
    count: u32,
    /// A buffer for an entry as JSON before it is converted to MessagePack.
    json: Vec<u8>,
}

impl Entries {
    fn push(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        match self.encoding {
            Encoding::Json => {
                if self.count > 0 {
                    self.written.write_all(b",")?;
                }
                serde_json::to_writer(&mut self.written, entry)?;
            }
            Encoding::MessagePack => {
                self.json.clear();
                serde_json::to_writer(&mut self.json, entry)?;
                let mut bytes = Vec::with_capacity(self.json.len());
                transcode::to_messagepack(&self.json, &mut bytes)?;
                self.written.write_all(&bytes)?;
            }
        }
        self.count += 1;
        Ok(())
    }
}

impl Session {
    /// As [`Session::trajectory`], as a document.
    ///
    /// # Errors
    /// As there.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn told(&self, from: Option<u64>, limit: usize) -> Result<Trajectory, Problem> {
        let page = self.trajectory(from, limit, Encoding::Json)?;
        let page = page.into_pieces().concat();
        Ok(serde_json::from_slice(&page).expect("a trajectory"))
    }

    /// Returns a [`Trajectory`]: operations from number `from` on, or from the earliest one kept,
    /// at most `limit` of them and not many more bytes than [`PAGE_BYTES`]. They are replayed on
    /// separate environments.
    ///
    /// # Errors
    /// `invalid-query` when `from` is not kept (any longer); `env-closed`, `lease-expired`.
    pub fn trajectory(
        &self,
        from: Option<u64>,
        limit: usize,
        encoding: Encoding,
    ) -> Result<Pieces, Problem> {
        self.page(from, limit, PAGE_BYTES, encoding)
    }

    fn page(
        &self,
        from: Option<u64>,
        limit: usize,
        max_bytes: usize,
        encoding: Encoding,
    ) -> Result<Pieces, Problem> {
        let (first_seq, end_seq, from, chunks) = {
            let state = self.lock()?;
            state.vector.native("trajectories")?;
            if let Some((end, _)) = &state.end {
                return Err(ended(self.id(), end));
            }
            let (first_seq, end_seq) = (state.history.first_seq(), state.history.end_seq());
            let from = from.unwrap_or(first_seq);
            if !(first_seq..=end_seq).contains(&from) {
                let detail = format!(
                    "from is {from}, but the operations kept are those from {first_seq} to \
                     {end_seq}, exclusive"
                );
                return Err(Problem::new(ErrorCode::InvalidQuery, detail));
            }
            (first_seq, end_seq, from, state.history.since(from))
        };
        let broken = |detail: String| Problem::new(ErrorCode::Internal, detail);
        let unwritten = |error: io::Error| broken(error.to_string());
        let blueprint = self.blueprint();
        let mut vector = blueprint.environments()?;
        if let Some(base) = chunks.first().and_then(|chunk| chunk.base.as_ref()) {
            vector.restore_base(base).map_err(broken)?;
        }
        let end = end_seq.min(from.saturating_add(limit.max(1) as u64));
        let mut start = None;
        if from == chunks[0].first_seq {
            start = Some(blueprint.written_snapshot(&vector, encoding)?);
        }
        let mut entries = Entries {
            encoding,
            written: Pieces::default(),
            count: 0,
            json: Vec::new(),
        };
        let mut next = from;
        let operations = chunks.iter().flat_map(|chunk| chunk.operations());
        for (seq, bytes) in operations.take_while(|(seq, _)| *seq < end) {
            if entries.count > 0 && entries.written.len() >= max_bytes {
                break;
            }
            let operation = blueprint.recorded(&vector, bytes).map_err(broken)?;
            let kind = operation.kind();
            let asked = (seq >= from).then(|| blueprint.request_of(operation.clone()));
            let reply = blueprint.perform(&mut vector, operation, seq + 1);
            let reply = reply.map_err(|fault| broken(fault.to_string()))?;
            if let Some(body) = asked {
                let entry = Entry {
                    seq,
                    operation: kind,
                    body: &body,
                    reply: &reply,
                };
                entries.push(&entry).map_err(unwritten)?;
                next = seq + 1;
            }
            if seq + 1 == from {
                start = Some(blueprint.written_snapshot(&vector, encoding)?);
            }
        }
        let start = start.ok_or_else(|| broken("the history has a gap".to_owned()))?;
        let next = (next < end_seq).then_some(next);
        document(first_seq, start, entries, next).map_err(unwritten)
    }
}

/// Assembles a page from its start and its entries.
fn document(
    first_seq: u64,
    start: Pieces,
    entries: Entries,
    next: Option<u64>,
) -> io::Result<Pieces> {
    let mut page = Pieces::default();
    match entries.encoding {
        Encoding::Json => {
            write!(
                page,
                r#"{{"format":"{TRAJECTORY_FORMAT}","version":{TRAJECTORY_VERSION},"first_seq":{first_seq},"start":"#
            )?;
            page.append(start);
            page.write_all(br#","entries":["#)?;
            page.append(entries.written);
            page.write_all(b"]")?;
            if let Some(next) = next {
                write!(page, r#","next":{next}"#)?;
            }
            page.write_all(b"}")?;
        }
        Encoding::MessagePack => {
            use rmp::encode::{write_array_len, write_map_len, write_str, write_uint};
            write_map_len(&mut page, 5 + u32::from(next.is_some()))?;
            write_str(&mut page, "format")?;
            write_str(&mut page, TRAJECTORY_FORMAT)?;
            write_str(&mut page, "version")?;
            write_uint(&mut page, u64::from(TRAJECTORY_VERSION))?;
            write_str(&mut page, "first_seq")?;
            write_uint(&mut page, first_seq)?;
            write_str(&mut page, "start")?;
            page.append(start);
            write_str(&mut page, "entries")?;
            write_array_len(&mut page, entries.count)?;
            page.append(entries.written);
            if let Some(next) = next {
                write_str(&mut page, "next")?;
                write_uint(&mut page, next)?;
            }
        }
    }
    Ok(page)
}

/// The result of a replay that was equal throughout.
#[derive(Debug)]
pub struct Replayed {
    /// Number of operations.
    pub operations: usize,
    /// Number of steps of single lanes among them.
    pub steps: usize,
    /// The state at its end.
    pub end: Snapshot,
}

/// Replays a trajectory from its start, and compares every reply.
///
/// # Errors
/// Describes what does not fit or differs, and at which operation.
pub fn replay(trajectory: &Trajectory) -> Result<Replayed, String> {
    check_header(trajectory)?;
    let start = &trajectory.start;
    let (blueprint, mut vector) = blueprint_for(start)?;
    let restore = Operation::Restore(Box::new(start.clone()));
    let in_start = |problem: Problem| format!("start: {problem}");
    blueprint.check(&vector, &restore).map_err(in_start)?;
    let restored = blueprint.perform(&mut vector, restore, 0);
    restored.map_err(|fault| fault.to_string())?;
    let mut steps = 0;
    let mut next_seq = trajectory.entries.first().map_or(0, |entry| entry.seq);
    for entry in &trajectory.entries {
        let seq = entry.seq;
        if seq != next_seq {
            return Err(format!("operation {seq} follows where {next_seq} must"));
        }
        next_seq = seq + 1;
        let at = |problem: Problem| format!("operation {seq}: {problem}");
        let operation = blueprint
            .operation_of(entry.operation, entry.body.clone())
            .map_err(at)?;
        blueprint.check(&vector, &operation).map_err(at)?;
        if entry.operation == OperationKind::Step {
            steps += start.lanes.len();
        }
        let reply = blueprint.perform(&mut vector, operation, next_seq);
        let reply = reply.map_err(|fault| fault.to_string())?;
        let reply = serde_json::to_value(&reply).expect("replies are plain data");
        if let Some(difference) = difference("", &reply, &entry.reply) {
            return Err(format!("operation {seq}: reply{difference}"));
        }
    }
    let saved = vector
        .native("snapshots")
        .map_err(|problem| problem.to_string())?;
    let saved = saved.save();
    Ok(Replayed {
        operations: trajectory.entries.len(),
        steps,
        end: blueprint.snapshot_of(saved),
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

/// Makes environments for restoring a snapshot.
fn blueprint_for(start: &Snapshot) -> Result<(Blueprint, Lanes), String> {
    Blueprint::new(&Catalogue::default(), creation_for(start), Seed::First(0))
        .map_err(|problem| format!("start: {problem}"))
}

/// Returns a creation with the kind, spec and arguments of a snapshot.
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

/// Describes the first place where two documents differ.
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

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::super::store::Store;
    use super::*;
    use environments::vector::Reset;
    use service::leases::Clock;

    /// Returns pages of at most `max_bytes`, one after another.
    fn pages(session: &Session, max_bytes: usize, encoding: Encoding) -> Vec<Trajectory> {
        let mut pages = Vec::new();
        let mut from = None;
        loop {
            let page = session.page(from, 1_000, max_bytes, encoding).unwrap();
            let page: Trajectory = encoding.decode(&page.into_pieces().concat()).unwrap();
            from = page.next;
            pages.push(page);
            if from.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_end_when_they_are_full() {
        let store = Store::new(Limits::default(), Clock::default());
        let creation = Creation::Vector(CreateVectorEnv {
            spec_id: "StatelessCartPole-v0".to_owned(),
            num_envs: 3,
            kwargs: Default::default(),
            seed: None,
            autoreset_mode: env_protocol::AutoresetMode::SameStep,
            ttl_s: None,
        });
        let session = store.create(creation, None).unwrap().session;
        session
            .apply(None, Operation::Reset(Reset::default()))
            .unwrap();
        for t in 0..40 {
            session
                .apply(None, Operation::Step(vec![f64::from(t % 2), 0.0, 1.0]))
                .unwrap();
        }
        let whole = &pages(&session, usize::MAX, Encoding::Json)[..];
        let [whole] = whole else {
            panic!("{} pages", whole.len());
        };
        assert_eq!(whole.entries.len(), 41);
        assert_eq!(replay(whole).unwrap().operations, 41);
        for (max_bytes, num_pages) in [(0, 41..=41), (1, 41..=41), (2_000, 3..=20)] {
            for encoding in [Encoding::Json, Encoding::MessagePack] {
                let pages = pages(&session, max_bytes, encoding);
                assert!(num_pages.contains(&pages.len()), "{}", pages.len());
                assert!(pages.iter().all(|page| replay(page).is_ok()));
                let entries: Vec<_> = pages.into_iter().flat_map(|page| page.entries).collect();
                assert_eq!(entries, whole.entries);
            }
        }
    }
}
