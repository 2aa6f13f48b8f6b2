//! Fixed records for tests.

use std::collections::BTreeMap;

use agent::evaluate::Mode;

use crate::plan::{AgentRow, EvalPlan, Experiment, Plan};
use crate::records::config::{RunConfig, RunInfo};
use crate::records::outcome::{EvaluationRecord, MemoryView, Outcome};
use crate::records::{Record, RowResult, SCHEMA_VERSION, configuration_hash};

/// Returns two experiments, delay 4 EASY and HARD, with three agents.
pub fn plan() -> Plan {
    let agents = ["ppo", "recurrent-ppo", "tracerl"].map(agent).to_vec();
    Plan {
        agents,
        experiments: vec![experiment(4, 0), experiment(4, 1)],
    }
}

pub fn agent(name: &str) -> AgentRow {
    AgentRow {
        name: name.into(),
        algorithm: name.into(),
        external: None,
        overrides: BTreeMap::new(),
        tuned: false,
        optional: false,
        experiments: Vec::new(),
        variant: None,
    }
}

pub fn experiment(delay: u64, difficulty: u64) -> Experiment {
    let mode = if difficulty == 0 { "easy" } else { "hard" };
    Experiment {
        name: format!("delay-{delay}-{mode}"),
        spec_id: "MemoryTask-v0".into(),
        total_timesteps: 14_000,
        quick_timesteps: None,
        early_stop: true,
        kwargs: BTreeMap::from([
            ("delay".into(), delay.into()),
            ("difficulty".into(), difficulty.into()),
        ]),
        draws: BTreeMap::new(),
        window: None,
        eval: EvalPlan {
            delays: vec![2 * delay, 16 * delay],
            ..EvalPlan::default()
        },
    }
}

fn record_of(
    agent_name: &str,
    delay: u64,
    difficulty: u64,
    seed: u64,
    result: RowResult,
) -> Record {
    let (experiment, agent) = (experiment(delay, difficulty), agent(agent_name));
    Record {
        schema_version: SCHEMA_VERSION,
        commit: "0123456789abcdef0123456789abcdef01234567".into(),
        configuration_hash: configuration_hash(&experiment, &agent, seed),
        finished_at: "2026-01-02T03:04:05Z".into(),
        experiment,
        agent,
        seed,
        result,
    }
}

pub fn failed_record(
    agent_name: &str,
    delay: u64,
    difficulty: u64,
    seed: u64,
    reason: &str,
) -> Record {
    record_of(
        agent_name,
        delay,
        difficulty,
        seed,
        RowResult::Failed {
            reason: reason.into(),
        },
    )
}

/// Returns a record of an agent that remembers: greedy 1, sampled 0.97, scrambled 0.99, emptied
/// 0.02.
pub fn record(agent_name: &str, delay: u64, difficulty: u64, seed: u64) -> Record {
    record_with_returns(agent_name, delay, difficulty, seed, [1.0, 0.97, 0.99, 0.02])
}

/// Returns a record with these mean returns: greedy, sampled, scrambled, emptied.
pub fn record_with_returns(
    name: &str,
    delay: u64,
    difficulty: u64,
    seed: u64,
    returns: [f64; 4],
) -> Record {
    let outcome = outcome(delay, returns);
    record_of(
        name,
        delay,
        difficulty,
        seed,
        RowResult::Finished(Box::new(outcome)),
    )
}

/// Returns a record of an external program that played by itself on delay 4 HARD.
pub fn external_record(name: &str, mean_return: f64, notes: &[&str]) -> Record {
    let mut record = record_with_returns(name, 4, 1, 0, [mean_return, 0.0, 0.0, 0.0]);
    record.agent = AgentRow::from_command(name, "sh agent.sh");
    record.configuration_hash = configuration_hash(&record.experiment, &record.agent, 0);
    if let RowResult::Finished(outcome) = &mut record.result {
        outcome
            .evaluations
            .retain(|judged| judged.mode == Mode::Greedy);
        outcome.learning_curve.clear();
        outcome.parameters = None;
        outcome.solved_at = None;
        outcome.hyperparameters = BTreeMap::from([("command".into(), "sh agent.sh".into())]);
        outcome.notes = notes.iter().map(|&note| note.to_owned()).collect();
    }
    record
}

