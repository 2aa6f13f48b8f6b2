//! Shards of a plan, and the whole that is merged from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use benchmark::cli::merge::merge_runs;
use benchmark::plan::{Plan, PlannedJob, Suite};
use benchmark::records::config::{RunConfig, RunInfo};
use benchmark::records::directory::RunDirectory;
use benchmark::records::{
    Record, RowResult, SCHEMA_VERSION, configuration_hash, read_records, replace_records,
};
use benchmark::report::export::{Format, table};
use benchmark::report::render;
use clap::ValueEnum as _;
use tempfile::TempDir;

use crate::scripted::{Behaviour, Scripted, config, outcome_of, run};

/// A plan of seven jobs. On `short`: ppo, a, b, c, d; on `long`: ppo, tracerl.
fn seven() -> RunConfig {
    let mut config = config(1);
    let agents = &mut config.plan.agents;
    agents[1].experiments = vec!["long".to_owned()];
    for name in ["a", "b", "c", "d"] {
        let mut more = agents[0].clone();
        more.name = name.to_owned();
        more.experiments = vec!["short".to_owned()];
        agents.push(more);
    }
    config
}

fn shard_of(config: &RunConfig, shard: &str) -> RunConfig {
    let run = RunInfo {
        name: format!("x-{}", shard.replace('/', "-of-")),
        command: format!("benchmark --name x --shard {shard}"),
        shard: Some(shard.parse().unwrap()),
        ..config.run.clone()
    };
    RunConfig {
        run,
        ..config.clone()
    }
}

/// A folder for runs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a configuration in a folder of its own, with a checkpoint for each job that ran.
    /// Returns the jobs that ran.
    fn run(&self, config: &RunConfig, contender: Scripted) -> Vec<String> {
        let directory = RunDirectory::new(self.path(&config.run.name));
        fs::create_dir_all(directory.path()).unwrap();
        directory.write_config(config).unwrap();
        run(&directory, config, &contender);
        for job in config.jobs() {
            let folder = directory.job(job.experiment, job.agent, job.seed);
            if folder.is_dir() {
                let text = format!("{} of {}", job.agent.name, config.run.name);
                fs::write(folder.join("checkpoint"), text).unwrap();
            }
        }
        contender.ran.into_inner().unwrap()
    }

    fn merge(&self, runs: &[&str], into: &str) -> Result<String, String> {
        let runs: Vec<_> = runs.iter().map(|run| self.path(run)).collect();
        merge_runs(&runs, &self.path(into)).map_err(|error| format!("{error:#}"))
    }

    fn records(&self, run: &str) -> Vec<Record> {
        read_records(&RunDirectory::new(self.path(run)).records()).unwrap()
    }

    fn config(&self, run: &str) -> RunConfig {
        RunDirectory::new(self.path(run)).read_config().unwrap()
    }

    fn checkpoint(&self, run: &str, agent: &str, experiment: &str) -> PathBuf {
        let directory = RunDirectory::new(self.path(run));
        let config = self.config(run);
        let mut jobs = config.jobs();
        let job = jobs.find(|job| job.agent.name == agent && job.experiment.name == experiment);
        let job = job.unwrap();
        directory
            .job(job.experiment, job.agent, job.seed)
            .join("checkpoint")
    }
}

/// Records without what the time decides.
fn timeless(records: Vec<Record>) -> Vec<Record> {
    let without = |record| Record {
        finished_at: String::new(),
        ..record
    };
    records.into_iter().map(without).collect()
}

