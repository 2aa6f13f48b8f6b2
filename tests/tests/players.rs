//! Compares the returns of random and clairvoyant players with known values. The players are rows
//! of the agent's own table and play over HTTP.

use std::sync::atomic::AtomicBool;

use agent::algorithms;
use agent::algorithms::sections::Overrides;
use agent::env::EnvError;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::evaluate::{EvaluateOptions, Evaluation, EvaluationEnv, Mode, Player};
use agent::experience::Collection;
use agent::run::checkpoint::Checkpoint;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainError, TrainOptions, train};
use agent::views::monitor::Silent;
use end_to_end::EmbeddedServer;
use env_server::ServerConfig;
use environments::registry;
use serde_json::{Map, Value, json};

/// Number of episodes in a measurement.
const EPISODES: usize = 2_000;
/// Steps of training: one rollout, which changes nothing.
const TRAINED_STEPS: u64 = 64 * 128;

/// A mean and its standard error; 0 where the mean is known exactly.
#[derive(Clone, Copy, Debug)]
struct Mean(f64, f64);

const ZERO: Mean = Mean(0.0, 0.0);
const ONE: Mean = Mean(1.0, 0.0);

/// Returns of random and of clairvoyant play, computed from the rules or measured on the original
/// tasks.
#[rustfmt::skip]
#[expect(clippy::approx_constant, reason = "a mean that happens to be near log10(e)")]
const TABLE: &[(&str, &str, Mean, Mean)] = &[
    ("MemoryTask-v0", r#"{"delay":8,"difficulty":1}"#, ZERO, ONE),
    ("BsuiteMemoryLen-v0", r#"{}"#, ZERO, ONE),
    ("BsuiteMemorySize-v0", r#"{}"#, ZERO, ONE),
    ("BsuiteUmbrellaChain-v0", r#"{}"#, ZERO, ONE),
    ("BsuiteDiscountingChain-v0", r#"{"mapping_seed":2}"#, Mean(1.02, 0.0), Mean(1.1, 0.0)),
    ("TMazePassive-v0", r#"{"corridor_length":2}"#, Mean(-0.8286, 0.0025), ONE),
    ("TMazeActive-v0", r#"{"corridor_length":2}"#, Mean(-0.8711, 0.0044), ONE),
    ("TMazePassive-v0", r#"{"corridor_length":5}"#, Mean(-0.9335, 0.0010), ONE),
    ("TMazeActive-v0", r#"{"corridor_length":5}"#, Mean(-0.9469, 0.0018), ONE),
    ("TMazePassive-v0", r#"{"corridor_length":20}"#, Mean(-0.9835, 0.0005), ONE),
    ("TMazeActive-v0", r#"{"corridor_length":20}"#, Mean(-0.9868, 0.0010), ONE),
    ("RepeatFirst-v0", r#"{"level":"easy"}"#, Mean(-0.5, 0.0), ONE),
    ("RepeatFirst-v0", r#"{"level":"medium"}"#, Mean(-0.5, 0.0), ONE),
    ("RepeatFirst-v0", r#"{"level":"hard"}"#, Mean(-0.5, 0.0), ONE),
    ("RepeatPrevious-v0", r#"{"level":"easy"}"#, Mean(-0.5, 0.0), ONE),
    ("RepeatPrevious-v0", r#"{"level":"medium"}"#, Mean(-0.5, 0.0), ONE),
    ("RepeatPrevious-v0", r#"{"level":"hard"}"#, Mean(-0.5, 0.0), ONE),
    ("Autoencode-v0", r#"{"level":"easy"}"#, Mean(-0.5, 0.0), ONE),
    ("Autoencode-v0", r#"{"level":"medium"}"#, Mean(-0.5, 0.0), ONE),
    ("Autoencode-v0", r#"{"level":"hard"}"#, Mean(-0.5, 0.0), ONE),
    ("CountRecall-v0", r#"{"level":"easy"}"#, Mean(2.0 / 27.0 - 1.0, 0.0), ONE),
    ("CountRecall-v0", r#"{"level":"medium"}"#, Mean(2.0 / 27.0 - 1.0, 0.0), ONE),
    ("CountRecall-v0", r#"{"level":"hard"}"#, Mean(2.0 / 17.0 - 1.0, 0.0), ONE),
    ("Concentration-v0", r#"{"level":"easy"}"#, Mean(-0.1897, 0.0023), ONE),
    ("Concentration-v0", r#"{"level":"medium"}"#, Mean(-0.1879, 0.0016), ONE),
    ("Concentration-v0", r#"{"level":"hard"}"#, Mean(-0.8349, 0.0020), ONE),
    ("HigherLower-v0", r#"{"level":"easy"}"#, ZERO, Mean(12.0 / 13.0, 0.0)),
    ("HigherLower-v0", r#"{"level":"medium"}"#, ZERO, Mean(12.0 / 13.0, 0.0)),
    ("HigherLower-v0", r#"{"level":"hard"}"#, ZERO, Mean(12.0 / 13.0, 0.0)),
    ("MultiarmedBandit-v0", r#"{"level":"easy"}"#, ZERO, Mean(9.0 / 11.0, 0.0)),
    ("MultiarmedBandit-v0", r#"{"level":"medium"}"#, ZERO, Mean(19.0 / 21.0, 0.0)),
    ("MultiarmedBandit-v0", r#"{"level":"hard"}"#, ZERO, Mean(29.0 / 31.0, 0.0)),
    ("Battleship-v0", r#"{"level":"easy"}"#, Mean(-0.4425, 0.0037), ONE),
    ("Battleship-v0", r#"{"level":"medium"}"#, Mean(-0.4103, 0.0034), ONE),
    ("Battleship-v0", r#"{"level":"hard"}"#, Mean(-0.4001, 0.0033), ONE),
    ("MineSweeper-v0", r#"{"level":"easy"}"#, Mean(-0.2292, 0.0074), ONE),
    ("MineSweeper-v0", r#"{"level":"medium"}"#, Mean(-0.3989, 0.0030), ONE),
    ("MineSweeper-v0", r#"{"level":"hard"}"#, Mean(-0.4342, 0.0018), ONE),
    ("StatelessCartPole-v0", r#"{"level":"easy"}"#, Mean(0.1118, 0.0013), ONE),
    ("StatelessCartPole-v0", r#"{"level":"medium"}"#, Mean(0.0559, 0.0007), ONE),
    ("StatelessCartPole-v0", r#"{"level":"hard"}"#, Mean(0.0373, 0.0004), ONE),
    ("EndlessTMaze-v0", r#"{}"#, ZERO, ONE),
    // The first episode of a lifetime shows the cue and has no reward.
    ("PersistentRecall-v0", r#"{}"#, ZERO, ZERO),
    ("AssociativeRecall-v0", r#"{"num_values":5,"spread":9,"rewrites":2,"num_queries":6}"#, Mean(-0.6, 0.0), ONE),
    // NaN: the return of random play is taken from the spec, which computes it.
    ("TMazeDistractors-v0", r#"{}"#, Mean(f64::NAN, 0.0), Mean(4.0, 0.0)),
];

struct Task<'a> {
    server: &'a EmbeddedServer,
    spec_id: &'a str,
    kwargs: Map<String, Value>,
}

impl Task<'_> {
    fn connect(&self, num_envs: usize) -> RemoteVectorEnv {
        RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: vec![self.server.url().into()],
            token: None,
            spec_id: self.spec_id.into(),
            kwargs: self.kwargs.clone(),
            num_envs,
            retry: RetryPolicy::default(),
        })
        .expect("an environment")
    }

    /// Trains an algorithm on the task, as `agent train` does.
    fn train(&self, algorithm: &str) -> Result<Checkpoint, TrainError> {
        let row = algorithms::find(algorithm).expect("a row of the table");
        let selection = EnvSelection {
            spec_id: self.spec_id.into(),
            kwargs: self.kwargs.clone(),
            draws: Vec::new(),
        };
        let config = TrainConfig::resolve(row, &Overrides::default(), selection, TRAINED_STEPS, 1)?;
        let mut env = self.connect(config.hyper.get::<Collection>().num_envs);
        let stop = AtomicBool::new(false);
        let options = TrainOptions {
            out: None,
            checkpoint_interval: None,
            resume: None,
            stop: &stop,
        };
        Ok(train(&config, &mut env, options, &mut Silent)?.checkpoint)
    }

    /// Evaluates a player on the task, as `agent evaluate` does.
    fn evaluate(&self, algorithm: &str) -> Evaluation {
        let checkpoint = self.train(algorithm).expect("trained");
        assert!(checkpoint.params.is_empty(), "there is nothing to learn");
        assert_eq!(checkpoint.run.statistics.timesteps, TRAINED_STEPS);
        let options = EvaluateOptions {
            episodes: EPISODES,
            seed: 1,
            mode: Mode::Greedy,
            balanced: false,
            judged_step: None,
            episodes_per_lifetime: 1,
        };
        let player = Player::new(&checkpoint).expect("a player");
        let evaluation = player.evaluate(&mut self.connect(EPISODES), &options);
        evaluation.expect("evaluated")
    }
}

/// Checks that a measured mean is within four combined standard errors of the known one.
#[track_caller]
fn assert_agrees(name: &str, found: &Evaluation, Mean(mean, error): Mean) {
    let own_error = found.std_return / (EPISODES as f64).sqrt();
    let distance = (found.mean_return - mean).abs();
    let allowed = 4.0 * own_error.hypot(error) + 1e-9;
    let measured = found.mean_return;
    println!("{name}: {measured:.4} ± {own_error:.4}, known {mean:.4} ± {error:.4}");
    assert!(
        distance <= allowed,
        "{name}: {measured} ± {own_error}, known {mean} ± {error}"
    );
}

#[test]
fn random_and_clairvoyant_play_have_known_returns() {
    let server = EmbeddedServer::with(ServerConfig {
        allow_oracle: true,
        ..ServerConfig::default()
    })
    .expect("a server");
    // An environment without a row scores what it says itself.
    let others = registry::specs()
        .iter()
        .filter(|spec| TABLE.iter().all(|row| row.0 != spec.id))
        .map(|spec| {
            let oracle = spec.returns.oracle.expect("it is known for all");
            let random = spec.returns.random.unwrap_or(f64::NAN);
            (spec.id.as_str(), "{}", Mean(random, 0.0), Mean(oracle, 0.0))
        });
    for (spec_id, kwargs, mut random, oracle) in TABLE.iter().copied().chain(others) {
        let task = Task {
            server: &server,
            spec_id,
            kwargs: serde_json::from_str(kwargs).expect("an object"),
        };
        if random.0.is_nan() {
            let (_, spec) = registry::find(spec_id).expect("a spec");
            random = Mean(spec.returns.random.expect("computed"), 0.0);
        }
        assert_agrees(
            &format!("{spec_id} {kwargs} random"),
            &task.evaluate("random"),
            random,
        );
        assert_agrees(
            &format!("{spec_id} {kwargs} oracle"),
            &task.evaluate("oracle"),
            oracle,
        );
    }
}

/// Random actions stand in for all before the first judged one, and for no other.
#[test]
fn a_scrambled_oracle_still_gives_every_answer() {
    let server = EmbeddedServer::with(ServerConfig {
        allow_oracle: true,
        ..ServerConfig::default()
    })
    .expect("a server");
    for (spec_id, kwargs) in [
        ("MemoryTask-v0", json!({"delay": 5, "num_bits": 3})),
        ("BsuiteMemoryLen-v0", json!({"memory_length": 3})),
        ("AssociativeRecall-v0", json!({"delay": 6, "delay_min": 2})),
        (
            "AssociativeRecall-v0",
            json!({"delay": 2, "spread": 5, "rewrites": 3, "num_queries": 9}),
        ),
    ] {
        let task = Task {
            server: &server,
            spec_id,
            kwargs: kwargs.as_object().expect("an object").clone(),
        };
        let checkpoint = task.train("oracle").expect("trained");
        let EvaluationEnv {
            mut env,
            judged_step,
            shows_cue_first,
            episode_steps,
            ..
        } = EvaluationEnv::connect(
            &checkpoint.config.env,
            &Map::new(),
            EPISODES,
            &[server.url().into()],
            None,
            RetryPolicy::default(),
        )
        .expect("an environment");
        let options = EvaluateOptions {
            episodes: EPISODES,
            seed: 1,
            mode: Mode::Scrambled,
            balanced: shows_cue_first,
            judged_step,
            episodes_per_lifetime: 1,
        };
        let player = Player::new(&checkpoint).expect("a player");
        let evaluation = player.evaluate(&mut env, &options).expect("evaluated");
        assert!((evaluation.mean_return - 1.0).abs() < 1e-9, "{kwargs}");
        let steps = episode_steps.expect("it tells") as f64;
        assert_eq!(evaluation.mean_length, steps, "{kwargs}");
        // One step more, and the first answer is random.
        let options = EvaluateOptions {
            judged_step: judged_step.map(|step| step + 1),
            ..options
        };
        let evaluation = player.evaluate(&mut env, &options).expect("evaluated");
        assert!(evaluation.mean_return < 0.95, "{kwargs}");
    }
}

#[test]
fn an_oracle_is_refused_by_a_server_that_does_not_allow_it() {
    let server = EmbeddedServer::start().expect("a server");
    let task = Task {
        server: &server,
        spec_id: "MemoryTask-v0",
        kwargs: json!({"delay": 2}).as_object().expect("an object").clone(),
    };
    let error = task.train("oracle").expect_err("no oracle");
    let is_refused = |code: &str| code == "oracle-not-allowed";
    assert!(
        matches!(&error, TrainError::Env(EnvError::Refused { status: 403, code, .. }) if is_refused(code)),
        "{error}"
    );
    task.train("random")
        .expect("random play needs no permission");
}
