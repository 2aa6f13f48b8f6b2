//! Checkpoints of earlier versions keep loading: each evaluates to the scores that the program which wrote it gave.
//!
//! `checkpoints/scores.json` holds, for every file, the mean returns of 40 balanced episodes in each mode. The files were
//! written by version 0.1.0 before hyper-parameters came in sections. A file is never changed; a new format adds files for
//! the algorithms that its predecessor wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agent::evaluate::{EvaluateOptions, EvaluationEnv, Mode, Player};
use agent::run::checkpoint::Checkpoint;
use serde_json::Map;

#[expect(dead_code, reason = "these tests train nothing")]
mod support;

const EPISODES: usize = 40;

/// The algorithms of the version that wrote the files. Later ones need none until the format changes.
const ALGORITHMS_OF_0_1_0: [&str; 6] = [
    "ppo",
    "recurrent-ppo",
    "tracerl",
    "tracerl-notebook",
    "random",
    "oracle",
];

/// Mean returns by mode.
type Scores = BTreeMap<String, f64>;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints")
}

fn evaluated(checkpoint: &Checkpoint, server: &str) -> Scores {
    let player = Player::new(checkpoint).unwrap();
    let trained_on = &checkpoint.config.env;
    let servers = [server.to_owned()];
    let retry = agent::env::remote::RetryPolicy::default();
    let connect =
        || EvaluationEnv::connect(trained_on, &Map::new(), EPISODES, &servers, None, retry);
    let mut scores = Scores::new();
    for mode in Mode::ALL {
        let mut setup = connect().unwrap();
        let options = EvaluateOptions {
            episodes: EPISODES,
            seed: 0,
            mode,
            balanced: setup.shows_cue_first,
            judged_step: setup.judged_step,
            episodes_per_lifetime: setup.episodes_per_lifetime,
        };
        let evaluation = player.evaluate(&mut setup.env, &options).unwrap();
        scores.insert(mode.to_string(), evaluation.mean_return);
    }
    scores
}

#[test]
fn checkpoints_of_earlier_versions_evaluate_to_the_same_scores() {
    let server = support::environments();
    let text = std::fs::read_to_string(folder().join("scores.json")).unwrap();
    let expected: BTreeMap<String, Scores> = serde_json::from_str(&text).unwrap();
    let mut algorithms: Vec<String> = Vec::new();
    for (name, expected) in expected {
        let checkpoint = Checkpoint::load(&folder().join(&name)).unwrap();
        assert_eq!(evaluated(&checkpoint, &server), expected, "{name}");
        algorithms.push(checkpoint.config.algorithm);
    }
    for id in ALGORITHMS_OF_0_1_0 {
        let is_known = algorithms.iter().any(|known| known == id);
        assert!(is_known, "no file of {id}");
    }
}