#[test]
fn three_shards_of_seven_jobs_are_the_whole() {
    let (place, whole) = (Place::new(), seven());
    let expected = [
        ("1/3", vec!["ppo short 0", "c short 0", "tracerl long 0"]),
        ("2/3", vec!["a short 0", "d short 0"]),
        ("3/3", vec!["b short 0", "ppo long 0"]),
    ];
    for (shard, jobs) in expected {
        let config = shard_of(&whole, shard);
        assert_eq!(place.run(&config, Scripted::default()), jobs, "{shard}");
        let idle = place.run(&config, Scripted::default());
        assert!(
            idle.is_empty(),
            "what has finished does not shift the rest: {idle:?}"
        );
    }
    assert_eq!(place.run(&whole, Scripted::default()).len(), 7);

    let shards = ["x-1-of-3", "x-2-of-3", "x-3-of-3"];
    let told = place.merge(&shards, "x").unwrap();
    assert!(told.contains("7 of 7 jobs have a row\n"), "{told}");
    assert!(!told.contains("resume"), "{told}");
    assert_eq!(
        timeless(place.records("x")),
        timeless(place.records("test"))
    );
    let merged = place.config("x");
    assert_eq!((merged.run.name.as_str(), merged.run.shard), ("x", None));
    let commands: Vec<_> = merged
        .run
        .commands()
        .into_iter()
        .map(|made| made.command)
        .collect();
    let of = |shard: &str| format!("benchmark --name x --shard {shard}");
    assert_eq!(commands, ["1/3", "2/3", "3/3"].map(of));
    assert_eq!(merged.plan, whole.plan);
    assert!(place.path("x/report.html").is_file());
    let checkpoint = fs::read_to_string(place.checkpoint("x", "ppo", "long"));
    assert_eq!(checkpoint.unwrap(), "ppo of x-3-of-3");

    let files = ["config.toml", "records.jsonl", "report.html"];
    let read = || files.map(|file| fs::read_to_string(place.path("x").join(file)).unwrap());
    let before = read();
    place.merge(&shards, "x").unwrap();
    assert_eq!(read(), before, "merging again changes nothing");
}

#[test]
fn an_empty_shard_has_no_jobs_and_a_page() {
    let (place, config) = (Place::new(), shard_of(&seven(), "8/8"));
    assert!(place.run(&config, Scripted::default()).is_empty());
    let page = render(&place.records("x-8-of-8"), &config).unwrap();
    assert!(page.contains("only shard 8&#x2f;8 of the plan’s jobs"));
    let told = place.merge(&["x-8-of-8"], "x").unwrap();
    assert!(told.contains("0 of 7 jobs have a row"), "{told}");
}

#[test]
fn a_merged_run_goes_on_where_its_parts_were_interrupted() {
    let (place, whole) = (Place::new(), seven());
    let (first, second) = (shard_of(&whole, "1/2"), shard_of(&whole, "2/2"));
    let stops = |job| Scripted {
        behaviour: BTreeMap::from([(job, Behaviour::IsStopped)]),
        ..Scripted::default()
    };
    place.run(&first, stops("d short 0"));
    let fails = Scripted {
        behaviour: BTreeMap::from([("a short 0", Behaviour::Fails)]),
        ..Scripted::default()
    };
    place.run(&second, fails);
    let told = place.merge(&["x-1-of-2", "x-2-of-2"], "x").unwrap();
    // Of the first shard, `ppo short` and `b short`; of the second, three with the failed one.
    assert!(
        told.contains("5 of 7 jobs have a row, 1 of them failed"),
        "{told}"
    );
    assert!(told.contains("resume with: benchmark resume "), "{told}");
    let kept = |agent| fs::read_to_string(place.checkpoint("x", agent, "short")).unwrap();
    assert_eq!(kept("d"), "d of x-1-of-2");
    assert_eq!(kept("a"), "a of x-2-of-2");
    assert!(
        !place.checkpoint("x", "tracerl", "long").exists(),
        "it never began"
    );

    // A shard continues, and a second merge takes what it has finished since.
    place.run(&second, Scripted::default());
    for (run, agent) in [("x-2-of-2", "a"), ("x-1-of-2", "d")] {
        fs::write(place.checkpoint(run, agent, "short"), "trained further").unwrap();
    }
    let told = place.merge(&["x-1-of-2", "x-2-of-2"], "x").unwrap();
    assert!(told.contains("5 of 7 jobs have a row\n"), "{told}");
    let finished = place.records("x");
    assert!(finished.iter().all(|record| record.outcome().is_some()));
    assert_eq!(kept("a"), "trained further");
    assert_eq!(
        kept("d"),
        "d of x-1-of-2",
        "an unfinished job's folder stays"
    );

    let rest = place.run(&place.config("x"), Scripted::default());
    assert_eq!(rest, ["d short 0", "tracerl long 0"]);
    place.run(&whole, Scripted::default());
    let sorted = |run| {
        let mut records = timeless(place.records(run));
        records.sort_by_key(|record| record.configuration_hash.clone());
        records
    };
    assert_eq!(sorted("x"), sorted("test"));
}

