//! The targets as plain tests: over their seeds, and for a while over mutations of them.
//!
//! `FUZZ_SECONDS` says how long all of them take together: by default 60 where `CI` is set, and 4
//! elsewhere. The inputs are the same every time; how many there is time for is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::mutation::{Input, mutated};
use super::seeds;
use super::{TARGETS, Target};

/// Inputs between two looks at the time.
const BATCH: u32 = 128;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(name)
}

/// The committed seeds of a target, and those made of what the program writes today.
fn corpus(target: &Target) -> BTreeSet<Vec<u8>> {
    let files = fs::read_dir(folder("seeds").join(target.name)).expect("a folder of seeds");
    let files = files.map(|file| fs::read(file.expect("a file").path()).expect("a seed"));
    let made = seeds::made(target.name).into_iter().map(|seed| seed.bytes);
    files.chain(made).collect()
}

fn share() -> Duration {
    let default = match std::env::var_os("CI") {
        Some(_) => 60.0,
        None => 4.0,
    };
    let given = std::env::var("FUZZ_SECONDS").ok();
    let seconds = given.map_or(default, |text| {
        text.parse().expect("FUZZ_SECONDS is a number")
    });
    Duration::from_secs_f64(seconds) / TARGETS.len() as u32
}

fn stands(target: &Target) {
    let seeds: Vec<Vec<u8>> = corpus(target).into_iter().collect();
    for seed in &seeds {
        (target.run)(seed);
    }
    let inputs = mutated(seeds);
    let until = Instant::now() + share();
    for batch in 0u64.. {
        if Instant::now() >= until {
            break;
        }
        let mut rng_seed = [0; 32];
        rng_seed[..8].copy_from_slice(&batch.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &rng_seed);
        let config = Config {
            cases: BATCH,
            failure_persistence: None,
            ..Config::default()
        };
        let run = TestRunner::new_with_rng(config, rng).run(&inputs, |Input(bytes)| {
            (target.run)(&bytes);
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{}, batch {batch}: {error}", target.name));
    }
}

macro_rules! tests {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            let target = TARGETS.iter().find(|target| target.name == stringify!($name));
            stands(target.expect("a row of the table"));
        })+

        /// Names in the order of the table.
        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

tests! {
    json messagepack stream_frame websocket openenv snapshot trajectory operation record journal tokens
}

/// A target has a test here and a program for `cargo fuzz`.
#[test]
fn every_target_is_run() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(TESTED, names);
    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("the manifest");
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let program = folder("fuzz_targets").join(format!("{name}.rs"));
        let program = fs::read_to_string(program).expect("a program");
        assert!(program.contains(&format!("fuzzing::{name}(")), "{program}");
    }
}

/// Writes the seeds that are made of what the program writes today, beside those that are there.
#[test]
#[ignore = "writes into the source tree: see docs/testing.md"]
fn write_seeds() {
    for target in TARGETS {
        let folder = folder("seeds").join(target.name);
        fs::create_dir_all(&folder).expect("a folder");
        for seed in seeds::made(target.name) {
            fs::write(folder.join(&seed.name), &seed.bytes).expect("a seed");
        }
    }
}
