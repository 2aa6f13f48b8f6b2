//! Pictures of every environment: tests that they are bounded, readable and hide what they must.

use std::collections::{BTreeMap, BTreeSet};

use env_protocol::{AutoresetMode, Domain, Parameter, Seed};
use serde_json::{Value, json};

use crate::registry::{find, specs};
use crate::render::examples::decode;
use crate::render::{Picture, png_size, to_ansi, to_png};
use crate::vector::{Reset, VectorEnvironment};
use crate::{Arguments, check};

/// An environment, its arguments, and the actions to take before it is drawn.
type Case = (&'static str, Value, Vec<f64>);

/// A case whose actions are integers.
type Integers = (&'static str, Value, Vec<i64>);

/// Returns two cases of every environment: the chosen ones, or else the start and the state after
/// three actions, with the default arguments.
fn cases() -> Vec<Case> {
    let mut cases = chosen_cases();
    for spec in specs() {
        if !cases.iter().any(|case| case.0 == spec.id) {
            let actions = (0..3).flat_map(|t| check::action(&spec.action_space, t));
            cases.push((&spec.id, json!({}), vec![]));
            cases.push((&spec.id, json!({}), actions.collect()));
        }
    }
    cases
}

/// Returns environments with default and other arguments, in the middle of an episode or at its end.
fn chosen_cases() -> Vec<Case> {
    let cases = [
        chain_cases(),
        maze_cases(),
        card_cases(),
        other_cases(),
        labyrinth_cases(),
        control_cases(),
    ];
    let cases = cases.concat();
    let in_f64 = |actions: Vec<i64>| actions.into_iter().map(|action| action as f64).collect();
    let cases = cases.into_iter();
    cases
        .map(|(spec_id, kwargs, actions)| (spec_id, kwargs, in_f64(actions)))
        .collect()
}

fn chain_cases() -> Vec<Integers> {
    vec![
        ("MemoryTask-v0", json!({}), vec![0, 1, 1]),
        (
            "MemoryTask-v0",
            json!({"delay": 9, "cue_time": "random", "num_bits": 4, "difficulty": 1}),
            vec![0; 10],
        ),
        ("BsuiteMemoryLen-v0", json!({}), vec![0; 4]),
        (
            "BsuiteMemoryLen-v0",
            json!({"memory_length": 3}),
            vec![0, 1, 0, 1],
        ),
        ("BsuiteMemorySize-v0", json!({}), vec![1]),
        ("BsuiteMemorySize-v0", json!({"num_bits": 40}), vec![0, 1]),
        ("BsuiteUmbrellaChain-v0", json!({}), vec![1]),
        (
            "BsuiteUmbrellaChain-v0",
            json!({"chain_length": 3, "n_distractor": 0}),
            vec![0, 1, 1],
        ),
        ("BsuiteDiscountingChain-v0", json!({}), vec![2]),
        (
            "BsuiteDiscountingChain-v0",
            json!({"mapping_seed": 3}),
            vec![3; 40],
        ),
        ("PersistentRecall-v0", json!({}), vec![0, 1]),
        (
            "PersistentRecall-v0",
            json!({"delay": 2, "episodes_per_lifetime": 3}),
            vec![0, 0, 0, 0, 1],
        ),
        ("AssociativeRecall-v0", json!({"delay": 2}), vec![0; 7]),
        (
            "AssociativeRecall-v0",
            json!({"num_pairs": 18, "num_keys": 100, "rewrites": 3, "spread": 2, "difficulty": 1}),
            vec![0; 20],
        ),
    ]
}

fn maze_cases() -> Vec<Integers> {
    vec![
        ("TMazePassive-v0", json!({}), vec![]),
        (
            "TMazePassive-v0",
            json!({"corridor_length": 2, "goal_reward": 2}),
            vec![0, 0, 1],
        ),
        ("TMazeActive-v0", json!({}), vec![0, 0, 0]),
        (
            "TMazeActive-v0",
            json!({"corridor_length": 100}),
            [vec![2], vec![0; 60]].concat(),
        ),
        ("EndlessTMaze-v0", json!({}), vec![0, 0, 0, 0, 0, 3]),
        (
            "EndlessTMaze-v0",
            json!({"corridor_length": 3, "num_corridors": 1}),
            vec![0, 0, 0, 1],
        ),
        ("TMazeDistractors-v0", json!({}), vec![0, 0, 1]),
        (
            "TMazeDistractors-v0",
            json!({"corridor_length": 2, "max_episode_steps": 9, "noise": "uniform"}),
            vec![0, 0, 3],
        ),
    ]
}

fn card_cases() -> Vec<Integers> {
    vec![
        ("RepeatFirst-v0", json!({}), vec![3, 2, 1, 0]),
        ("RepeatFirst-v0", json!({"level": "hard"}), vec![1; 400]),
        ("RepeatPrevious-v0", json!({}), vec![0, 1, 2, 3, 0]),
        ("RepeatPrevious-v0", json!({"level": "hard"}), vec![2; 100]),
        ("Autoencode-v0", json!({}), vec![0; 9]),
        ("Autoencode-v0", json!({"num_decks": 2}), vec![1; 130]),
        ("CountRecall-v0", json!({}), vec![1, 0, 2, 3]),
        ("CountRecall-v0", json!({"level": "hard"}), vec![2; 30]),
        ("Concentration-v0", json!({}), vec![0, 1, 0, 2, 0, 3, 5]),
        ("Concentration-v0", json!({"level": "hard"}), vec![7, 20]),
        ("HigherLower-v0", json!({}), vec![0, 1, 0]),
        ("HigherLower-v0", json!({"num_decks": 3}), vec![0; 155]),
    ]
}

fn other_cases() -> Vec<Integers> {
    vec![
        ("MultiarmedBandit-v0", json!({}), vec![3, 4]),
        ("MultiarmedBandit-v0", json!({"num_bandits": 200}), vec![77]),
        (
            "Battleship-v0",
            json!({}),
            vec![0, 0, 3, 3, 6, 1, 5, 4, 5, 4, 5, 5, 0, 7],
        ),
        (
            "Battleship-v0",
            json!({"board_size": 3, "ship_sizes": [3, 3]}),
            vec![0, 0, 0, 0],
        ),
        ("MineSweeper-v0", json!({}), vec![0, 0, 2, 2, 0, 3, 2, 1]),
        (
            "MineSweeper-v0",
            json!({"difficulty": "hard"}),
            vec![0, 0, 7, 0, 4, 2, 3, 3, 0, 6, 1, 5],
        ),
        ("StatelessCartPole-v0", json!({}), vec![0, 1, 1]),
        (
            "StatelessCartPole-v0",
            json!({"max_episode_length": 50}),
            vec![1; 9],
        ),
    ]
}

fn control_cases() -> Vec<Integers> {
    vec![
        ("PositionOnlyPendulum-v0", json!({}), vec![]),
        (
            "PositionOnlyPendulum-v0",
            json!({"max_episode_length": 9}),
            vec![2, -2, 1, 2, 2],
        ),
        ("NoisyPositionOnlyPendulum-v0", json!({}), vec![2, 2, -1]),
        (
            "NoisyPositionOnlyPendulum-v0",
            json!({"max_episode_length": 2, "noise_sigma": 0.0}),
            vec![0, 0],
        ),
        ("NoisyPositionOnlyCartPole-v0", json!({}), vec![0, 1]),
        (
            "NoisyPositionOnlyCartPole-v0",
            json!({"max_episode_length": 2, "noise_sigma": 0.05}),
            vec![0, 1],
        ),
        ("VelocityOnlyCartPole-v0", json!({}), vec![]),
        ("VelocityOnlyCartPole-v0", json!({}), vec![0, 1, 1]),
        ("CartPole-v1", json!({}), vec![1, 0, 1]),
        ("CartPole-v1", json!({"max_episode_steps": 50}), vec![0; 9]),
        ("Pendulum-v1", json!({}), vec![2, 2, 0]),
        ("Pendulum-v1", json!({"max_episode_steps": 1}), vec![-2]),
    ]
}

fn labyrinth_cases() -> Vec<Integers> {
    vec![
        ("LabyrinthEscape-v0", json!({}), vec![]),
        (
            "LabyrinthEscape-v0",
            json!({"maze_dims": [6, 8], "episode_length": 8}),
            vec![0, 1, 2, 3, 0, 1, 2],
        ),
        ("LabyrinthExplore-v0", json!({}), vec![3, 3, 3, 1, 1, 0]),
        (
            "LabyrinthExplore-v0",
            json!({"maze_dims": [40, 6]}),
            vec![3, 1, 3, 0, 2],
        ),
    ]
}

/// Returns arguments with the largest pictures: the chosen ones, or else each argument at its
/// greatest value in turn.
fn largest() -> Vec<(&'static str, Value)> {
    let mut cases = chosen_largest();
    for spec in specs() {
        if !cases.iter().any(|case| case.0 == spec.id) {
            let own = spec.parameters.iter();
            cases.extend(own.map(|parameter| (spec.id.as_str(), greatest(parameter))));
            cases.push((&spec.id, json!({})));
        }
    }
    cases
}

/// Returns this argument at its greatest value. Noise is left out, because some spaces refuse it.
fn greatest(parameter: &Parameter) -> Value {
    let value = match &parameter.domain {
        _ if parameter.name == "observation_noise" => return json!({}),
        Domain::Integer { maximum, .. } => json!(maximum),
        Domain::Number { maximum, .. } => json!(maximum),
        Domain::Boolean { .. } => json!(true),
        Domain::Choice { choices, .. } => json!(choices.last()),
        Domain::Integers {
            maximum, max_items, ..
        } => json!(vec![*maximum; *max_items]),
    };
    json!({ parameter.name.as_str(): value })
}

/// Returns the greatest arguments, or arguments with the largest pictures.
fn chosen_largest() -> Vec<(&'static str, Value)> {
    [largest_recall(), largest_others()].concat()
}

/// Greatest number of steps of most tasks.
const MOST: u32 = 10_000_000;

fn largest_recall() -> Vec<(&'static str, Value)> {
    vec![
        (
            "MemoryTask-v0",
            json!({"delay": MOST, "num_bits": 64, "cue_time": "random"}),
        ),
        (
            "BsuiteMemoryLen-v0",
            json!({"memory_length": MOST, "num_bits": 1024}),
        ),
        (
            "BsuiteMemorySize-v0",
            json!({"memory_length": MOST, "num_bits": 1024}),
        ),
        (
            "PersistentRecall-v0",
            json!({"delay": MOST, "episodes_per_lifetime": MOST}),
        ),
        (
            "AssociativeRecall-v0",
            json!({"num_pairs": 1024, "num_keys": 4096, "num_values": 4096, "delay": MOST,
                   "spread": MOST, "rewrites": 1024, "num_queries": 65_536, "difficulty": 1}),
        ),
        (
            "AssociativeRecall-v0",
            json!({"num_pairs": 1024, "num_keys": 4096, "num_values": 4096, "delay": 1}),
        ),
    ]
}

fn largest_others() -> Vec<(&'static str, Value)> {
    vec![
        (
            "BsuiteUmbrellaChain-v0",
            json!({"chain_length": MOST, "n_distractor": 1024}),
        ),
        ("BsuiteDiscountingChain-v0", json!({"mapping_seed": 4})),
        ("TMazePassive-v0", json!({"corridor_length": 1_000_000})),
        ("TMazeActive-v0", json!({"corridor_length": 1_000_000})),
        ("RepeatFirst-v0", json!({"num_decks": 32})),
        ("RepeatPrevious-v0", json!({"num_decks": 32, "k": 1663})),
        ("Autoencode-v0", json!({"num_decks": 32})),
        (
            "CountRecall-v0",
            json!({"num_decks": 32, "deck_type": "ranks"}),
        ),
        (
            "Concentration-v0",
            json!({"num_decks": 8, "deck_type": "ranks"}),
        ),
        ("HigherLower-v0", json!({"num_decks": 32})),
        (
            "MultiarmedBandit-v0",
            json!({"num_bandits": 1024, "episode_length": MOST}),
        ),
        (
            "Battleship-v0",
            json!({"board_size": 32, "ship_sizes": vec![8; 64]}),
        ),
        ("MineSweeper-v0", json!({"level": "hard"})),
        ("StatelessCartPole-v0", json!({"max_episode_length": MOST})),
        (
            "LabyrinthEscape-v0",
            json!({"maze_dims": [100, 100], "episode_length": MOST}),
        ),
        (
            "LabyrinthExplore-v0",
            json!({"maze_dims": [100, 100], "episode_length": MOST}),
        ),
        ("LabyrinthExplore-v0", json!({"maze_dims": [6, 100]})),
        (
            "EndlessTMaze-v0",
            json!({"corridor_length": 10_000, "num_corridors": 10_000}),
        ),
        (
            "TMazeDistractors-v0",
            json!({"corridor_length": 1_000_000, "max_episode_steps": MOST}),
        ),
    ]
}

/// Returns arguments that make parts of a picture appear, vanish or grow during an episode.
fn changing() -> Vec<(&'static str, Value)> {
    let mut cases = vec![
        ("MemoryTask-v0", json!({"delay": 3, "num_bits": 5})),
        (
            "MemoryTask-v0",
            json!({"delay": 12, "delay_min": 2, "cue_time": "random", "num_bits": 2}),
        ),
        (
            "MemoryTask-v0",
            json!({"previous_action": true, "max_episode_steps": 3}),
        ),
        ("BsuiteMemorySize-v0", json!({"num_bits": 101})),
        ("RepeatFirst-v0", json!({"num_decks": 2})),
        ("RepeatPrevious-v0", json!({"k": 1})),
        ("RepeatPrevious-v0", json!({"num_decks": 2, "k": 26})),
        ("RepeatPrevious-v0", json!({"num_decks": 3, "k": 70})),
        ("HigherLower-v0", json!({"num_decks": 2})),
        (
            "CountRecall-v0",
            json!({"num_decks": 2, "deck_type": "suits"}),
        ),
        (
            "Concentration-v0",
            json!({"num_decks": 2, "deck_type": "colors"}),
        ),
        ("MultiarmedBandit-v0", json!({"num_bandits": 41})),
        (
            "PersistentRecall-v0",
            json!({"delay": 1, "episodes_per_lifetime": 2}),
        ),
        (
            "AssociativeRecall-v0",
            json!({"num_pairs": 70, "num_keys": 70, "rewrites": 70, "num_queries": 150}),
        ),
        (
            "MemoryTask-v0",
            json!({"delay": 12, "cue_time": "random", "cue_changes": 4}),
        ),
    ];
    for corridor_length in [1, 2, 17, 18, 19, 22, 23, 24, 40] {
        for spec_id in [
            "TMazePassive-v0",
            "TMazeActive-v0",
            "EndlessTMaze-v0",
            "TMazeDistractors-v0",
        ] {
            cases.push((spec_id, json!({"corridor_length": corridor_length.max(2)})));
        }
    }
    cases
}

/// Makes one lane that has not been reset.
fn new_vector(spec_id: &str, kwargs: &Value) -> Box<dyn VectorEnvironment> {
    let (entry, spec) = find(spec_id).expect("a spec");
    let kwargs = serde_json::from_value(kwargs.clone()).expect("an object");
    let arguments = Arguments::resolve(&spec.parameters, &kwargs).expect("arguments in range");
    let mode = AutoresetMode::NextStep;
    (entry.vector)(&arguments, 1, mode, &Seed::First(7)).expect("arguments that fit")
}

fn vector(spec_id: &str, kwargs: &Value) -> Box<dyn VectorEnvironment> {
    let mut vector = new_vector(spec_id, kwargs);
    vector.reset(&Reset::default()).expect("a plain reset");
    vector
}

/// Returns the sizes of all images of some episodes, and of the image before the first reset.
fn sizes(spec_id: &str, kwargs: &Value) -> BTreeSet<(u32, u32)> {
    let mut vector = new_vector(spec_id, kwargs);
    let mut sizes = BTreeSet::from([png_size(&vector.picture(0).expect("a lane"))]);
    vector.reset(&Reset::default()).expect("a plain reset");
    // A constant action reaches the end of a corridor; varied actions then turn to both sides.
    for t in 0..400 {
        let action = match t / 80 {
            0 | 3 => check::action(vector.action_space(), t),
            _ if t % 40 > 36 => check::action(vector.action_space(), t),
            _ => check::action(vector.action_space(), 0),
        };
        vector.step(&action).expect("actions in range");
        sizes.insert(png_size(&vector.picture(0).expect("a lane")));
    }
    sizes
}

fn width(vector: &dyn VectorEnvironment) -> usize {
    vector.action_space().flat_size()
}

fn drawn((spec_id, kwargs, actions): &Case) -> Picture {
    let mut vector = vector(spec_id, kwargs);
    for action in actions.chunks(width(&*vector)) {
        vector.step(action).expect("actions in range");
    }
    vector.picture(0).expect("a lane")
}

/// Checks the size of an image. With `PICTURES_DIR` set, also writes the image to that folder.
fn check_image(name: &str, picture: &Picture) {
    let file = to_png(picture);
    let (width, height, _) = decode(&file);
    assert!((320..=640).contains(&width), "{name} is {width} wide");
    // A higher image is cut off at 960.
    assert!((100..960).contains(&height), "{name} is {height} high");
    if let Some(dir) = std::env::var_os("PICTURES_DIR") {
        let path = std::path::Path::new(&dir).join(name).with_extension("png");
        std::fs::write(path, file).expect("a folder to write to");
    }
}

#[test]
fn every_environment_as_text() {
    let cases = chosen_cases();
    let texts = cases.iter().map(|case| {
        let (_, kwargs, actions) = case;
        let last = &actions[actions.len().saturating_sub(12)..];
        let last: Vec<String> = last.iter().map(f64::to_string).collect();
        let (number, last) = (actions.len(), last.join(", "));
        let title = format!("== {kwargs}, {number} actions, last [{last}]");
        format!("{title}\n\n{}", to_ansi(&drawn(case), false))
    });
    insta::assert_snapshot!(texts.collect::<Vec<String>>().join("\n"));
}

#[test]
fn every_environment_has_two_cases_and_largest_pictures() {
    let (cases, largest) = (cases(), largest());
    for spec in specs() {
        let of_spec = cases.iter().filter(|case| case.0 == spec.id);
        assert_eq!(of_spec.count(), 2, "{}", spec.id);
        assert!(largest.iter().any(|case| case.0 == spec.id), "{}", spec.id);
    }
}

/// Arguments at their greatest values are accepted, and their pictures can be drawn.
#[test]
fn every_greatest_argument_can_be_drawn() {
    for spec in specs() {
        for parameter in &spec.parameters {
            let kwargs = serde_json::from_value(greatest(parameter)).expect("an object");
            let Some(Ok(_)) = crate::registry::instance(&spec.id, &kwargs) else {
                // It does not fit the default of another argument.
                continue;
            };
            let vector = vector(&spec.id, &greatest(parameter));
            assert!(vector.picture(0).is_some(), "{} {kwargs:?}", spec.id);
        }
    }
}

#[test]
fn images_of_an_environment_have_one_size() {
    let cases = cases()
        .into_iter()
        .map(|(spec_id, kwargs, _)| (spec_id, kwargs));
    for (spec_id, kwargs) in cases.chain(largest()).chain(changing()) {
        let sizes = sizes(spec_id, &kwargs);
        assert_eq!(sizes.len(), 1, "{spec_id} {kwargs}: {sizes:?}");
        // Video encoders need both to be even.
        let &(width, height) = sizes.first().expect("one");
        assert!(width == 640 && height % 16 == 0, "{spec_id}: {height}");
    }
}

#[test]
fn every_image_is_bounded() {
    for (i, case) in cases().iter().enumerate() {
        let name = format!("{}_{}", case.0.trim_end_matches("-v0"), i % 2);
        check_image(&name, &drawn(case));
    }
}

#[test]
fn pictures_are_bounded_whatever_the_arguments() {
    let largest = largest();
    for (spec_id, kwargs) in &largest {
        let mut vector = vector(spec_id, kwargs);
        for t in 0..80 {
            let picture = vector.picture(0).expect("a lane");
            let text = to_ansi(&picture, false);
            let num_lines = text.lines().count();
            assert!(
                (4..=80).contains(&num_lines),
                "{spec_id}: {num_lines} lines"
            );
            let width = text.lines().map(|line| line.chars().count()).max();
            assert!(width <= Some(170), "{spec_id}: {width:?} letters");
            if t % 40 == 3 {
                let name = format!("{}_largest_{t}", spec_id.trim_end_matches("-v0"));
                check_image(&name, &picture);
            }
            let action = check::action(vector.action_space(), t);
            vector.step(&action).expect("actions in range");
        }
    }
}

/// Episodes that the agent cannot tell apart look the same to a person who plays in its place.
#[test]
fn the_agents_view_holds_nothing_that_is_hidden_from_it() {
    let mut pairs = 0;
    for (spec_id, kwargs, _) in cases() {
        let mut seen = BTreeMap::new();
        for seed in 0..30 {
            let mut vector = vector(spec_id, &kwargs);
            let options = Reset {
                seed: Some(Seed::First(seed)),
                ..Reset::default()
            };
            let mut observation = vector.reset(&options).expect("a seed");
            let (mut looks, mut rewards) = (String::new(), Vec::new());
            for t in 0..12 {
                let picture = vector.picture(0).expect("a lane").as_the_agent_sees();
                let text = to_ansi(&picture, true);
                looks.push_str(&format!("{rewards:?} {observation:?}"));
                if let Some(other) = seen.insert(looks.clone(), text.clone()) {
                    assert_eq!(text, other, "{spec_id} {kwargs}");
                    pairs += 1;
                }
                if text.contains("ended") {
                    break;
                }
                let action = check::action(vector.action_space(), t);
                let batch = vector.step(&action).expect("actions in range");
                observation = batch.observations;
                rewards.extend(batch.rewards);
            }
        }
    }
    assert!(pairs > 300, "only {pairs} were compared");
}

#[test]
fn the_agents_view_hides_a_cue_after_it_was_shown() {
    let view = |actions: &[f64]| {
        let case = ("MemoryTask-v0", json!({"delay": 3}), actions.to_vec());
        to_ansi(&drawn(&case).as_the_agent_sees(), false)
    };
    let (at_the_cue, after_it) = (view(&[]), view(&[0.0]));
    assert!(!at_the_cue.contains("(?)"), "{at_the_cue}");
    assert!(after_it.contains("(?)"), "{after_it}");
    assert!(after_it.contains("actions left"), "{after_it}");
}
