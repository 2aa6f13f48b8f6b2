//! Delays, for tasks with the arguments `delay` and `delay_min`: fixed, or drawn for each episode.

use env_protocol::Parameter;

use crate::kit::arguments::required;
use crate::{Arguments, Draws, KwargsError};

/// Longest delay.
const MAX_DELAY: u32 = 10_000_000;

/// Returns the parameters `delay`, with this description and default, and `delay_min`.
pub(super) fn parameters(delay: &str, default: i64) -> [Parameter; 2] {
    let max = i64::from(MAX_DELAY);
    let delay_min = "When less than `delay` (its default), each episode draws its delay \
                     log-uniformly from `delay_min..=delay`.";
    [
        Parameter::integer("delay", delay, 1, max, Some(default)).resettable(),
        Parameter::integer("delay_min", delay_min, 1, max, None).resettable(),
    ]
}

/// Returns `delay_min` and `delay`.
///
/// # Errors
/// When `delay_min` is greater.
pub(super) fn from_arguments(arguments: &Arguments) -> Result<[u32; 2], KwargsError> {
    let delay = required("delay", arguments.natural("delay")?)?;
    let delay_min = arguments.natural("delay_min")?.unwrap_or(delay);
    if delay_min > delay {
        let detail = format!("{delay_min} is greater than delay, which is {delay}");
        return Err(KwargsError::new("delay_min", detail));
    }
    Ok([delay_min, delay])
}

/// Draws the delay of an episode, only if there is a choice.
pub(super) fn draw(delay_min: u32, delay: u32, draws: &mut impl Draws) -> u32 {
    match delay_min < delay {
        true => draws.log_uniform(u64::from(delay_min), u64::from(delay)) as u32,
        false => delay,
    }
}

/// Checks delays that came from outside.
///
/// # Errors
/// When no arguments lead to them.
pub(super) fn validate(delay_min: u32, delay: u32) -> Result<(), String> {
    match 1 <= delay_min && delay_min <= delay && delay <= MAX_DELAY {
        true => Ok(()),
        false => Err(format!(
            "delay_min {delay_min} and delay {delay} are not in order between 1 and {MAX_DELAY}"
        )),
    }
}
