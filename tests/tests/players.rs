//! Who learns nothing scores what is known of the tasks: random and clairvoyant players, by the agents' own programs
//! and over HTTP.

use std::sync::atomic::AtomicBool;

use agent::algorithms;
use agent::algorithms::sections::Overrides;
use agent::env::EnvError;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::evaluate::{EvaluateOptions, Evaluation, Mode, Player};
use agent::experience::Collection;
use agent::run::checkpoint::Checkpoint;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainError, TrainOptions, train};
use agent::views::monitor::Silent;
use end_to_end::EmbeddedServer;
use env_server::ServerConfig;
use environments::registry;
use serde_json::{Map, Value, json};

/// Episodes of a measurement.
const EPISODES: usize = 2_000;
/// A rollout: training changes nothing.
const TRAINED_STEPS: u64 = 64 * 128;

/// A mean and its standard error; 0 where the mean is known exactly.
#[derive(Clone, Copy, Debug)]
struct Mean(f64, f64);

const ZERO: Mean = Mean(0.0, 0.0);
const ONE: Mean = Mean(1.0, 0.0);

/// Returns of random and of clairvoyant play: what follows from the rules, or what was measured on the originals.
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
    // The first episode of a lifetime shows the cue and pays nothing.
    ("PersistentRecall-v0", r#"{}"#, ZERO, ZERO),
    // Random play: as the spec computes it.
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

    /// What `agent train` makes of it.
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

    /// What `agent evaluate` makes of that.
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

/// Whether a measurement is within four combined standard errors of what is known.
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
fn random_and_clairvoyant_play_score_what_is_known() {
    let server = EmbeddedServer::with(ServerConfig {
        allow_oracle: true,
        ..ServerConfig::default()
    })
    .expect("a server");
    for spec in registry::specs() {
        assert!(TABLE.iter().any(|row| row.0 == spec.id), "{}", spec.id);
    }
    for &(spec_id, kwargs, mut random, oracle) in TABLE {
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
    task.train("random").expect("chance needs nobody's leave");
}
