//! Telling again what was played, from the operations alone.

use std::io::{self, Write};
use std::sync::Arc;

use env_protocol::{
    CreateEnv, CreateVectorEnv, Encoding, ErrorCode, OperationKind, Problem, Snapshot,
    TRAJECTORY_FORMAT, TRAJECTORY_VERSION, Trajectory,
};
use serde::Serialize;
use serde_json::Value as Json;

use super::keeper::Keeper;
use super::lease::Clock;
use super::operation::{Operation, RequestBody};
use super::transcode;
use super::{Creation, Parents, Reply, Session, ended, make_vector, restore_base};
use environments::pieces::Pieces;

/// A page that has so many bytes of entries is full. It holds one operation at least, whatever it takes.
pub const PAGE_BYTES: usize = 8 << 20;

/// A [`env_protocol::TrajectoryEntry`].
#[derive(Serialize)]
struct Entry<'a> {
    seq: u64,
    operation: OperationKind,
    body: &'a RequestBody,
    reply: &'a Reply,
}

/// Entries one after the other, as they stand in a list.
struct Entries {
    encoding: Encoding,
    written: Pieces,
    count: u32,
    /// Where a piece of JSON is put together, on its way to MessagePack.
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
    /// The same as [`Session::trajectory`], as a document.
    ///
    /// # Errors
    /// As there.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn told(&self, from: Option<u64>, limit: usize) -> Result<Trajectory, Problem> {
        let page = self.trajectory(from, limit, Encoding::Json)?;
        let page = page.into_pieces().concat();
        Ok(serde_json::from_slice(&page).expect("a trajectory"))
    }

    /// Operations from number `from` on, or from the earliest that is kept, at most `limit` of
    /// them and not many more bytes than [`PAGE_BYTES`]: a [`Trajectory`]. They are played again, on
    /// environments of their own.
    ///
    /// # Errors
    /// `invalid-query` when `from` is not (or no longer) there; `env-closed`, `lease-expired`.
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
        let unwritten = |error: io::Error| broken(error.to_string());
        let mut vector = make_vector(self.spec, &self.arguments, &self.creation, &self.seed)?;
        if let Some(base) = chunks.first().and_then(|chunk| chunk.base.as_ref()) {
            restore_base(vector.as_mut(), base).map_err(broken)?;
        }
        let end = end_seq.min(from.saturating_add(limit.max(1) as u64));
        let mut start = None;
        if from == chunks[0].first_seq {
            start = Some(self.written_snapshot(vector.as_ref(), encoding)?);
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
            let operation = self.recorded(vector.as_ref(), bytes).map_err(broken)?;
            let kind = operation.kind();
            let asked = (seq >= from).then(|| self.request_of(operation.clone()));
            let reply = self.perform(vector.as_mut(), operation, seq + 1);
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
                start = Some(self.written_snapshot(vector.as_ref(), encoding)?);
            }
        }
        let start = start.ok_or_else(|| broken("the history has a gap".to_owned()))?;
        let next = (next < end_seq).then_some(next);
        document(first_seq, start, entries, next).map_err(unwritten)
    }
}

/// A page around its start and its entries.
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

#[cfg(test)]
mod tests {
    use super::super::store::{Limits, Store};
    use super::*;
    use environments::vector::Reset;

    /// Pages of at most so many bytes, one after the other.
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
                .apply(None, Operation::Step(vec![t % 2, 0, 1]))
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
