//! Checks of the spaces that hosts name.

use std::fmt;

use env_protocol::Space;
use environments::actions::check_actions;

/// Checks the spaces of an environment.
///
/// # Errors
/// Says what this server cannot play.
pub(crate) fn check_spaces(observations: &Space, actions: &Space) -> Result<(), String> {
    check_space(observations).map_err(|reason| format!("observation_space: {reason}"))?;
    check_space(actions)
        .and_then(|()| check_actions(actions))
        .map_err(|reason| format!("action_space: {reason}"))
}

/// Largest number of numbers in an observation or an action of one lane.
const MAX_NUMBERS: usize = 1 << 24;

/// Returns how many numbers an element has, if that is not too large.
fn numbers(space: &Space) -> Option<usize> {
    let count = match space {
        Space::Dict { spaces } => spaces
            .values()
            .try_fold(0usize, |sum, space| sum.checked_add(numbers(space)?)),
        Space::Tuple { spaces } => spaces
            .iter()
            .try_fold(0usize, |sum, space| sum.checked_add(numbers(space)?)),
        Space::Box { shape, .. } => shape
            .iter()
            .try_fold(1usize, |count, &size| count.checked_mul(size)),
        Space::MultiDiscrete { nvec } => Some(nvec.len()),
        Space::MultiBinary { n } => Some(*n),
        Space::Discrete { .. } => Some(1),
    };
    count.filter(|&count| count <= MAX_NUMBERS)
}

fn check_space(space: &Space) -> Result<(), String> {
    let count = numbers(space).ok_or_else(|| format!("more than {MAX_NUMBERS} numbers"))?;
    let inner = |name: &dyn fmt::Display, space: &Space| {
        check_space(space).map_err(|reason| format!("{name}: {reason}"))
    };
    match space {
        Space::Dict { spaces } => {
            if spaces.contains_key("dtype") {
                return Err("an entry cannot be called dtype".to_owned());
            }
            spaces
                .iter()
                .try_for_each(|(name, space)| inner(name, space))
        }
        Space::Tuple { spaces } => {
            let mut spaces = spaces.iter().enumerate();
            spaces.try_for_each(|(i, space)| inner(&i, space))
        }
        Space::Discrete { n, start } if *n < 1 || start.checked_add(*n).is_none() => {
            Err(format!("{n} values from {start}"))
        }
        Space::MultiDiscrete { nvec } if nvec.iter().any(|&n| n < 1) => {
            Err("a position without values".to_owned())
        }
        Space::Box {
            shape, low, high, ..
        } => {
            // A batch has one dimension more.
            if shape.len() >= env_protocol::MAX_DIMS {
                return Err(format!("{} dimensions", shape.len()));
            }
            let fits = |bound: &env_protocol::Bound| match bound {
                env_protocol::Bound::All(_) => true,
                env_protocol::Bound::Each(each) => each.len() == count,
            };
            match fits(low) && fits(high) {
                true => Ok(()),
                false => Err("its bounds do not have its shape".to_owned()),
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use env_protocol::{Bound, Dtype};

    use super::*;

    fn real(shape: Vec<usize>) -> Space {
        Space::Box {
            shape,
            low: Bound::All(0.0),
            high: Bound::All(1.0),
            dtype: Dtype::Float32,
        }
    }

    #[test]
    fn spaces_have_a_limit_in_all_kinds_and_places() {
        let two = Space::Discrete { n: 2, start: 0 };
        assert_eq!(check_spaces(&real(vec![4, 4]), &two), Ok(()));
        let huge = [
            real(vec![usize::MAX, 2]),
            real(vec![1 << 25]),
            Space::MultiBinary { n: 1 << 60 },
            Space::Tuple {
                spaces: vec![real(vec![1 << 24]), real(vec![1])],
            },
        ];
        for space in huge {
            let error = check_spaces(&space, &two).unwrap_err();
            assert!(error.starts_with("observation_space: "), "{error}");
            assert!(error.contains("more than 16777216 numbers"), "{error}");
            let error = check_spaces(&two, &space).unwrap_err();
            assert!(error.starts_with("action_space: "), "{error}");
        }
    }
}
