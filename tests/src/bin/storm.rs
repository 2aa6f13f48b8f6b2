//! A storm of kills and faulty calls on a server: `cargo run --release -p end-to-end --bin storm -- --help`.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use end_to_end::storm::{Fate, Outcome, Storm, Transport};
use env_server::Durability;

/// Kills a server over and over while players lose, cut, duplicate, pipeline, delay and garble half
/// of their calls, and compares every reply with that of an undisturbed server asked once. The exit
/// status is 1 when a reply differs.
#[derive(Parser)]
struct Arguments {
    /// SIGKILLs, over all storms.
    #[arg(long, default_value_t = 1_000)]
    kills: u64,
    /// Calls, over all storms.
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// Players, each with its own environments.
    #[arg(long, default_value_t = 4)]
    players: u64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the players reach the server; both ways by default.
    #[arg(long)]
    transport: Option<Transport>,
    /// Durability of acknowledged operations; both by default.
    #[arg(long)]
    durability: Option<Durability>,
}

fn main() -> ExitCode {
    end_to_end::serve_if_asked();
    let arguments = Arguments::parse();
    let transports = chosen(arguments.transport);
    let durabilities = chosen(arguments.durability);
    let storms = (transports.len() * durabilities.len()) as u64;
    let (mut kills, mut calls, mut faulty, mut mismatches) = (0, 0, 0, 0);
    for &transport in &transports {
        for &durability in &durabilities {
            let storm = Storm {
                transport,
                durability,
                kills: arguments.kills.div_ceil(storms),
                calls: arguments.calls.div_ceil(storms),
                players: arguments.players,
                seed: arguments.seed,
            };
            println!("{transport:?}, durability {durability:?}");
            let outcome = match storm.rage("serve") {
                Ok(outcome) => outcome,
                Err(error) => {
                    eprintln!("error: the server does not come up: {error}");
                    return ExitCode::FAILURE;
                }
            };
            print(&outcome);
            kills += outcome.kills;
            calls += outcome.num_calls();
            faulty += outcome.num_faulty();
            mismatches += outcome.num_mismatches;
        }
    }
    println!(
        "together: {kills} kills, {calls} calls, {faulty} of them faulty; {mismatches} mismatches"
    );
    if mismatches == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns the value given, or all values.
fn chosen<T: ValueEnum + Clone>(given: Option<T>) -> Vec<T> {
    given.map_or_else(|| T::value_variants().to_vec(), |given| vec![given])
}

fn print(outcome: &Outcome) {
    let counts: Vec<String> = Fate::ALL
        .iter()
        .zip(outcome.calls)
        .map(|(fate, count)| format!("{} {count}", format!("{fate:?}").to_lowercase()))
        .collect();
    println!(
        "  {} kills, {} calls ({}), {} replies compared, {} mismatches, {:.0} s",
        outcome.kills,
        outcome.num_calls(),
        counts.join(", "),
        outcome.compared,
        outcome.num_mismatches,
        outcome.elapsed.as_secs_f64()
    );
    for mismatch in &outcome.mismatches {
        println!("  {mismatch}");
    }
}