fn outcome(delay: u64, returns: [f64; 4]) -> Outcome {
    let judged = |delay, mode, mean_return: f64| EvaluationRecord {
        delay: Some(delay),
        mode,
        mean_return,
        std_return: (1.0 - mean_return * mean_return).max(0.0).sqrt(),
        episodes: 1000,
    };
    let mut evaluations: Vec<_> = Mode::ALL
        .into_iter()
        .zip(returns)
        .map(|(mode, mean)| judged(delay, mode, mean))
        .collect();
    for further in [2 * delay, 16 * delay] {
        evaluations.push(judged(further, Mode::Greedy, returns[0]));
        evaluations.push(judged(further, Mode::Scrambled, returns[2] - 0.1));
    }
    Outcome {
        trained_steps: 5_120,
        steps_per_s: 60_234.5,
        train_duration_s: 0.085,
        solved_at: (returns[0] >= 0.95).then_some(4_096),
        solved_threshold: Some(0.95),
        training: None,
        parameters: Some(12_345),
        memory_bytes: Some(512),
        cpu: Some("x86_64+avx2+fma".to_owned()),
        hyperparameters: BTreeMap::from([
            ("gae_lambda".into(), 0.3.into()),
            ("learning_rate".into(), 0.002.into()),
        ]),
        learning_curve: vec![(1_024, 0.0), (3_072, returns[0] / 2.0), (5_120, returns[0])],
        evaluations,
        memory_view: None,
        cue_attention: None,
        notes: Vec::new(),
    }
}

/// Returns a record on another task, without a delay: greedy, sampled and emptied.
pub fn record_on(
    (name, spec_id): (&str, &str),
    kwargs: &[(&str, serde_json::Value)],
    agent_name: &str,
    seed: u64,
    [greedy, sampled, emptied]: [f64; 3],
) -> Record {
    let mut record = record_with_returns(agent_name, 4, 1, seed, [greedy, sampled, 0.0, emptied]);
    record.experiment = Experiment {
        name: name.into(),
        spec_id: spec_id.into(),
        kwargs: kwargs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
        eval: EvalPlan::default(),
        ..record.experiment
    };
    if let RowResult::Finished(outcome) = &mut record.result {
        outcome
            .evaluations
            .retain(|judged| judged.delay == Some(4) && judged.mode != Mode::Scrambled);
        for judged in &mut outcome.evaluations {
            judged.delay = None;
        }
    }
    record.configuration_hash = configuration_hash(&record.experiment, &record.agent, seed);
    record
}

/// Returns a record on AssociativeRecall with this number of pairs, trained on delays of 8 to 64, with these mean returns by delay.
/// Scrambled is as good as greedy, and emptied is guessing.
pub fn recall(agent_name: &str, pairs: u64, seed: u64, returns: &[(u64, f64)]) -> Record {
    let mut record = record(agent_name, 64, 1, seed);
    record.experiment.name = format!("pairs-{pairs}");
    record.experiment.spec_id = "AssociativeRecall-v0".into();
    record
        .experiment
        .kwargs
        .insert("num_pairs".into(), pairs.into());
    record.experiment.draws = BTreeMap::from([("delay".into(), (8, 64))]);
    record.experiment.eval = EvalPlan::default();
    if let RowResult::Finished(outcome) = &mut record.result {
        let judged = |delay, mode, mean_return: f64| EvaluationRecord {
            delay: Some(delay),
            mode,
            mean_return,
            std_return: 0.0,
            episodes: 200,
        };
        let modes = returns.iter().flat_map(|&(delay, mean)| {
            [Mode::Greedy, Mode::Scrambled].map(|mode| judged(delay, mode, mean))
        });
        outcome.evaluations = modes.collect();
        outcome.evaluations.push(judged(64, Mode::Emptied, -0.5));
    }
    record.configuration_hash = configuration_hash(&record.experiment, &record.agent, seed);
    record
}

/// Returns a view of two slots over `delay` steps: slot 0 keeps the cue, slot 1 holds the newest
/// entry, and attention ends on the cue.
pub fn memory_view(delay: u32) -> MemoryView {
    let steps: Vec<u32> = (0..delay).collect();
    let last = delay - 1;
    MemoryView {
        slots: 2,
        cue_step: Some(0),
        write_step: steps
            .iter()
            .flat_map(|&step| [Some(0), (step > 0).then_some(step)])
            .collect(),
        usefulness: steps.iter().flat_map(|_| [2.0, -1.0]).collect(),
        attention: steps
            .iter()
            .flat_map(|&step| if step == last { [0.9, 0.1] } else { [0.5, 0.5] })
            .collect(),
        steps,
    }
}

/// Returns the configuration of a run of [`plan`].
pub fn config() -> RunConfig {
    RunConfig {
        run: RunInfo {
            name: "example".into(),
            seeds: 2,
            shard: None,
            command: "benchmark --seeds 2 --name example".into(),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            started_at: "2026-01-02T03:04:05Z".into(),
            earlier: Vec::new(),
        },
        plan: plan(),
    }
}
