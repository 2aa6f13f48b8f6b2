//! `benchmark merge`: joins runs of one plan that were run apart, such as its shards.
//!
//! Nothing is written before everything has been read and checked. Then job folders are copied, each
//! as a whole, and the records come last: until then, the same command begins again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use agent::run::lock::FolderLock;
use agent::shell;
use anyhow::{Context as _, bail, ensure};

use super::commands::{OpenRun, PROGRAM, lock, reopen};
use crate::files;
use crate::plan::{AgentRow, Experiment};
use crate::records::config::RunConfig;
use crate::records::directory::RunDirectory;
use crate::records::merge::{Row, first_difference, merge_info, merge_records};
use crate::records::{Record, configuration_hash, read_records, replace_records};
use crate::report;
use crate::run::progress::tell;

/// Joins `runs` in the directory `into`, which may hold a part of the same plan already. Returns
/// what to print.
///
/// # Errors
/// When one of them is not a run of the same plan or is in use, or a file cannot be read or written.
pub fn merge_runs(runs: &[PathBuf], into: &Path) -> anyhow::Result<String> {
    let name = check_paths(runs, into)?;
    let target = Target::open(into)?;
    let mut parts: Vec<&OpenRun> = target.before.iter().collect();
    let opened = runs
        .iter()
        .map(|run| reopen(run).with_context(|| format!("cannot merge {}", run.display())));
    let opened = opened.collect::<anyhow::Result<Vec<_>>>()?;
    parts.extend(&opened);
    check_plans(&parts)?;
    let records = parts
        .iter()
        .map(|part| read_records(&part.directory.records()));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let _lock = target.reserve()?;

    let infos: Vec<_> = parts.iter().map(|part| &part.config.run).collect();
    let config = RunConfig {
        run: merge_info(name, &infos),
        plan: parts[0].config.plan.clone(),
    };
    let judged = match &target.before {
        Some(_) => complete(&records[0]),
        None => HashSet::new(),
    };
    let merged = merge_records(&config, records);
    let names: Vec<_> = parts
        .iter()
        .map(|part| part.directory.path().display())
        .collect();
    for conflict in &merged.conflicts {
        tell(&format!("warning: {}", conflict.warning(&names)));
    }
    let folders = Folders {
        parts: &parts,
        into: &target.directory,
        judged: &judged,
    };
    folders.copy(&config, &merged.rows)?;
    target.directory.write_config(&config)?;
    let records: Vec<Record> = merged.rows.into_iter().map(|row| row.record).collect();
    replace_records(&target.directory.records(), &records)?;
    target
        .directory
        .write_report(&report::render(&records, &config)?)?;
    Ok(told(&target.directory, &config, &records))
}

/// Checks that the runs are different and that the whole has a directory of its own. Returns its
/// name.
fn check_paths(runs: &[PathBuf], into: &Path) -> anyhow::Result<String> {
    let whole = real(into)?;
    let mut parts = Vec::new();
    for run in runs {
        let part = real(run)?;
        ensure!(
            !whole.starts_with(&part),
            "the result needs a directory of its own, and {} is or lies in {}",
            into.display(),
            run.display()
        );
        ensure!(!parts.contains(&part), "{} is given twice", run.display());
        parts.push(part);
    }
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.with_context(|| format!("{} is not a directory's name", into.display()))
}

/// Returns an absolute path whose existing part has no links.
fn real(path: &Path) -> anyhow::Result<PathBuf> {
    let read = || format!("cannot read {}", path.display());
    let absolute = std::path::absolute(path).with_context(read)?;
    let existing = absolute.ancestors().find(|part| part.exists());
    let existing = existing.with_context(read)?;
    let rest = absolute.strip_prefix(existing).with_context(read)?;
    let real = existing.canonicalize().with_context(read)?;
    Ok(real.components().chain(rest.components()).collect())
}

/// The directory of the whole.
struct Target {
    directory: RunDirectory,
    /// The run that is there already.
    before: Option<OpenRun>,
}

impl Target {
    fn open(into: &Path) -> anyhow::Result<Self> {
        let directory = RunDirectory::new(into);
        let before = match directory.earlier_config()? {
            Some(_) => Some(reopen(into)?),
            None => None,
        };
        ensure!(
            before.is_some() || !directory.records().exists(),
            "{} has records and no config.toml; their plan is unknown",
            into.display()
        );
        Ok(Self { directory, before })
    }

    /// Creates and reserves the directory, unless it is that of a run, which is reserved already.
    fn reserve(&self) -> anyhow::Result<Option<FolderLock>> {
        if self.before.is_some() {
            return Ok(None);
        }
        let lock = lock(&self.directory)?;
        ensure!(
            self.directory.earlier_config()?.is_none(),
            "another process has just begun a run in {}",
            self.directory.path().display()
        );
        Ok(Some(lock))
    }
}

fn check_plans(parts: &[&OpenRun]) -> anyhow::Result<()> {
    let name = |part: &OpenRun| part.directory.path().display().to_string();
    let Some((first, rest)) = parts.split_first() else {
        bail!("no run is given");
    };
    for part in rest {
        let plans = [&first.config.plan, &part.config.plan];
        if let Some(difference) = first_difference(plans, [&name(first), &name(part)]) {
            bail!("only runs of the same plan can be merged: {difference}");
        }
    }
    Ok(())
}

