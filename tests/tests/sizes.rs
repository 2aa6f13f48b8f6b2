//! Checks that an agent whose weights do not depend on a raster's size is evaluated in rasters of other sizes, and that others
//! are not.

use std::sync::atomic::AtomicBool;

use agent::algorithms;
use agent::algorithms::sections::Overrides;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::selection::EnvSelection;
use agent::evaluate::inspect::record_episode;
use agent::evaluate::{EvaluateOptions, Mode, Player};
use agent::experience::Collection;
use agent::run::checkpoint::Checkpoint;
use agent::run::config::TrainConfig;
use agent::run::train::{TrainOptions, train};
use agent::views::heatmap::MemoryView;
use agent::views::monitor::Silent;
use end_to_end::EmbeddedServer;
use serde_json::{Map, json};

const SPEC: &str = "GridMaze-v0";
const EPISODES: usize = 20;

fn connect(server: &EmbeddedServer, size: u32, num_envs: usize) -> RemoteVectorEnv {
    RemoteVectorEnv::connect(&RemoteEnvConfig {
        servers: vec![server.url().into()],
        token: None,
        spec_id: SPEC.into(),
        kwargs: Map::from_iter([("size".to_owned(), json!(size))]),
        num_envs,
        retry: RetryPolicy::default(),
    })
    .expect("an environment")
}

/// A checkpoint of some updates in mazes of size 5.
fn trained(server: &EmbeddedServer, algorithm: &str) -> Checkpoint {
    let row = algorithms::find(algorithm).expect("a row of the table");
    let selection = EnvSelection {
        spec_id: SPEC.into(),
        kwargs: Map::from_iter([("size".to_owned(), json!(5))]),
        draws: Vec::new(),
    };
    let overrides = Overrides::default();
    let config = TrainConfig::resolve(row, &overrides, selection, 4_096, 0).expect("a config");
    let mut env = connect(server, 5, config.hyper.get::<Collection>().num_envs);
    let options = TrainOptions {
        out: None,
        checkpoint_interval: None,
        resume: None,
        stop: &AtomicBool::new(false),
    };
    let trained = train(&config, &mut env, options, &mut Silent);
    trained.expect("a trained agent").checkpoint
}

#[test]
fn a_planner_plays_mazes_of_another_size() {
    let server = EmbeddedServer::start().expect("a server");
    let checkpoint = trained(&server, "mvprop");
    for size in [3, 5, 9] {
        let mut env = connect(&server, size, EPISODES);
        let player = Player::for_env(&checkpoint, &env).expect("a player");
        let options = EvaluateOptions {
            episodes: EPISODES,
            seed: 1,
            mode: Mode::Greedy,
            balanced: false,
            judged_step: None,
            episodes_per_lifetime: 1,
        };
        let evaluation = player.evaluate(&mut env, &options).expect("an evaluation");
        assert_eq!(evaluation.returns.len(), EPISODES);
        // The recorded memory has a number for each cell.
        let mut env = connect(&server, size, 1);
        let view = record_episode(&player, &mut env, 0, String::new(), Vec::new());
        let MemoryView::Vectors { vectors } = view.expect("an episode").memory else {
            panic!("values and passages");
        };
        let lengths: Vec<usize> = vectors.iter().map(|vector| vector.length).collect();
        assert_eq!(lengths, [(size * size) as usize; 2]);
    }
}

#[test]
fn another_agent_does_not() {
    let server = EmbeddedServer::start().expect("a server");
    let checkpoint = trained(&server, "ppo");
    let refusal = |size| {
        let player = Player::for_env(&checkpoint, &connect(&server, size, 1));
        player.err().map(|error| error.to_string())
    };
    assert_eq!(refusal(5), None);
    let refusal = refusal(6).expect("an error");
    assert!(refusal.contains("trained on other spaces"), "{refusal}");
}
