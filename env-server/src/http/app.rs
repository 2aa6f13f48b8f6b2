//! The state behind the routes, and the work that handlers share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use env_protocol::{Encoding, ErrorCode, ForkRequest, Problem};
use serde::Serialize;

use super::caller::Caller;
use crate::config::ServerConfig;
use crate::error::Error;
use crate::journal::JournalConfig;
use crate::session::Catalogue;
use crate::session::recovery::Recovery;
use crate::session::store::{CreatedSession, Store};
use crate::session::{Answer, Creation, Kind, Operation, Reply, Session};
use environments::pieces::Pieces;
use service::Failure;
use service::Owner;
use service::access::Access;
use service::bodies::{self, Bodies};
use service::codec::{encoded, with_body};
use service::observe::{Metrics, RecoveryFigures};
use service::room::Room;
use service::socket::Sockets;
use service::{BodyLimit, IDEMPOTENCY_REPLAYED};

/// Interval of housekeeping. A request for an expired environment notices at once; this only frees
/// memory.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

/// Up to this many lanes are built at once without going aside.
const FEW_LANES: u64 = 64;
/// What a timer of the runtime may be late: it rounds up to milliseconds.
pub(super) const COARSE: Duration = Duration::from_millis(3);
/// What a thread that sleeps may be late.
const FINE: Duration = Duration::from_micros(200);

/// The state that handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(super) bodies: Bodies,
    allow_oracle: bool,
    /// Time by which the answer to a step is held back for each lane.
    simulate_lane: Duration,
    is_draining: AtomicBool,
    /// Held while metrics are rendered.
    pub(super) scrape: tokio::sync::Mutex<()>,
    pub(crate) sockets: Sockets,
}

pub(crate) type SharedApp = Arc<App>;

impl BodyLimit for App {
    fn bodies(&self) -> &Bodies {
        &self.bodies
    }
}

impl App {
    /// Opens the store, which recovers the contents of the data directory.
    pub(crate) fn open(config: &ServerConfig) -> Result<SharedApp, Error> {
        let catalogue = Catalogue::with_hosts(config.hosts.clone());
        let store = match &config.data_dir {
            None => Store::with_catalogue(config.limits, config.clock.clone(), catalogue),
            Some(dir) => {
                let journal = JournalConfig::new(dir, config.durability);
                let (store, recovery) =
                    Store::open_with(config.limits, config.clock.clone(), journal, catalogue)?;
                report(&recovery);
                report_owners(&store.held_by(), config.service.access.as_deref());
                store.context().metrics().recovered(RecoveryFigures {
                    took: recovery.took,
                    recovered: recovery.environments as u64,
                    lost: recovery.lost.len() as u64,
                    damaged: recovery.damage.len() as u64,
                });
                store
            }
        };
        Ok(Arc::new(App {
            store,
            bodies: Bodies::new(config.service.max_body_bytes),
            allow_oracle: config.allow_oracle,
            simulate_lane: config.simulate_lane,
            is_draining: AtomicBool::new(false),
            scrape: tokio::sync::Mutex::default(),
            sockets: Sockets::new(config.service.socket_times),
        }))
    }

