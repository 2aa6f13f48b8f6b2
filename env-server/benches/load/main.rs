//! The cost of clients that never come back: waves of abandoned environments and half-open
//! connections, and the latency of other clients meanwhile. `scripts/load` runs it; it fails when a
//! bar is missed.

mod gauges;
mod others;
mod process;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "benches share it and need different parts")]
mod support;
mod wave;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use gauges::Gauges;
use others::{Others, PLAYERS};
use process::Process;
use support::{Server, median};
use wave::{Answers, Scale, Task, Wave};

const SCALE: Scale = Scale {
    environments: 10_000,
    connections: 1_000,
    // Longer than it takes to create them all, so that all exist at the same time.
    ttl_s: 20,
    creations_per_s: 1_000.0,
};

/// The first one is a warm-up.
const WAVES: usize = 5;

/// How long the other clients are measured without the load.
const WITHOUT: Duration = Duration::from_secs(20);

/// How long memory may take to settle.
const SETTLING: Duration = Duration::from_secs(5);

/// Largest peak and settled memory of a wave, as a multiple of the first wave's.
const MEMORY_BAR: f64 = 1.2;
/// Largest 99th percentile of the other clients under load, as a multiple.
const TIME_BAR: f64 = 5.0;

/// Settings of the server besides the defaults. Silent clients are disconnected after this time;
/// with the default of two minutes each wave would take that much longer.
const SETTINGS: [&str; 2] = ["--idle-timeout-ms", "10000"];

/// The result of a wave.
struct Outcome {
    answers: Answers,
    /// Gauges while the environments existed and the connections were open.
    held: Gauges,
    peak_mb: f64,
    settled_mb: f64,
    /// Half-open connections that the server had not closed in time.
    uncut: usize,
    p99_without: Duration,
    p99_with: Duration,
}

impl Outcome {
    fn ratio(&self) -> f64 {
        self.p99_with.as_secs_f64() / self.p99_without.as_secs_f64()
    }
}

fn main() -> ExitCode {
    raise_file_limit();
    let server = Server::ours(&SETTINGS.map(str::to_owned));
    let process = Process::new(server.id());
    let tasks = Task::all(&server.address);
    let empty_mb = process.resident_mb();
    println!(
        "env-server serve {}: {empty_mb:.1} MB when empty\n{} environments of {} specs and {} connections a wave, \
         {PLAYERS} other clients",
        SETTINGS.join(" "),
        SCALE.environments,
        tasks.len(),
        SCALE.connections,
    );
    println!("{HEAD}");
    let mut outcomes = Vec::new();
    for i in 1..=WAVES {
        let outcome = run(&server.address, &process, &tasks, i);
        println!("{}", row(i, &outcome));
        outcomes.push(outcome);
    }
    println!();
    let verdicts = judge(&outcomes);
    for (is_good, verdict) in &verdicts {
        println!("{} {verdict}", if *is_good { "ok    " } else { "MISSED" });
    }
    match verdicts.iter().all(|(is_good, _)| *is_good) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs one wave, and the time before it.
fn run(address: &str, process: &Process, tasks: &[Task], i: usize) -> Outcome {
    let others = Others::begin(address, &format!("alone-{i}"));
    std::thread::sleep(WITHOUT);
    let (without, mut answers) = others.end();

    process.forget_peak();
    let others = Others::begin(address, &format!("beside-{i}"));
    let wave = Wave::begin(address, SCALE, tasks, &format!("wave-{i}"));
    let held = Gauges::read(address);
    answers.add(wave.answers.clone());
    let uncut = wave.end(Duration::from_secs(30));
    let reclaimed = Instant::now() + Duration::from_secs(2 * SCALE.ttl_s);
    while Gauges::read(address).environments > PLAYERS as u64 {
        assert!(
            Instant::now() < reclaimed,
            "environments outlive their leases"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    let (with, answered) = others.end();
    answers.add(answered);
    std::thread::sleep(SETTLING);
    Outcome {
        answers,
        held,
        peak_mb: process.peak_mb(),
        settled_mb: process.resident_mb(),
        uncut,
        p99_without: p99(&without),
        p99_with: p99(&with),
    }
}

/// Returns the 99th percentile of sorted times.
fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

const HEAD: &str = "\
wave  created    held  connections   429   503  errors  uncut  peak MB  settled MB  p99 without  with     ratio";

fn row(i: usize, outcome: &Outcome) -> String {
    let refusals = |status| outcome.answers.refusals.get(&status).copied().unwrap_or(0);
    format!(
        "{i:>4}  {:>7}  {:>6}  {:>11}  {:>4}  {:>4}  {:>6}  {:>5}  {:>7.1}  {:>10.1}  {:>8.2} ms  {:>5.2} ms  {:>5.2}",
        outcome.answers.created,
        outcome.held.environments,
        outcome.held.connections,
        refusals(429),
        refusals(503),
        outcome.answers.errors.len(),
        outcome.uncut,
        outcome.peak_mb,
        outcome.settled_mb,
        1e3 * outcome.p99_without.as_secs_f64(),
        1e3 * outcome.p99_with.as_secs_f64(),
        outcome.ratio(),
    )
}

/// Returns each bar, and whether it is met.
fn judge(outcomes: &[Outcome]) -> Vec<(bool, String)> {
    let errors: Vec<_> = outcomes.iter().flat_map(|o| &o.answers.errors).collect();
    let first_error = errors
        .first()
        .map_or(String::new(), |e| format!(", such as {e}"));
    let uncut: usize = outcomes.iter().map(|o| o.uncut).sum();
    let held = |held: fn(&Gauges) -> u64| outcomes.iter().map(|o| held(&o.held)).min().unwrap_or(0);
    let (environments, connections) = (held(|h| h.environments), held(|h| h.connections));
    let rise = |mb: fn(&Outcome) -> f64| {
        let later = outcomes[1..].iter().map(mb);
        later.fold(0.0, f64::max) / mb(&outcomes[0])
    };
    let (peak, settled) = (rise(|o| o.peak_mb), rise(|o| o.settled_mb));
    let ratio = median(outcomes.iter().map(Outcome::ratio).collect());
    let times = |x| format!("{x:.2} times that of the first wave, at most {MEMORY_BAR}");
    vec![
        (
            environments >= SCALE.environments as u64 && connections >= SCALE.connections as u64,
            format!("at least {environments} environments and {connections} connections at once"),
        ),
        (
            errors.is_empty(),
            format!(
                "{} errors that are not 429 or 503 with Retry-After{first_error}",
                errors.len()
            ),
        ),
        (
            uncut == 0,
            format!("{uncut} half-open connections left open"),
        ),
        (peak <= MEMORY_BAR, format!("peak memory: {}", times(peak))),
        (
            settled <= MEMORY_BAR,
            format!("settled memory: {}", times(settled)),
        ),
        (
            ratio <= TIME_BAR,
            format!(
                "others' p99: {ratio:.2} times that without, at most {TIME_BAR} (median of {WAVES})"
            ),
        ),
    ]
}

/// Raises the limit on open files, since every connection needs one here, too.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = SCALE.connections as u64 + 128;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).expect("as many open files as there are connections");
    }
}
