//! Runs a storm of kills and faulty calls on a server:
//! `cargo run --release -p end-to-end --bin storm -- --help`.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use end_to_end::storm::{Fate, Outcome, Storm, Transport};
use env_server::Durability;

/// Kill a server repeatedly while players lose, cut, double, pipeline, delay and garble half of
/// their calls, and compare every reply with that of an undisturbed server. Exits with 1 if a reply
/// differs.
#[derive(Parser)]
struct Arguments {
    /// Number of SIGKILLs, over all storms.
    #[arg(long, default_value_t = 1_000)]
    kills: u64,
    /// Number of calls, over all storms.
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// Number of players, each with environments of its own.
    #[arg(long, default_value_t = 4)]
    players: u64,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connection of the players to the server; both kinds by default.
    #[arg(long)]
    transport: Option<Transport>,
    /// Durability of acknowledged operations; both kinds by default.
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

/// The given value, or all possible values.
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
