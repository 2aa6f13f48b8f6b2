//! How arguments of the command line are read that more than one program takes.

use serde_json::Value;

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