    /// Returns the metrics in which operations are counted.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        self.store.context().metrics()
    }

    /// Returns the size of the largest body or message that is accepted.
    pub(crate) fn max_body_bytes(&self) -> usize {
        self.bodies.max_body_bytes()
    }

    /// Ends expired leases and keeps the journal small, for as long as the server exists.
    pub(crate) async fn keep_house(app: Weak<App>) {
        while let Some(app) = app.upgrade() {
            let keeping = tokio::task::spawn_blocking(move || {
                app.store.look_after_journal();
                app.store.reap();
                match app.store.is_compaction_due() {
                    true => app.store.compact(),
                    false => Ok(()),
                }
            });
            match keeping.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the journal cannot be compacted"),
                Err(error) => tracing::error!(%error, "housekeeping failed"),
            }
            tokio::time::sleep(HOUSEKEEPING_INTERVAL).await;
        }
    }

    /// Makes `/readyz` answer 503 and refuses to create environments, from now on.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Checks that operations can be written to the journal, as far as the last write or check
    /// showed.
    pub(crate) fn check_storage(&self) -> Result<(), Failure> {
        match self.store.trouble() {
            None => Ok(()),
            Some(reason) => Err(Problem::new(ErrorCode::StorageFailed, &*reason).into()),
        }
    }

    pub(crate) fn check_ready(&self) -> Result<(), Failure> {
        if self.is_draining.load(Ordering::Relaxed) {
            let detail = "the server finishes the requests in flight and then ends";
            return Err(Problem::new(ErrorCode::Draining, detail).into());
        }
        Ok(())
    }

    /// Runs a long job on the threads for long work, where no other request waits for it.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        caller: &Caller,
        job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Failure> {
        Ok(Box::pin(self.bodies.aside().run(caller.note(), job)).await?)
    }

    /// Runs a job on a session: here if that is quick, otherwise aside.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        session: Arc<Session>,
        caller: &Caller,
        job: impl FnOnce(&Session) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Failure> {
        match session.is_quick() {
            true => Ok(job(&session)?),
            false => self.aside(caller, move || job(&session)).await,
        }
    }

    /// Answers `POST` on a collection.
    pub(super) async fn create(
        self: &Arc<Self>,
        creation: Creation,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let created = self.building(creation, caller, |store, creation, owner| {
            store.create(creation, owner)
        });
        self.created(created.await?, reply).await
    }

    /// Answers `PUT` on an id.
    pub(super) async fn create_as(
        self: &Arc<Self>,
        id: String,
        creation: Creation,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let created = self.building(creation, caller, move |store, creation, owner| {
            store.create_as(&id, creation, owner)
        });
        self.created(created.await?, reply).await
    }

    /// Builds environments: here if there are few of them, otherwise aside.
    pub(super) async fn building(
        self: &Arc<Self>,
        creation: Creation,
        caller: &Caller,
        build: impl FnOnce(&Store, Creation, Option<&Owner>) -> Result<CreatedSession, Problem>
        + Send
        + 'static,
    ) -> Result<CreatedSession, Failure> {
        // A host may have to be started.
        if creation.num_envs() <= FEW_LANES && !creation.spec_id().contains('/') {
            return Ok(build(&self.store, creation, caller.owner())?);
        }
        let (app, owner) = (Arc::clone(self), caller.owner().cloned());
        self.aside(caller, move || build(&app.store, creation, owner.as_ref()))
            .await
    }

    pub(super) async fn created(
        &self,
        created: CreatedSession,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.store.context().safe(created.written).await?;
        let session = created.session;
        let body = encoded(reply, &session.describe()?);
        if !created.is_new {
            return Ok(body);
        }
        let location = location(session.creation().kind(), session.id());
        Ok((StatusCode::CREATED, location, body).into_response())
    }

    /// Answers with a snapshot of a session.
    pub(super) async fn snapshot(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let app = Arc::clone(self);
        self.with(session, caller, move |session| {
            let room = app.store.room(session.snapshot_bytes())?;
            Ok(with_pieces(reply, session.snapshot_body(reply)?, room))
        })
        .await
    }

    /// Answers with a page of a trajectory.
    pub(super) async fn trajectory(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        (from, limit): (Option<u64>, usize),
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let app = Arc::clone(self);
        self.aside(caller, move || {
            let room = app.store.room(session.page_bytes(limit))?;
            Ok(with_pieces(
                reply,
                session.trajectory(from, limit, reply)?,
                room,
            ))
        })
        .await
    }

    pub(super) fn check_oracle(&self) -> Result<(), Failure> {
        if self.allow_oracle {
            return Ok(());
        }
        let detail = "only a server started with --allow-oracle gives the oracle's action";
        Err(Problem::new(ErrorCode::OracleNotAllowed, detail).into())
    }

    /// Answers a numbered operation.
    pub(super) async fn operate(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        seq: Option<u64>,
        operation: Operation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        // The reply to an earlier operation than the last is computed again, from an earlier state.
        let is_old = seq.is_some_and(|seq| session.is_old(seq));
        let is_quick = session.is_quick() && !is_old && !matches!(operation, Operation::Restore(_));
        if is_quick {
            let answer = session.apply_within(caller.budget(), seq, operation)?;
            self.hold_back(&session, &answer).await;
            return self.answer(answer, reply).await;
        }
        Box::pin(self.operate_aside(session, caller, seq, operation, reply)).await
    }

    /// Runs an operation aside, and encodes its reply there, since it may be large.
    pub(super) async fn operate_aside(
        self: &Arc<Self>,
        session: Arc<Session>,
        caller: &Caller,
        seq: Option<u64>,
        operation: Operation,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        let (app, stepping) = (Arc::clone(self), Arc::clone(&session));
        let budget = caller.budget().cloned();
        let (mut response, answer) = self
            .aside(caller, move || {
                // Reserve memory before anything is done: an error changes nothing.
                let room = app.store.room(session.reply_bytes(reply))?;
                let answer = session.apply_within(budget.as_ref(), seq, operation)?;
                let mut body = Pieces::default();
                answer.reply.write(reply, &mut body);
                Ok((with_pieces(reply, body, room), answer))
            })
            .await?;
        self.hold_back(&stepping, &answer).await;
        self.store.context().safe(answer.written).await?;
        mark(&mut response, &answer);
        Ok(response)
    }

    /// Waits as long as a slow environment would have taken for a step, if the settings say so. The
    /// step has been applied and nothing is locked, so other requests continue; a repetition is
    /// answered at once.
    pub(crate) async fn hold_back(&self, session: &Session, answer: &Answer) {
        let is_step = matches!(*answer.reply, Reply::Step(_) | Reply::VectorStep(_));
        if self.simulate_lane.is_zero() || !is_step || answer.is_replay {
            return;
        }
        let lanes = u32::try_from(session.creation().num_envs()).unwrap_or(u32::MAX);
        let time = self.simulate_lane.saturating_mul(lanes);
        // Boxed: every request would otherwise have room for a timer.
        Box::pin(wait(time)).await;
    }

    /// Answers a fork.
    pub(super) async fn fork(
        self: &Arc<Self>,
        session: Arc<Session>,
        request: ForkRequest,
        caller: &Caller,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.check_ready()?;
        let kind = session.creation().kind();
        let (app, owner) = (Arc::clone(self), caller.owner().cloned());
        let branch = move |session: &Session| app.store.fork(session, request, owner.as_ref());
        let answer = self.with(session, caller, branch).await?;
        let location = match &*answer.reply {
            Reply::Fork(fork) => location(kind, &fork.env_id),
            _ => unreachable!("a fork is answered as one"),
        };
        let body = self.answer(answer, reply).await?;
        Ok((StatusCode::CREATED, location, body).into_response())
    }

    /// Builds a reply that may be large; it holds its memory reservation until it has been sent.
    ///
    /// # Errors
    /// `overloaded`.
    pub(super) fn large<T: Serialize>(
        &self,
        reply: Encoding,
        body: &T,
    ) -> Result<Response, Problem> {
        let bytes = reply.encode(body);
        let room = self.store.room(bytes.len())?;
        Ok(with_pieces(reply, Pieces::from(bytes), room))
    }

    /// Answers once the operation is durable.
    pub(super) async fn answer(
        &self,
        answer: Answer,
        reply: Encoding,
    ) -> Result<Response, Failure> {
        self.store.context().safe(answer.written).await?;
        let mut response = with_body(reply, answer.reply.encode(reply));
        mark(&mut response, &answer);
        Ok(response)
    }

    /// Answers `DELETE` on an id.
    pub(super) async fn close(
        self: &Arc<Self>,
        kind: Kind,
        id: String,
        caller: &Caller,
    ) -> Result<StatusCode, Failure> {
        let is_quick = self.store.is_quick(kind, &id, caller.owner());
        let written = match is_quick {
            true => self.store.close(kind, &id, caller.owner())?,
            false => {
                let (app, owner) = (Arc::clone(self), caller.owner().cloned());
                self.aside(caller, move || app.store.close(kind, &id, owner.as_ref()))
                    .await?
            }
        };
        self.store.context().safe(written).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}

