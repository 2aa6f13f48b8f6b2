//! Normal noise on observations, as POPGym adds it.

use env_protocol::Parameter;

use crate::kit::recording::ensure;
use crate::{Draw, Draws};

/// Greatest standard deviation.
const MAX_SIGMA: f64 = 1e6;
/// Standard deviations at the levels.
pub(crate) const SIGMAS: [f64; 3] = [0.1, 0.2, 0.3];

/// Returns the parameter `noise_sigma`.
pub(crate) fn parameter() -> Parameter {
    Parameter::number(
        "noise_sigma",
        "Standard deviation of the noise on each number of an observation; 0.1, 0.2, 0.3 at easy, \
         medium, hard.",
        0.0,
        MAX_SIGMA,
        None,
    )
}

/// Adds two numbers of noise to an observation of two, and clips each to its bound on either side:
/// the noise is rounded to float32, and then all is float32.
#[inline]
pub(crate) fn add(sigma: f64, most: [f64; 2], draws: &mut impl Draws, observation: &mut [f32]) {
    let noise = draws.normal_pair(sigma);
    for ((number, noise), most) in observation.iter_mut().zip(noise).zip(most) {
        let most = most as f32;
        *number = (*number + noise as f32).clamp(-most, most);
    }
}

/// Returns recorded noise as draws, a pair for each of so many observations; none where nothing is
/// noisy.
///
/// # Errors
/// When it is missing.
pub(crate) fn script(
    recorded: Option<Vec<[f64; 2]>>,
    is_noisy: bool,
    observations: usize,
) -> Result<Vec<Vec<Draw>>, String> {
    if !is_noisy {
        return Ok(Vec::new());
    }
    let pairs = recorded.unwrap_or_default();
    ensure(pairs.len() == observations, || {
        let noisy = pairs.len();
        format!("{noisy} observations of {observations} have noise")
    })?;
    let draws = pairs.iter().map(|pair| pair.map(Draw::Number).to_vec());
    Ok(draws.collect())
}

/// Checks a standard deviation that came from outside, of a variant that has noise or has none.
///
/// # Errors
/// When it is out of range, missing, or there although nothing is noisy.
pub(crate) fn validate(sigma: Option<f64>, is_noisy: bool) -> Result<(), String> {
    let is_in_range = sigma.is_none_or(|sigma| (0.0..=MAX_SIGMA).contains(&sigma));
    match sigma.is_some() == is_noisy && is_in_range {
        true => Ok(()),
        false => Err(format!("{sigma:?} is no standard deviation of this task")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Draw, Script};

    /// 0.1 is rounded to float32 before it is added: 0.25 + 0.1 in float32, and 1 is the bound.
    #[test]
    fn noise_is_added_in_float32_and_clipped() {
        let mut draws = Script::new(vec![Draw::Number(0.1), Draw::Number(-9.0)]);
        let mut observation = [0.25, 0.5];
        add(1.0, [1.0, 0.75], &mut draws, &mut observation);
        assert_eq!(observation, [0.25f32 + 0.1f32, -0.75]);
        draws.finish().unwrap();
    }

    #[test]
    fn only_noisy_tasks_have_a_deviation() {
        assert!(validate(Some(0.0), true).is_ok() && validate(None, false).is_ok());
        for (sigma, is_noisy) in [
            (None, true),
            (Some(0.1), false),
            (Some(-0.1), true),
            (Some(f64::NAN), true),
            (Some(1e7), true),
        ] {
            assert!(validate(sigma, is_noisy).is_err(), "{sigma:?}");
        }
    }
}