#[test]
fn the_first_of_two_different_results_is_kept() {
    let (place, whole) = (Place::new(), seven());
    for shard in ["1/2", "2/2"] {
        place.run(&shard_of(&whole, shard), Scripted::default());
    }
    place.run(&whole, Scripted::default());
    let directory = RunDirectory::new(place.path("test"));
    let mut records = place.records("test");
    for record in &mut records {
        record.finished_at = "2999-01-01T00:00:00Z".to_owned();
        if let RowResult::Finished(outcome) = &mut record.result {
            outcome.trained_steps -= u64::from(record.agent.name == "ppo");
        }
    }
    replace_records(&directory.records(), &records).unwrap();
    place.merge(&["x-1-of-2", "test", "x-2-of-2"], "x").unwrap();
    for record in place.records("x") {
        // The first shard has `ppo short`, `test` comes before the second shard with `ppo long`.
        let expected = match (record.agent.name.as_str(), record.experiment.name.as_str()) {
            ("ppo", "long") => 199,
            (_, "long") => 200,
            _ => 100,
        };
        assert_eq!(record.outcome().unwrap().trained_steps, expected);
    }
}

#[test]
fn what_cannot_be_merged_is_refused_before_anything_is_written() {
    let (place, whole) = (Place::new(), seven());
    for shard in ["1/2", "2/2"] {
        place.run(&shard_of(&whole, shard), Scripted::default());
    }
    let mut other = shard_of(&whole, "2/2");
    other.run.name = "other".to_owned();
    other.plan.experiments[1].total_timesteps += 1;
    place.run(&other, Scripted::default());
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir(place.path("bare")).unwrap();
    fs::write(place.path("bare/records.jsonl"), "").unwrap();
    fs::create_dir(place.path("torn")).unwrap();
    fs::copy(
        place.path("other/config.toml"),
        place.path("torn/config.toml"),
    )
    .unwrap();
    fs::write(place.path("torn/records.jsonl"), "{}\n").unwrap();
    let shards = ["x-1-of-2", "x-2-of-2"];
    let refused = |runs: &[&str], into: &str, words: &[&str]| {
        let is_new = !place.path(into).exists();
        let before = tree(place.0.path());
        let error = place.merge(runs, into).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(is_new, !place.path(into).exists(), "{error}");
        assert_eq!(tree(place.0.path()), before, "{error}");
    };
    refused(
        &["x-1-of-2", "empty"],
        "x",
        &["cannot merge", "empty: this is not the directory of a run"],
    );
    refused(
        &["x-1-of-2", "none"],
        "x",
        &["none: this is not the directory of a run"],
    );
    let plans = [
        "the experiment \"long\" is not the same in",
        "x-1-of-2 and ",
        "other",
    ];
    refused(&["x-1-of-2", "other"], "x", &plans);
    let plans = [
        "the experiment \"long\" is not the same in",
        "other and ",
        "x-1-of-2",
    ];
    refused(&shards, "other", &plans);
    refused(&shards, "x-2-of-2", &["needs a directory of its own"]);
    refused(
        &shards,
        "x-2-of-2/checkpoints/x",
        &["needs a directory of its own"],
    );
    refused(&["x-1-of-2", "x-1-of-2"], "x", &["is given twice"]);
    refused(&["torn"], "x", &["line 1 is not a benchmark record"]);
    refused(&shards, "bare", &["has records and no config.toml"]);
    let _lock = RunDirectory::new(place.path("x-2-of-2")).lock().unwrap();
    refused(
        &shards,
        "x",
        &["another process is at work in ", "x-2-of-2"],
    );
}

