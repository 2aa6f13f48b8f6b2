use std::fs;
use std::path::{Path, PathBuf};

use hdf5_pure::{DatasetBuilder, File, FileBuilder, GroupBuilder};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value, json};

use super::*;
use crate::env::VectorEnv;
use crate::env::test_task::TestTask;
use crate::experience::dataset::tests::{dataset, episode};
use crate::experience::dataset::{Dataset, RecordedEpisode};
use crate::spaces::Spaces;
use crate::spaces::actions::of_number;

const LARGE: usize = 1 << 20;

fn about() -> About {
    About {
        spec_id: "MemoryTask-v0".into(),
        kwargs: Map::from_iter([("delay".to_owned(), Value::from(4))]),
        player: "random".into(),
        mode: "sampled".into(),
        seed: 7,
    }
}

fn compound() -> Spaces {
    serde_json::from_value(json!({
        "observation": {"type": "Dict", "spaces": {
            "card": {"type": "Discrete", "n": 5, "start": -2},
            "hand": {"type": "Tuple", "spaces": [
                {"type": "MultiDiscrete", "nvec": [3, 4]},
                {"type": "MultiBinary", "n": 2},
                {"type": "Box", "shape": [2, 1], "dtype": "float64", "low": "-Infinity", "high": 9.0},
            ]},
        }},
        "action": {"type": "Discrete", "n": 3, "start": 4},
    }))
    .unwrap()
}