/// Builds a large reply, which holds `room` until it has been sent. JSON ends with a newline.
fn with_pieces(encoding: Encoding, mut pieces: Pieces, room: Room) -> Response {
    if encoding == Encoding::Json {
        pieces.end_line();
    }
    bodies::with_pieces(encoding, pieces.into_pieces(), room)
}

/// Marks a reply that was sent before.
fn mark(response: &mut Response, answer: &Answer) {
    if answer.is_replay {
        let headers = response.headers_mut();
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}

/// Logs the results of recovery.
fn report(recovery: &Recovery) {
    let Recovery {
        environments,
        lost,
        damage,
        set_aside,
        torn_tail_bytes,
        took,
    } = recovery;
    let lost_count = lost.len();
    tracing::info!(
        environments,
        lost_count,
        torn_tail_bytes,
        ?took,
        "recovered"
    );
    for place in damage {
        tracing::error!("the journal is damaged: {place}");
    }
    if let (files @ 1.., bytes) = *set_aside {
        tracing::warn!(
            files,
            bytes,
            "the data directory has files named *.damaged: nothing reads them, and you may remove them"
        );
    }
    for (env_id, detail) in lost {
        tracing::error!(env_id, "an environment is lost: {detail}");
    }
}

/// Logs changes in the ownership of recovered environments.
fn report_owners(held_by: &[(Option<Arc<str>>, usize)], access: Option<&Access>) {
    let mut of_nobody = 0;
    let mut of_absent = Vec::new();
    let mut of_principals = 0;
    for (owner, environments) in held_by {
        match (owner, access) {
            (None, _) => of_nobody += environments,
            (Some(_), None) => of_principals += environments,
            (Some(name), Some(access)) if access.principal(name).is_none() => {
                of_absent.push(format!("{environments} of {name}"));
            }
            (Some(_), Some(_)) => {}
        }
    }
    if access.is_some() && of_nobody > 0 {
        tracing::info!(
            environments = of_nobody,
            "environments were created without tokens: every principal may use them"
        );
    }
    if of_principals > 0 {
        tracing::warn!(
            environments = of_principals,
            "environments belong to principals, and there are no tokens: every client that reaches the server may use them"
        );
    }
    if !of_absent.is_empty() {
        let environments = of_absent.join(", ");
        tracing::warn!(
            environments,
            "environments belong to principals missing from the token file: they are kept until their leases end"
        );
    }
}

/// Waits so long, as exactly as an environment that computes: a timer for most of it, then a thread
/// sleeps for the last milliseconds, and yields for the last fraction of one.
async fn wait(time: Duration) {
    let begun = tokio::time::Instant::now();
    tokio::time::sleep(time.saturating_sub(COARSE)).await;
    let until = Instant::now() + time.saturating_sub(begun.elapsed());
    let rest = move || {
        let left = until.saturating_duration_since(Instant::now());
        std::thread::sleep(left.saturating_sub(FINE));
        while Instant::now() < until {
            std::thread::yield_now();
        }
    };
    // Fails only while the runtime ends.
    let _ = tokio::task::spawn_blocking(rest).await;
}

/// Builds a header with the path of an environment.
fn location(kind: Kind, id: &str) -> [(HeaderName, String); 1] {
    let collection = match kind {
        Kind::Single => "envs",
        Kind::Vector => "vector-envs",
    };
    [(header::LOCATION, format!("/v1/{collection}/{id}"))]
}
