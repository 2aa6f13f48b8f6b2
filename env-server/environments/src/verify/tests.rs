//! Recorded episodes are equal, and every change to a recording is noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::recorded::{MAX_DESCRIBED, Place, is_within_ulps};

fn data(file: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    folder.join(file)
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data("")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    files
}

/// Returns the shortest episode for each environment and each of its recorded arguments.
fn short_episodes() -> Vec<Value> {
    let mut shortest: BTreeMap<String, String> = BTreeMap::new();
    for path in files() {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let episode: Value = serde_json::from_str(line).unwrap();
            let key = format!("{}{}", episode["env"], episode["kwargs"]);
            let kept = shortest.entry(key).or_insert_with(|| line.to_owned());
            if line.len() < kept.len() {
                *kept = line.to_owned();
            }
        }
    }
    let episodes = shortest.values();
    episodes
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn differences(episode: &Value) -> Vec<String> {
    let (_, differences) = verify_line(&episode.to_string());
    assert_eq!(differences.total == 0, differences.described.is_empty());
    differences.described
}

#[test]
fn every_recorded_episode_is_equal() {
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() >= 5, "{path:?}");
        for (number, line) in (1..).zip(text.lines()) {
            let (steps, found) = verify_line(line);
            assert_eq!(found.described, [""; 0], "{path:?}:{number}");
            assert!(steps > 0, "{path:?}:{number}");
        }
    }
}

/// Returns a different number of the same kind, close to this one.
fn changed(number: &Value) -> Value {
    match number.as_i64() {
        Some(integer) => json!(integer ^ 1),
        None => json!(number.as_f64().unwrap() + 0.25),
    }
}

#[test]
fn a_change_to_any_observation_reward_or_flag_is_found() {
    for episode in short_episodes() {
        let steps = episode["actions"].as_array().unwrap().len();
        assert_eq!(differences(&episode), [""; 0]);
        for t in (0..=steps).filter(|t| *t < 3 || t % 7 == 0 || *t + 2 > steps) {
            let row = &episode["observations"][t];
            let width = row.as_array().map_or(0, Vec::len);
            for i in 0..width.max(1) {
                let mut bad = episode.clone();
                let number = match width {
                    0 => &mut bad["observations"][t],
                    _ => &mut bad["observations"][t][i],
                };
                *number = changed(number);
                let place = Place(t);
                let found = differences(&bad).join("\n");
                let expected = format!("{place}: observation");
                assert!(found.contains(&expected), "{t} {i}: {found}\n{episode}");
            }
            if t == steps {
                continue;
            }
            for (key, what) in [
                ("rewards", "reward"),
                ("terminated", "(terminated"),
                ("truncated", "(terminated"),
            ] {
                let mut bad = episode.clone();
                let value = &mut bad[key][t];
                *value = match value.as_bool() {
                    Some(flag) => json!(!flag),
                    None => json!(value.as_f64().unwrap() + 1e-9),
                };
                let found = differences(&bad);
                let expected = format!("step {}: {what}", t + 1);
                assert_eq!(found.len(), 1, "{found:?}");
                assert!(found[0].starts_with(&expected), "{found:?}");
            }
        }
    }
}

#[test]
fn lengths_and_actions_are_checked() {
    for episode in short_episodes() {
        for key in [
            "actions",
            "observations",
            "rewards",
            "terminated",
            "truncated",
        ] {
            let mut bad = episode.clone();
            bad[key].as_array_mut().unwrap().pop();
            let found = differences(&bad);
            assert!(found[0].contains("actions do not go with"), "{found:?}");
        }
        let is_real = episode["action_space"]["type"] == "Box";
        for action in [
            json!(if is_real { -2.5 } else { -1.0 }),
            json!(1000),
            // No integer, and no float32.
            json!(0.1),
            json!([0, 0, 0]),
            json!([]),
        ] {
            let mut bad = episode.clone();
            bad["actions"][0] = action;
            let found = differences(&bad).join("\n");
            assert!(
                found.contains("step 1:") && found.contains("is no action"),
                "{found}"
            );
        }
        let mut longer = episode.clone();
        for key in [
            "actions",
            "observations",
            "rewards",
            "terminated",
            "truncated",
        ] {
            let items = longer[key].as_array_mut().unwrap();
            items.push(items.last().unwrap().clone());
        }
        assert_ne!(differences(&longer), [""; 0]);
        let mut unknown = episode.clone();
        unknown["env"] = json!("Maze");
        assert!(differences(&unknown)[0].contains("no environment \"Maze\""));
        let mut unknown = episode;
        unknown["kwargs"]["luck"] = json!(1);
        assert!(differences(&unknown)[0].contains("kwargs: luck: unknown"));
    }
}

