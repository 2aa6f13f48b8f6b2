//! Rollouts that workers play: the same to the bit as in one process, however the lanes are dealt and whichever worker dies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use agent::algorithms;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::{EnvSelection, OptionDraw};
use agent::overrides;
use agent::run::checkpoint::Checkpoint;
use agent::run::collect::{NAME, Worker, Workers};
use agent::run::config::TrainConfig;
use agent::run::train::{Ending, Origin, TrainError, TrainOptions, Trained, train_from};
use agent::views::monitor::{LogRecord, Monitor, MonitorError, Progress, Silent};
use serde_json::{Map, Value, json};
use workers::{CallError, Part, Pool, Request, Shared};

#[cfg(target_os = "linux")]
#[path = "../../env-server/workers/tests/support/children.rs"]
mod children;
#[cfg(target_os = "linux")]
#[path = "../../env-server/workers/tests/support/ray.rs"]
mod cluster;
#[cfg(target_os = "linux")]
#[path = "collect/ray.rs"]
mod ray;
#[path = "collect/sessions.rs"]
mod sessions;
#[expect(dead_code, reason = "these tests train agents of their own")]
mod support;

const LANES: usize = 16;

type Reply = mpsc::Sender<Result<Vec<u8>, String>>;

/// A worker in a thread, which is lost at every so many calls: after it has played, and before its answer arrives.
struct Thread {
    calls: Mutex<mpsc::Sender<(Request, Reply)>>,
    made: AtomicUsize,
    lost_at: usize,
}

fn start() -> mpsc::Sender<(Request, Reply)> {
    let (sender, calls) = mpsc::channel::<(Request, Reply)>();
    std::thread::spawn(move || {
        let mut worker = Worker::new(|| Err("there is a server".into()), None);
        for (request, reply) in calls {
            reply.send(worker.answer(&request)).unwrap();
        }
    });
    sender
}

impl Thread {
    fn pool(lost_at: usize) -> Arc<dyn Pool + Send + Sync> {
        Arc::new(Self {
            calls: Mutex::new(start()),
            made: AtomicUsize::new(0),
            lost_at,
        })
    }

    fn ask(&self, request: &Request) -> Result<Vec<u8>, String> {
        let (reply, answer) = mpsc::channel();
        let calls = self.calls.lock().unwrap().clone();
        calls.send((request.clone(), reply)).unwrap();
        answer.recv().unwrap()
    }
}

impl Pool for Thread {
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        _stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        let mut answer = self.ask(request);
        if self.made.fetch_add(1, Ordering::Relaxed) % self.lost_at == self.lost_at - 1 {
            on_part(Part::Lost("its thread was left"));
            *self.calls.lock().unwrap() = start();
            answer = self.ask(request);
        }
        answer.map_err(CallError::Failed)
    }

    fn close(&self) {}

    fn kill_all(&self) {}
}

fn workers(count: usize, server: &str, lost_at: usize) -> Workers {
    Workers {
        pools: (0..count).map(|_| Thread::pool(lost_at)).collect(),
        servers: vec![server.to_owned()],
        on_lost: Arc::new(|_| {}),
    }
}

fn connect(config: &TrainConfig, server: &str, num_envs: usize) -> RemoteVectorEnv {
    RemoteVectorEnv::connect(&RemoteEnvConfig {
        servers: vec![server.to_owned()],
        token: None,
        spec_id: config.env.spec_id.clone(),
        kwargs: config.env.kwargs.clone(),
        num_envs,
        retry: RetryPolicy::default(),
    })
    .unwrap()
}

fn options(stop: &AtomicBool, resume: Option<Checkpoint>) -> TrainOptions<'_> {
    TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume,
        stop,
    }
}

fn alone(config: &TrainConfig, server: &str) -> Checkpoint {
    let mut env = connect(config, server, LANES);
    let stop = AtomicBool::new(false);
    let origin = Origin::Environments(&mut env);
    let trained = train_from(config, origin, options(&stop, None), &mut Silent);
    trained.unwrap().checkpoint
}

fn by_workers(
    config: &TrainConfig,
    server: &str,
    (workers, groups): (&Workers, usize),
    resume: Option<Checkpoint>,
) -> Result<Trained, TrainError> {
    by_workers_until(config, server, (workers, groups), resume, u64::MAX)
}