/// Two episodes, of two steps and of one, the second cut off.
fn of_compound() -> Dataset {
    let mut dataset = Dataset::new(compound(), LARGE).unwrap();
    let row = |card: f32, number: f32| vec![card, 2.0, 3.0, 0.0, 1.0, number, -0.5];
    let first = RecordedEpisode {
        observations: [row(-2.0, 0.25), row(2.0, 1e20), row(0.0, 9.0)].concat(),
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

fn written(dataset: &Dataset, parent: &Path) -> PathBuf {
    let folder = parent.join("kept").join("chance-v1");
    let seeds = vec![Some(11); dataset.episodes().len()];
    write(&folder, dataset, &seeds, &about()).unwrap();
    folder
}

/// A bit, a number from −2 to 2, which stands in the file as it was sent, and a number of at most 1.
#[test]
fn numbers_are_written_as_they_were_sent() {
    let spaces = TestTask::of_mixtures(1, 1).spaces();
    let mut dataset = Dataset::new(spaces.clone(), LARGE).unwrap();
    let episode = |numbers: [f32; 4]| {
        let [a, b, c, d] = numbers.map(of_number);
        RecordedEpisode {
            observations: vec![0.5; 9],
            actions: vec![1, a, b, 0, c, d],
            rewards: vec![0.0, 1.0],
            is_truncated: false,
        }
    };
    assert!(dataset.push(episode([-9.0, 7.0, 0.25, -30.0])));
    let parent = tempfile::tempdir().unwrap();
    let folder = written(&dataset, parent.path());
    let file = File::open_streaming(folder.join(DATA).join(MAIN)).unwrap();
    for (name, expected) in [
        ("bit", [1.0, 0.0]),
        ("numbers/_index_0", [-2.0, 0.5]),
        ("numbers/_index_1", [1.0, -30.0]),
    ] {
        let array = file.dataset(&format!("episode_0/actions/{name}")).unwrap();
        assert_eq!(array.read_f64().unwrap(), expected, "{name}");
    }
    let read = |spaces| read(&folder, spaces, LARGE);
    let clipped = [episode([-1.0, 1.0, 0.25, -30.0])];
    assert_eq!(read(spaces.clone()).unwrap().episodes(), clipped);

    // The same numbers beyond the bounds of an environment.
    let narrow = serde_json::to_string(&spaces).unwrap();
    let narrow = narrow.replace("\"low\":-2.0", "\"low\":-1.0");
    let error = read(serde_json::from_str(&narrow).unwrap()).unwrap_err();
    let said = "episode_0/actions: -2 in row 0 is beyond the space's bounds";
    assert!(error.to_string().contains(said), "{error}");
}

#[test]
fn what_is_written_is_read_back() {
    let parent = tempfile::tempdir().unwrap();
    let dataset = of_compound();
    let folder = written(&dataset, parent.path());
    for path in [
        folder.clone(),
        folder.join(DATA),
        folder.join(DATA).join(MAIN),
    ] {
        let read = read(&path, compound(), LARGE).unwrap();
        assert_eq!(read.episodes(), dataset.episodes());
        assert_eq!(read.digest(), dataset.digest());
    }
    // Without metadata the arrays still fit.
    fs::remove_file(folder.join(DATA).join(METADATA)).unwrap();
    assert!(read(&folder, compound(), LARGE).is_ok());
}

#[test]
fn metadata_say_what_there_is() {
    let parent = tempfile::tempdir().unwrap();
    let folder = written(&of_compound(), parent.path());
    let text = fs::read_to_string(folder.join(DATA).join(METADATA)).unwrap();
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metadata["total_episodes"], 2);
    assert_eq!(metadata["total_steps"], 3);
    assert_eq!(metadata["dataset_id"], "chance-v1");
    assert_eq!(metadata["strategic_memory"]["kwargs"]["delay"], 4);
    let env: Value = serde_json::from_str(metadata["env_spec"].as_str().unwrap()).unwrap();
    assert_eq!(
        env["kwargs"],
        json!({"spec_id": "MemoryTask-v0", "delay": 4})
    );
}

#[test]
fn a_folder_that_is_not_kept_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let names = || -> Vec<_> {
        let entries = fs::read_dir(parent.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let slashed = parent.path().join("new/.");
    let new = NewFolder::create(&slashed).unwrap();
    new.write(&of_compound(), &[None, None], &about()).unwrap();
    assert_ne!(names(), ["new"]);
    drop(new);
    assert!(names().is_empty());
    let new = NewFolder::create(&slashed).unwrap();
    new.write(&of_compound(), &[None, None], &about()).unwrap();
    new.keep().unwrap();
    assert_eq!(names(), ["new"]);
    assert!(NewFolder::create(Path::new("..")).is_err());
}

#[test]
fn nothing_is_overwritten_and_no_half_folder_is_left() {
    let parent = tempfile::tempdir().unwrap();
    let folder = written(&of_compound(), parent.path());
    let again = write(&folder, &of_compound(), &[None, None], &about()).unwrap_err();
    assert!(again.to_string().contains("exists"), "{again}");
    let named = |name: &str| {
        let space = json!({"observation": {"type": "Dict", "spaces": {name: {"type": "MultiBinary", "n": 1}}},
            "action": {"type": "Discrete", "n": 2}});
        let dataset = Dataset::new(serde_json::from_value(space).unwrap(), LARGE).unwrap();
        write(&parent.path().join("named"), &dataset, &[], &about())
    };
    assert!(named("a").is_ok());
    fs::remove_dir_all(parent.path().join("named")).unwrap();
    assert!(named("a/b").is_err());
    // A file where a folder is needed.
    fs::write(parent.path().join("file"), "").unwrap();
    assert!(
        write(
            &parent.path().join("file/new"),
            &of_compound(),
            &[None, None],
            &about()
        )
        .is_err()
    );
    let mut left: Vec<_> = fs::read_dir(parent.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["file", "kept"]);
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
}

/// A file with one episode of two steps of one number and two actions, as `change` leaves it.
fn file(parent: &Path, change: impl FnOnce(&mut Arrays)) -> PathBuf {
    let mut arrays = Arrays {
        group: "episode_0".into(),
        observations: (vec![3, 1], vec![1.0, 2.0, 3.0]),
        actions: (vec![2], vec![0.0, 1.0]),
        rewards: (vec![2], vec![0.0, 1.0]),
        terminations: (vec![2], vec![0.0, 1.0]),
        truncations: (vec![2], vec![0.0, 0.0]),
        text: None,
        left_out: None,
    };
    change(&mut arrays);
    let mut file = FileBuilder::new();
    let mut group = file.create_group(&arrays.group);
    let put = |group: &mut GroupBuilder, name: &str, (shape, numbers): &(Vec<u64>, Vec<f64>)| {
        if arrays.left_out == Some(name) {
            return;
        }
        let array: &mut DatasetBuilder = group.create_dataset(name);
        if arrays.text == Some(name) {
            array.with_vlen_strings(&["a", "b"]);
        } else {
            array.with_f64_data(numbers).with_shape(shape);
        }
    };
    put(&mut group, "observations", &arrays.observations);
    put(&mut group, "actions", &arrays.actions);
    put(&mut group, "rewards", &arrays.rewards);
    put(&mut group, "terminations", &arrays.terminations);
    put(&mut group, "truncations", &arrays.truncations);
    file.add_group(group.finish());
    let path = parent.join(MAIN);
    file.write(&path).unwrap();
    path
}

struct Arrays {
    group: String,
    observations: (Vec<u64>, Vec<f64>),
    actions: (Vec<u64>, Vec<f64>),
    rewards: (Vec<u64>, Vec<f64>),
    terminations: (Vec<u64>, Vec<f64>),
    truncations: (Vec<u64>, Vec<f64>),
    /// An array of texts in place of numbers.
    text: Option<&'static str>,
    left_out: Option<&'static str>,
}

/// Reads a file as a dataset of one number and two actions.
fn read_file(path: &Path, max_bytes: usize) -> Result<Dataset, String> {
    let spaces = dataset(0).spaces().clone();
    read(path, spaces, max_bytes).map_err(|error| error.to_string())
}

/// A change of an episode's arrays, and what the error says of it.
type Wrong = (fn(&mut Arrays), &'static str);

fn assert_refused(wrong: &[Wrong]) {
    let parent = tempfile::tempdir().unwrap();
    for (change, expected) in wrong {
        let error = read_file(&file(parent.path(), change), LARGE).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_whole_episode_is_read() {
    let parent = tempfile::tempdir().unwrap();
    let fits = read_file(&file(parent.path(), |_| {}), LARGE).unwrap();
    assert_eq!(
        fits.episodes(),
        [RecordedEpisode {
            observations: vec![1.0, 2.0, 3.0],
            rewards: vec![0.0, 1.0],
            ..episode(0, 2)
        }]
    );
    let cut = file(parent.path(), |arrays| arrays.terminations.1[1] = 0.0);
    assert!(read_file(&cut, LARGE).unwrap().episodes()[0].is_truncated);
}

#[test]
fn missing_arrays_and_other_shapes_are_refused() {
    assert_refused(&[
        (|a| a.group = "run_0".into(), "it has no episode"),
        (
            |a| a.group = "episode_00".into(),
            "episode_00: the number of an episode is",
        ),
        (
            |a| a.left_out = Some("rewards"),
            "episode_0/rewards: there is no such array",
        ),
        (
            |a| a.left_out = Some("observations"),
            "episode_0/observations: there is no such array",
        ),
        (
            |a| a.left_out = Some("truncations"),
            "episode_0/truncations: there is no such array",
        ),
        (|a| a.text = Some("rewards"), "not of numbers"),
        (
            |a| a.observations = (vec![2, 1], vec![1.0; 2]),
            "episode_0/observations: it has the shape [2, 1], and [3, 1] is needed",
        ),
        (
            |a| a.observations = (vec![3], vec![1.0; 3]),
            "it has the shape [3]",
        ),
        (
            |a| a.actions = (vec![1], vec![0.0]),
            "episode_0/actions: it has the shape [1]",
        ),
        (
            |a| a.rewards = (vec![2, 1], vec![0.0; 2]),
            "not one for each step",
        ),
        (
            |a| a.truncations = (vec![1], vec![0.0]),
            "episode_0/truncations: it has the shape",
        ),
    ]);
}

#[test]
fn wrong_numbers_are_refused_with_their_place() {
    assert_refused(&[
        (
            |a| a.observations.1[1] = f64::NAN,
            "episode_0/observations: NaN in row 1",
        ),
        (
            |a| a.observations.1[2] = 1e39,
            "in row 2 is not of the space",
        ),
        (|a| a.actions.1[0] = 2.0, "episode_0/actions: 2 in row 0"),
        (|a| a.actions.1[0] = 0.5, "episode_0/actions: 0.5 in row 0"),
        (
            |a| a.rewards.1[0] = f64::INFINITY,
            "episode_0/rewards: inf at step 0",
        ),
        (
            |a| a.terminations.1[1] = f64::NAN,
            "episode_0/terminations: NaN is neither true nor false",
        ),
        (
            |a| a.terminations.1[0] = 1.0,
            "episode_0/terminations: the episode ends at step 0, and has 2 steps",
        ),
        (
            |a| a.truncations.1[0] = 1.0,
            "episode_0/truncations: the episode ends at step 0",
        ),
    ]);
}

#[test]
fn an_episode_without_steps_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let mut file = FileBuilder::new();
    let mut group = file.create_group("episode_0");
    group
        .create_dataset("rewards")
        .with_f64_data(&[])
        .with_shape(&[0]);
    file.add_group(group.finish());
    let path = parent.path().join(MAIN);
    file.write(&path).unwrap();
    let error = read_file(&path, LARGE).unwrap_err();
    assert!(error.ends_with("episode_0: it has no steps"), "{error}");
}

#[test]
fn more_episodes_than_memory_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = file(parent.path(), |_| {});
    let bytes = read_file(&path, LARGE).unwrap().bytes();
    let error = read_file(&path, bytes - 1).unwrap_err();
    assert!(
        error.contains(&format!("more than the {} bytes", bytes - 1)),
        "{error}"
    );
}

#[test]
fn other_files_and_metadata_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let missing = read_file(&parent.path().join("none"), LARGE).unwrap_err();
    assert!(missing.contains("is no dataset"), "{missing}");
    assert!(
        read_file(parent.path(), LARGE)
            .unwrap_err()
            .contains("is no dataset")
    );
    let path = file(parent.path(), |_| {});
    let metadata = parent.path().join(METADATA);
    for (text, expected) in [
        ("{", "no metadata"),
        (r#"{"data_format": "arrow"}"#, "only hdf5 is read"),
        (
            r#"{"action_space": "{\"type\": \"Discrete\", \"n\": 3, \"start\": 0}"}"#,
            "action_space: the dataset is of another task: Discrete(3) there, Discrete(2) here",
        ),
        (
            r#"{"observation_space": "nonsense"}"#,
            "observation_space: ",
        ),
        (r#"{"observation_space": 3}"#, "no metadata"),
    ] {
        fs::write(&metadata, text).unwrap();
        let error = read_file(&path, LARGE).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    fs::remove_file(&metadata).unwrap();
    fs::create_dir(&metadata).unwrap();
    let folder = read_file(&path, LARGE).unwrap_err();
    assert!(folder.contains("it is no file"), "{folder}");
    fs::remove_dir(&metadata).unwrap();
    fs::write(&metadata, "{}").unwrap();
    assert!(read_file(&path, LARGE).is_ok());
    fs::write(&path, "not HDF5").unwrap();
    assert!(
        read_file(&path, LARGE)
            .unwrap_err()
            .contains("cannot be read as HDF5")
    );
}

/// Cut off anywhere or with damaged bytes a file gives an error or other numbers: never a panic, never more memory than
/// it may take.
#[test]
fn damaged_files_are_refused_or_read() {
    let parent = tempfile::tempdir().unwrap();
    let folder = written(&of_compound(), parent.path());
    let path = folder.join(DATA).join(MAIN);
    let whole = fs::read(&path).unwrap();
    let read = || read(&path, compound(), LARGE);
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(read().is_err(), "{length} of {} bytes", whole.len());
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut refused = 0;
    for _ in 0..3_000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        fs::write(&path, &bytes).unwrap();
        refused += usize::from(read().is_err());
    }
    assert!((300..3_000).contains(&refused), "{refused}");
}