#[test]
fn differences_are_counted_beyond_those_described() {
    let text = std::fs::read_to_string(data("memory_task.jsonl")).unwrap();
    let mut episode: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for row in episode["observations"].as_array_mut().unwrap() {
        row[2] = json!(1.0);
    }
    let (steps, differences) = verify_line(&episode.to_string());
    assert_eq!(steps, 32);
    assert_eq!(differences.total, 33);
    assert_eq!(differences.described.len(), MAX_DESCRIBED);
}

#[test]
fn distance_is_counted_in_float32() {
    let next = f64::from(1.0f32.next_up());
    assert!(is_within_ulps(1.0, next, 1) && !is_within_ulps(1.0, next, 0));
    assert!(!is_within_ulps(
        1.0,
        f64::from(1.0f32.next_up().next_up()),
        1
    ));
    let tiny = f64::from(f32::from_bits(1));
    assert!(is_within_ulps(tiny, -tiny, 2) && !is_within_ulps(tiny, -tiny, 1));
    assert!(is_within_ulps(0.0, -0.0, 0));
    assert!(
        !is_within_ulps(0.1, f64::from(0.1f32), 1),
        "0.1 is no float32"
    );
    assert!(!is_within_ulps(f64::NAN, f64::NAN, 1));
}

/// Collects JSON pointers to every number of a document.
fn numbers(json: &Value, pointer: &str, found: &mut Vec<String>) {
    match json {
        Value::Object(entries) => {
            for (key, value) in entries {
                numbers(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                numbers(value, &format!("{pointer}/{i}"), found);
            }
        }
        Value::Number(_) => found.push(pointer.to_owned()),
        _ => {}
    }
}

/// Whether no observation or reward depends on a draw: probabilities and uniform numbers that
/// compare the same way, the side of a goal that was not reached and whose sign was not seen, and
/// noise beyond the bounds.
fn is_hidden(episode: &Value, pointer: &str) -> bool {
    let is_bandit = episode["env"] == "popgym/MultiarmedBandit";
    let is_unseen = episode["env"] == "tmaze_active" && pointer == "/goal_y" && {
        let rows = episode["observations"].as_array().unwrap();
        let saw_sign = rows
            .iter()
            .any(|row| row[0] == json!(0.0) && row[1] != json!(0.0));
        let last = &rows.last().unwrap()[1];
        !saw_sign && *last == json!(0.0)
    };
    let noise = pointer.strip_prefix("/noise/");
    let is_clipped = noise
        .and_then(|place| place.split_once('/'))
        .is_some_and(|(t, i)| {
            let [t, i] = [t, i].map(|at| at.parse::<usize>().unwrap());
            let [seen, most] = [
                &episode["observations"][t][i],
                &episode["observation_space"]["high"][i],
            ];
            seen.as_f64().map(f64::abs) == most.as_f64()
        });
    is_bandit || is_unseen || is_clipped
}

#[test]
fn a_change_to_any_hidden_draw_is_found() {
    for episode in short_episodes() {
        let mut pointers = Vec::new();
        numbers(&episode["latent"], "", &mut pointers);
        let many = pointers.len() > 400;
        for (i, pointer) in pointers.iter().enumerate() {
            if is_hidden(&episode, pointer) || (many && i % 7 != 0) {
                continue;
            }
            let mut bad = episode.clone();
            let number = bad["latent"].pointer_mut(pointer).unwrap();
            *number = changed(number);
            let found = differences(&bad);
            assert_ne!(found, [""; 0], "{pointer} of {episode}");
        }
        // A missing draw is found, too.
        let latent = episode["latent"].as_object().unwrap();
        for key in latent.keys() {
            let mut bad = episode.clone();
            bad["latent"].as_object_mut().unwrap().remove(key);
            assert_ne!(differences(&bad), [""; 0], "{key} of {episode}");
        }
    }
}

/// A bandit's draw shows when it falls on the other side of the probability of the pulled arm.
#[test]
fn a_pull_that_turns_out_otherwise_is_found() {
    let text = std::fs::read_to_string(data("popgym_multiarmed_bandit.jsonl")).unwrap();
    let episode: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    for t in 0..20 {
        let mut bad = episode.clone();
        let was_paid = episode["observations"][t + 1] == json!(1);
        bad["latent"]["uniforms"][t] = json!(if was_paid { 0.9999999 } else { 0.0 });
        let found = differences(&bad).join("\n");
        assert!(
            found.contains(&format!("step {}: observation", t + 1)),
            "{found}"
        );
        let mut bad = episode.clone();
        bad["latent"]["uniforms"][t] = json!(1.0);
        assert_ne!(differences(&bad), [""; 0]);
    }
}