/// Returns the hashes of the jobs that have a row and did not fail.
fn complete(records: &[Record]) -> HashSet<String> {
    let rows = records.iter().filter(|record| record.failure().is_none());
    rows.map(|record| record.configuration_hash.clone())
        .collect()
}

/// The folders of jobs.
struct Folders<'a> {
    parts: &'a [&'a OpenRun],
    into: &'a RunDirectory,
    /// Hashes of the jobs that were complete in `into` before: their folders stay.
    judged: &'a HashSet<String>,
}

impl Folders<'_> {
    /// Copies the folders of all rows and of all jobs without a row.
    fn copy(&self, config: &RunConfig, rows: &[Row]) -> anyhow::Result<()> {
        let mut with_row = HashSet::new();
        for Row { run, record } in rows {
            let hash = &record.configuration_hash;
            let job = (&record.experiment, &record.agent, record.seed);
            match record.failure() {
                // An earlier merge may have copied it while the job was unfinished.
                None if !self.judged.contains(hash) => self.copy_job(job, &[*run], true)?,
                None => {}
                Some(_) => self.copy_unfinished(job, *run)?,
            }
            with_row.insert(hash.clone());
        }
        for job in config.jobs() {
            let hash = configuration_hash(job.experiment, job.agent, job.seed);
            if !with_row.contains(&hash) {
                self.copy_unfinished((job.experiment, job.agent, job.seed), 0)?;
            }
        }
        Ok(())
    }

    /// Copies the folder of a job that will be resumed, from `run` if it has one.
    fn copy_unfinished(
        &self,
        job: (&Experiment, &AgentRow, u64),
        run: usize,
    ) -> anyhow::Result<()> {
        let others = 0..self.parts.len();
        let runs: Vec<usize> = [run].into_iter().chain(others).collect();
        self.copy_job(job, &runs, false)
    }

    /// Copies a job's folder from the first of these runs that has one. A folder that is there
    /// already stays, or is replaced if `anew`.
    fn copy_job(
        &self,
        (experiment, agent, seed): (&Experiment, &AgentRow, u64),
        runs: &[usize],
        anew: bool,
    ) -> anyhow::Result<()> {
        let to = self.into.job(experiment, agent, seed);
        // Rows that the plan does not list are not checked elsewhere.
        ensure!(
            to.parent() == Some(&self.into.checkpoints()),
            "a row has names that no plan can have: {:?} on {:?}",
            agent.name,
            experiment.name
        );
        let is_there = to.symlink_metadata().is_ok();
        let folders = runs
            .iter()
            .map(|&run| self.parts[run].directory.job(experiment, agent, seed));
        let mut folders = folders.filter(|path| is_folder(path));
        let Some(from) = folders.next().filter(|from| *from != to) else {
            return Ok(());
        };
        if is_there && !anew {
            return Ok(());
        }
        let copied = copy_whole(&from, &to);
        let left_out = copied
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        if left_out > 0 {
            let from = from.display();
            tell(&format!(
                "warning: {from} has links or special files, which are not copied: {left_out}"
            ));
        }
        Ok(())
    }
}

/// Whether a path leads to a folder. Warns of anything else that is there.
fn is_folder(path: &Path) -> bool {
    let Ok(found) = path.symlink_metadata() else {
        return false;
    };
    if !found.is_dir() {
        tell(&format!(
            "warning: {} is a link or a special file, and is not copied",
            path.display()
        ));
    }
    found.is_dir()
}

/// Copies a job's folder in place of `to`, which has the old content or all of the new. Returns the
/// number of links and special files, which are left out.
fn copy_whole(from: &Path, to: &Path) -> std::io::Result<usize> {
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".partial");
    let unfinished = PathBuf::from(unfinished);
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    files::remove(&unfinished)?;
    let copy = || {
        let left_out = files::copy_folder(from, &unfinished)?;
        // It would name a process that works in the original.
        files::remove(&unfinished.join(FolderLock::OWNER_FILE))?;
        files::remove(to)?;
        std::fs::rename(&unfinished, to)?;
        Ok(left_out)
    };
    copy().inspect_err(|_| {
        // On a full disk it is in the way.
        let _ = files::remove(&unfinished);
    })
}

/// Says what the whole has, and what to do about the rest.
fn told(directory: &RunDirectory, config: &RunConfig, records: &[Record]) -> String {
    let jobs = config.jobs();
    let planned: HashSet<String> = jobs
        .map(|job| configuration_hash(job.experiment, job.agent, job.seed))
        .collect();
    let rows = records.iter();
    let rows = rows.filter(|record| planned.contains(&record.configuration_hash));
    let (jobs, found) = (planned.len(), rows.clone().count());
    let failed = rows.filter(|record| record.failure().is_some()).count();
    let path = directory.path();
    let mut text = format!("{}: {found} of {jobs} jobs have a row", path.display());
    if failed > 0 {
        text += &format!(", {failed} of them failed");
    }
    text += &format!("\nreport: {}", directory.report().display());
    if found < jobs || failed > 0 {
        text += &format!("\nresume with: {PROGRAM} resume {}", shell::quote(path));
    }
    text
}
