//! Checks that Minari itself reads the datasets of [`agent::experience::minari`], and that those of Minari are read.
//!
//! Needs the feature `python-tests` and a Python with the packages `minari`, `h5py` and `pillow`.

#[path = "../../tests/python/run.rs"]
mod python;

use agent::experience::minari::{self, About};
use agent::experience::{Dataset, RecordedEpisode};
use agent::spaces::Spaces;
use agent::spaces::actions::of_number;
use serde_json::{Map, Value, json};

const LARGE: usize = 1 << 20;

/// Runs `tests/python/minari_datasets.py`; returns what it prints.
fn minari_datasets(args: &[&str]) -> Vec<u8> {
    python::run("minari_datasets.py", "'minari[hdf5]' pillow", args, &[])
}

fn spaces() -> Spaces {
    serde_json::from_value(json!({
        "observation": {"type": "Dict", "spaces": {
            "card": {"type": "Discrete", "n": 5, "start": -2},
            "hand": {"type": "Tuple", "spaces": [
                {"type": "MultiDiscrete", "nvec": [3, 4]},
                {"type": "MultiBinary", "n": 2},
                {"type": "Box", "shape": [2, 1], "dtype": "float32", "low": "-Infinity", "high": 9.0},
            ]},
        }},
        "action": {"type": "Discrete", "n": 3, "start": 4},
    }))
    .unwrap()
}

/// Two episodes of these spaces, of two steps and of one, the second cut off.
fn dataset() -> Dataset {
    let mut dataset = Dataset::new(spaces(), LARGE).unwrap();
    let row = |card: f32, number: f32| vec![card, 2.0, 3.0, 0.0, 1.0, number, -0.5];
    let first = RecordedEpisode {
        observations: [row(-2.0, 0.1), row(2.0, -1e20), row(0.0, 9.0)].concat(),
        actions: vec![0, 2],
        rewards: vec![0.1, -1.0],
        is_truncated: false,
    };
    let second = RecordedEpisode {
        observations: [row(1.0, 0.0), row(1.0, -1e-30)].concat(),
        actions: vec![1],
        rewards: vec![1.0 / 3.0],
        is_truncated: true,
    };
    assert!(dataset.push(first) && dataset.push(second));
    dataset
}

#[test]
fn minari_reads_what_is_written() {
    let root = tempfile::tempdir().unwrap();
    let about = About {
        spec_id: "MemoryTask-v0".into(),
        kwargs: Map::from_iter([("delay".to_owned(), Value::from(4))]),
        player: "random".into(),
        mode: "sampled".into(),
        seed: 7,
    };
    let folder = root.path().join("chance-v3");
    minari::write(&folder, &dataset(), &[Some(1 << 60), None], &about).unwrap();
    let read = minari_datasets(&["read", root.path().to_str().unwrap(), "chance-v3"]);
    let read: Value = serde_json::from_slice(&read).unwrap();
    assert_eq!(read["id"], "chance-v3");
    assert_eq!(
        (&read["total_steps"], &read["episodes_by_path"]),
        (&3.into(), &2.into())
    );
    assert_eq!(read["spaces"][1], "Discrete(3, start=4)");
    let observation_space = read["spaces"][0].as_str().unwrap();
    assert!(
        observation_space.contains("Box(-inf, 9.0, (2, 1), float32)"),
        "{observation_space}"
    );
    assert_eq!(
        read["env"]["kwargs"],
        json!({"spec_id": "MemoryTask-v0", "delay": 4})
    );
    let array = |dtype: &str, values: Value| json!({"dtype": dtype, "values": values});
    let number = |number: f32| f64::from(number);
    let first = json!({
        "id": 0,
        "seed": 1u64 << 60,
        "total_steps": 2,
        "observations": {
            "card": array("int64", json!([-2, 2, 0])),
            "hand": [
                array("int64", json!([[2, 3], [2, 3], [2, 3]])),
                array("int8", json!([[0, 1], [0, 1], [0, 1]])),
                array("float32", json!([[[number(0.1)], [-0.5]], [[number(-1e20)], [-0.5]], [[9.0], [-0.5]]])),
            ],
        },
        "actions": array("int64", json!([4, 6])),
        "rewards": array("float64", json!([0.1, -1.0])),
        "terminations": array("bool", json!([false, true])),
        "truncations": array("bool", json!([false, false])),
        "infos": [],
        "is_in_space": true,
    });
    assert_eq!(read["episodes"][0], first);
    let second = &read["episodes"][1];
    assert_eq!((&second["id"], &second["seed"]), (&1.into(), &Value::Null));
    assert_eq!(second["rewards"]["values"][0], 1.0 / 3.0);
    assert_eq!(second["truncations"], array("bool", json!([true])));
}