#[test]
fn names_in_a_row_do_not_lead_out_of_the_whole() {
    let (place, config) = (Place::new(), shard_of(&seven(), "1/7"));
    place.run(&config, Scripted::default());
    let mut row = place.records("x-1-of-7").remove(0);
    row.agent.name = "../../elsewhere".to_owned();
    row.configuration_hash = "0".repeat(16);
    replace_records(&place.path("x-1-of-7/records.jsonl"), &[row]).unwrap();
    let error = place.merge(&["x-1-of-7"], "x").unwrap_err();
    assert!(error.contains("names that no plan can have"), "{error}");
    assert!(place.records("x").is_empty());
}

/// Returns the files below a folder with their contents. Locks are left out.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else if path.file_name().unwrap() != "run.lock" {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[cfg(unix)]
#[test]
fn links_in_a_job_folder_are_not_copied() {
    let (place, whole) = (Place::new(), seven());
    let shard = shard_of(&whole, "1/1");
    place.run(&shard, Scripted::default());
    fs::write(place.path("secret"), "secret").unwrap();
    let directory = RunDirectory::new(place.path("x-1-of-1"));
    let jobs: Vec<_> = shard.jobs().collect();
    let folder = |directory: &RunDirectory, index: usize| {
        directory.job(jobs[index].experiment, jobs[index].agent, jobs[index].seed)
    };
    let first = folder(&directory, 0);
    std::os::unix::fs::symlink(place.path("secret"), first.join("link")).unwrap();
    fs::write(first.join("run.owner"), "1 another-machine.invalid\n").unwrap();
    let second = folder(&directory, 1);
    fs::remove_dir_all(&second).unwrap();
    std::os::unix::fs::symlink(&first, &second).unwrap();

    // A killed merge left this.
    let merged = RunDirectory::new(place.path("x"));
    let mut partial = folder(&merged, 0).into_os_string();
    partial.push(".partial");
    fs::create_dir_all(PathBuf::from(&partial).join("old")).unwrap();

    place.merge(&["x-1-of-1"], "x").unwrap();
    let names: Vec<_> = fs::read_dir(folder(&merged, 0))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["checkpoint"]);
    assert!(folder(&merged, 1).symlink_metadata().is_err());
    assert!(!PathBuf::from(partial).exists());
}

fn finished(job: &PlannedJob<'_>) -> Record {
    Record {
        schema_version: SCHEMA_VERSION,
        commit: "abc".to_owned(),
        configuration_hash: configuration_hash(job.experiment, job.agent, job.seed),
        finished_at: "2026-01-02T03:04:05Z".to_owned(),
        experiment: job.experiment.clone(),
        agent: job.agent.clone(),
        seed: job.seed,
        result: RowResult::Finished(Box::new(outcome_of(job.experiment))),
    }
}

/// A shard lacks rows in ways that no interrupted run does: any agent may be missing.
#[test]
fn every_report_can_be_made_of_any_shard() {
    for suite in Suite::value_variants() {
        let mut plan = Plan::suite(*suite).unwrap();
        plan.settle_budgets(false);
        let whole = RunConfig { plan, ..config(2) };
        for shard in ["1/3", "3/3", "2/17", "10000/10000"] {
            let config = shard_of(&whole, shard);
            let records: Vec<Record> = config.jobs().map(|job| finished(&job)).collect();
            let page = render(&records, &config).unwrap();
            assert!(!page.contains("NaN"), "{suite:?} {shard}");
            for format in Format::value_variants() {
                // A format that is not for this suite is an error.
                let text = table(&records, &config.plan, *format).unwrap_or_default();
                assert!(!text.contains("NaN"), "{suite:?} {shard} {format:?}");
            }
        }
    }
}