/// Stops a run after so many updates.
struct StopAt<'a>(u64, &'a AtomicBool);

impl Monitor for StopAt<'_> {
    fn update(&mut self, progress: &Progress, _: &LogRecord) -> Result<(), MonitorError> {
        self.1.store(progress.updates >= self.0, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&mut self, _: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

fn by_workers_until(
    config: &TrainConfig,
    server: &str,
    (workers, groups): (&Workers, usize),
    resume: Option<Checkpoint>,
    updates: u64,
) -> Result<Trained, TrainError> {
    let mut like = connect(config, server, 1);
    let stop = AtomicBool::new(false);
    let origin = Origin::Workers {
        workers,
        groups,
        like: &mut like,
    };
    let mut monitor = StopAt(updates, &stop);
    train_from(config, origin, options(&stop, resume), &mut monitor)
}

/// All of a checkpoint but the environments' state, which is held together in other ways.
#[track_caller]
fn assert_equal(found: &Checkpoint, expected: &Checkpoint, what: &str) {
    assert!(found.params == expected.params, "{what}: weights");
    assert!(found.learner == expected.learner, "{what}: Adam");
    let (found, expected) = (&found.run, &expected.run);
    assert_eq!(found.statistics, expected.statistics, "{what}");
    assert!(found.exploration == expected.exploration, "{what}: bonuses");
    assert!(found.rng == expected.rng, "{what}: draws");
    assert!(found.collector == expected.collector, "{what}: lanes");
}

fn config(algorithm: &str, task: &str, kwargs: Value, steps: u64) -> TrainConfig {
    let Value::Object(kwargs) = kwargs else {
        panic!("arguments are a map");
    };
    let env = EnvSelection {
        spec_id: task.into(),
        kwargs,
        draws: Vec::new(),
    };
    let small = overrides! {
        num_envs: LANES,
        num_steps: 12,
        update_epochs: 1,
        num_minibatches: 2,
        early_stop: false,
        hidden_size: 16,
    };
    let row = algorithms::find(algorithm).unwrap();
    TrainConfig::resolve(row, &small, env, steps, 3).unwrap()
}

#[test]
fn workers_train_the_same_agent_as_one_process() {
    let server = support::environments();
    for (task, kwargs) in [
        ("MemoryTask-v0", json!({"delay": 5})),
        ("TMazeActive-v0", json!({})),
        ("StatelessCartPole-v0", json!({})),
        ("BitFlip-v0", json!({})),
    ] {
        for algorithm in ["ppo", "recurrent-ppo", "tracerl", "tracerl-notebook"] {
            // Two updates and a rollout that the budget cuts off.
            let config = config(algorithm, task, kwargs.clone(), 32 * LANES as u64);
            let expected = alone(&config, &server);
            for groups in [1, 2, 3, 5, 16] {
                for lost_at in [usize::MAX, 3] {
                    let workers = workers(groups.min(3), &server, lost_at);
                    let trained = by_workers(&config, &server, (&workers, groups), None);
                    let what = format!("{algorithm}, {task}, {groups} groups, lost at {lost_at}");
                    assert_equal(&trained.unwrap().checkpoint, &expected, &what);
                }
            }
        }
    }
}

/// Options that all lanes share are drawn by the caller, and whole episodes end with the longest.
#[test]
fn draws_and_whole_episodes_are_the_same_by_workers() {
    let server = support::environments();
    let mut config = config("tracerl", "MemoryTask-v0", json!({"delay": 5}), 32 * 16);
    config.env.draws = vec!["delay=2..9".parse::<OptionDraw>().unwrap()];
    config.hyper = config
        .hyper
        .edited(|collection: &mut agent::experience::Collection| {
            (collection.num_steps, collection.whole_episodes) = (20, true);
        });
    let expected = alone(&config, &server);
    let mut workers = workers(2, &server, 4);
    let lost = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&lost);
    workers.on_lost = Arc::new(move |reason| told.lock().unwrap().push(reason.to_owned()));
    let trained = by_workers(&config, &server, (&workers, 5), None).unwrap();
    assert_equal(&trained.checkpoint, &expected, "draws");
    let lost = lost.lock().unwrap();
    assert!(lost.len() > 1, "{lost:?}");
    assert!(lost.iter().all(|reason| reason == "its thread was left"));
}

/// Other workers resume a run of workers, and so does one process.
#[test]
fn a_run_of_workers_is_resumed_by_others_and_by_one_process() {
    let server = support::environments();
    let task = json!({"delay": 5});
    let config = config("tracerl", "MemoryTask-v0", task, 48 * LANES as u64);
    let three = workers(3, &server, usize::MAX);
    let half = by_workers_until(&config, &server, (&three, 5), None, 2).unwrap();
    assert_eq!(half.ending, Ending::Interrupted);
    let half = half.checkpoint;
    let expected = alone(&config, &server);
    let two = workers(2, &server, usize::MAX);
    let by_two = by_workers(&config, &server, (&two, 5), Some(half.clone())).unwrap();
    assert_equal(&by_two.checkpoint, &expected, "by two workers");
    let snapshot = half.run.environment.clone().unwrap();
    let mut env = RemoteVectorEnv::connect_for(
        &RemoteEnvConfig {
            servers: vec![server.clone()],
            token: None,
            spec_id: config.env.spec_id.clone(),
            kwargs: Map::from_iter([("delay".to_owned(), json!(5))]),
            num_envs: LANES,
            retry: RetryPolicy::default(),
        },
        &snapshot,
    )
    .unwrap();
    let stop = AtomicBool::new(false);
    let origin = Origin::Environments(&mut env);
    let trained = train_from(&config, origin, options(&stop, Some(half)), &mut Silent);
    assert_equal(&trained.unwrap().checkpoint, &expected, "by one process");
}

#[test]
fn what_workers_cannot_play_is_refused() {
    let server = support::environments();
    let env = config("ppo", "MemoryTask-v0", json!({"delay": 5}), 1_000).env;
    for (algorithm, reason) in [
        ("nec", "tables"),
        ("odt", "last bits"),
        ("oracle", "does not learn"),
    ] {
        let row = algorithms::find(algorithm).unwrap();
        let few = overrides! { num_envs: LANES };
        let config = TrainConfig::resolve(row, &few, env.clone(), 1_000, 3).unwrap();
        let workers = workers(1, &server, usize::MAX);
        let error = by_workers(&config, &server, (&workers, 4), None).unwrap_err();
        assert!(error.to_string().contains(reason), "{algorithm}: {error}");
    }
}

/// A pool that shares other bytes than it was asked to, or none.
struct Careless(Arc<dyn Pool + Send + Sync>, Option<Shared>);

impl Pool for Careless {
    fn call(
        &self,
        request: &Request,
        on_part: &mut dyn FnMut(Part<'_>),
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, CallError> {
        let shared = self.1.clone();
        let request = Request {
            shared,
            ..request.clone()
        };
        self.0.call(&request, on_part, stop)
    }

    fn close(&self) {}

    fn kill_all(&self) {}
}

#[test]
fn a_worker_plays_with_no_other_weights_than_its_call_names() {
    let server = support::environments();
    let config = config("ppo", "MemoryTask-v0", json!({"delay": 5}), 1_000);
    for shared in [None, Some(Shared::new(b"other weights".to_vec()))] {
        let workers = Workers {
            pools: vec![Arc::new(Careless(Thread::pool(usize::MAX), shared))],
            servers: vec![server.clone()],
            on_lost: Arc::new(|_| {}),
        };
        let error = by_workers(&config, &server, (&workers, 4), None).unwrap_err();
        assert!(error.to_string().contains("were not shared"), "{error}");
    }
}

#[test]
fn damaged_calls_are_refused_and_the_worker_goes_on() {
    let server = support::environments();
    let mut worker = Worker::new(move || Ok(server.clone()), None);
    let request = |name: &str, body: &[u8]| Request {
        name: name.to_owned(),
        body: body.to_vec(),
        checkpoint: None,
        shared: Some(Shared::new(b"weights".to_vec())),
    };
    let error = worker.answer(&request("job", b"")).unwrap_err();
    assert!(error.contains("job"), "{error}");
    for body in [&b""[..], &[0x80], &[0xc1], b"call"] {
        assert!(worker.answer(&request(NAME, body)).is_err(), "{body:?}");
    }
}