/// Actions of two numbers, which were drawn beyond their bounds here and there.
#[test]
fn minari_reads_numbers() {
    let space = json!({"type": "Box", "shape": [2], "dtype": "float32", "low": -2.0, "high": [2.0, "Infinity"]});
    let spaces = json!({"observation": {"type": "Discrete", "n": 5, "start": 0}, "action": space});
    let mut dataset = Dataset::new(serde_json::from_value(spaces).unwrap(), LARGE).unwrap();
    assert!(dataset.push(RecordedEpisode {
        observations: vec![0.0, 1.0, 2.0],
        actions: [0.05, 7.0, -1.5, -3.0].map(of_number).to_vec(),
        rewards: vec![0.0, 1.0],
        is_truncated: false,
    }));
    let root = tempfile::tempdir().unwrap();
    let about = About {
        spec_id: "MemoryTask-v0".into(),
        kwargs: Map::new(),
        player: "random".into(),
        mode: "sampled".into(),
        seed: 7,
    };
    let folder = root.path().join("numbers-v0");
    minari::write(&folder, &dataset, &[None], &about).unwrap();
    let printed = minari_datasets(&["read", root.path().to_str().unwrap(), "numbers-v0"]);
    let read: Value = serde_json::from_slice(&printed).unwrap();
    let episode = &read["episodes"][0];
    let tenth = f64::from(0.1f32);
    let sent = json!({"dtype": "float32", "values": [[tenth, 7.0], [-2.0, -2.0]]});
    assert_eq!(
        (&episode["actions"], &episode["is_in_space"]),
        (&sent, &json!(true))
    );
}

/// As Minari stores it, and in small chunks that are compressed.
#[test]
fn what_minari_writes_is_read() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().to_str().unwrap();
    let spaces_in_its_words = json!([
        {"type": "Dict", "subspaces": {
            "card": {"type": "Discrete", "dtype": "int64", "start": -2, "n": 5},
            "hand": {"type": "Tuple", "subspaces": [
                {"type": "MultiDiscrete", "dtype": "int64", "nvec": [3, 4], "start": [0, 0]},
                {"type": "MultiBinary", "n": 2},
                {"type": "Box", "dtype": "float32", "shape": [2, 1], "low": [[-9e30], [-9.0]], "high": [[9.0], [9.0]]},
            ]},
        }},
        {"type": "Discrete", "dtype": "int64", "start": 4, "n": 3},
    ]);
    let hand = |numbers: &[f64]| {
        let rows = numbers.len();
        json!([
            vec![[2, 3]; rows],
            vec![[0, 1]; rows],
            numbers.iter().map(|n| [[*n], [-0.5]]).collect::<Vec<_>>()
        ])
    };
    let episodes = json!([
        {
            "seed": 5,
            "observations": {"card": [-2, 2, 0], "hand": hand(&[0.1, -1e20, 9.0])},
            "actions": [4, 6],
            "rewards": [0.1, -1.0],
            "is_truncated": false,
        },
        {
            "observations": {"card": [1, 1], "hand": hand(&[0.0, -1e-30])},
            "actions": [5],
            "rewards": [1.0 / 3.0],
            "is_truncated": true,
        },
    ]);
    let texts = [spaces_in_its_words.to_string(), episodes.to_string()];
    minari_datasets(&["write", path, "made-v0", &texts[0], &texts[1]]);
    let read = || minari::read(&root.path().join("made-v0"), spaces(), LARGE).unwrap();
    assert_eq!(read().episodes(), dataset().episodes());
    minari_datasets(&["compress", path, "made-v0"]);
    assert_eq!(read().episodes(), dataset().episodes());
    // A small file can declare anything: 8 TiB of rewards, or two of them in a chunk of 512 MiB.
    for (steps, chunk, refused) in [
        (
            "1099511627776",
            "1024",
            "at most 33554432 numbers are read as one",
        ),
        (
            "2",
            "67108864",
            "it has 16 bytes in chunks of 536870912; at most 1048576 are read",
        ),
    ] {
        minari_datasets(&["declare", path, "made-v0", steps, chunk]);
        let error = minari::read(&root.path().join("made-v0"), spaces(), LARGE).unwrap_err();
        assert!(error.to_string().contains(refused), "{error}");
    }
}
