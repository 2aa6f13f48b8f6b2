//! Arguments of the command line that more than one program takes.

use clap::{Args, ValueEnum};
use serde_json::Value;
use workers::cluster::Terms;

/// Pools of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PoolKind {
    /// A Ray cluster.
    Ray,
}

/// Arguments that choose machines to work on.
#[derive(Clone, Debug, Args)]
pub struct PoolArgs {
    /// Machines to work on, as many of their CPUs as are free: those of the Ray cluster at
    /// RAY_ADDRESS, else this one. Needs Python with strategic-memory-cluster; docs/cluster.md says
    /// how to begin.
    #[arg(long, value_enum, value_name = "POOL")]
    pool: Option<PoolKind>,
    /// Time to wait until a CPU of the pool is free.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "pool", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pool_wait_s: u64,
    /// Use a pool that takes work from anybody who can reach it.
    #[arg(long, requires = "pool")]
    insecure: bool,
}

impl PoolArgs {
    /// Returns what is asked of a cluster, if one is to be used; `cpu` is the class of CPU that all of its
    /// machines must have.
    pub fn cluster(&self, cpu: Option<String>) -> Option<Terms> {
        self.pool.map(|PoolKind::Ray| Terms {
            wait_s: self.pool_wait_s,
            insecure: self.insecure,
            cpu,
        })
    }
}

/// An environment's argument, `NAME=VALUE`; a value that is no JSON is text.
///
/// # Errors
/// Says what form is wanted.
pub fn env_arg(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("`{text}` is not of the form NAME=VALUE, e.g. delay=16"))?;
    match serde_json::from_str(value).unwrap_or_else(|_| value.into()) {
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!(
            "`{value}` is no single value; give a number, true, false or a text"
        )),
        value => Ok((name.into(), value)),
    }
}

/// A number of steps, as people write it: `56000`, `56_000`, `5.6e4`.
///
/// # Errors
/// Says what form is wanted.
pub fn steps(text: &str) -> Result<u64, String> {
    let plain = text.replace('_', "");
    let exact = plain.parse::<u64>().ok();
    let rounded = || plain.parse::<f64>().ok().filter(|number| is_whole(*number));
    exact
        .or_else(|| rounded().map(|number| number as u64))
        .ok_or_else(|| "give a whole number, such as 56000, 56_000 or 2e6".into())
}

/// Returns whether a real number is whole and exact.
fn is_whole(number: f64) -> bool {
    number.fract() == 0.0 && (0.0..=2f64.powi(53)).contains(&number)
}
