//! The numbers of an action and the range of each.

use std::fmt;
use std::iter;
use std::ops::Range;

use env_protocol::{Array, ArrayError, Data, Dtype, Space};

use crate::Element;

/// Size that all integers of an action are below: [`Element::nearest`] has no greater ones.
const MOST: i64 = 1 << 51;

/// Range of one number of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionRange {
    /// One of these integers.
    Integers(Range<i64>),
    /// A number between two bounds, both inclusive and finite.
    Reals {
        /// The least number.
        low: f64,
        /// The greatest number.
        high: f64,
    },
}

impl ActionRange {
    /// Whether the number is in the range. NaN and the infinities are in none.
    #[inline]
    pub fn contains(&self, number: f64) -> bool {
        match self {
            ActionRange::Integers(range) => {
                let integer = i64::nearest(number);
                integer as f64 == number && range.contains(&integer)
            }
            ActionRange::Reals { low, high } => (*low..=*high).contains(&number),
        }
    }

    /// The number that stands where no action was taken: the least integer, or the real number
    /// that is nearest to 0.
    pub fn neutral(&self) -> f64 {
        match self {
            ActionRange::Integers(range) => range.start as f64,
            ActionRange::Reals { low, high } => f64::clamp(0.0, *low, *high),
        }
    }
}

impl fmt::Display for ActionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActionRange::Integers(range) => {
                write!(f, "one of {}..={}", range.start, range.end - 1)
            }
            ActionRange::Reals { low, high } => write!(f, "in [{low}, {high}]"),
        }
    }
}

/// Returns the range of each number in an action.
///
/// # Panics
/// When [`check_actions`] refuses the space.
pub fn action_ranges(space: &Space) -> Vec<ActionRange> {
    ranges(space).unwrap_or_else(|reason| panic!("{reason}"))
}

/// Checks that actions of a space can be sent: a fixed number of integers, smaller than 2⁵¹, or of
/// floats.
///
/// # Errors
/// Says why not.
pub fn check_actions(space: &Space) -> Result<(), String> {
    match space {
        Space::Discrete { n, .. } if *n < 1 => return Err(format!("{n} values")),
        Space::MultiDiscrete { nvec } if nvec.iter().any(|&n| n < 1) => {
            return Err("a position without values".to_owned());
        }
        Space::Box { low, high, .. } => {
            let is_empty =
                |i: usize| low.at(i).is_nan() || high.at(i).is_nan() || low.at(i) > high.at(i);
            if (0..space.flat_size()).any(is_empty) {
                return Err("a number without values".to_owned());
            }
        }
        _ => {}
    }
    match ranges(space)?.is_empty() {
        true => Err("an action has no numbers".to_owned()),
        false => Ok(()),
    }
}

fn ranges(space: &Space) -> Result<Vec<ActionRange>, String> {
    let integers = |range: Range<i64>| match -MOST < range.start && range.end < MOST {
        true => Ok(ActionRange::Integers(range)),
        false => Err(format!("{range:?} is too wide")),
    };
    match space {
        Space::Discrete { n, start } => {
            let range = integers(*start..start.saturating_add(*n));
            iter::once(range).collect()
        }
        Space::MultiDiscrete { nvec } => nvec.iter().map(|&n| integers(0..n)).collect(),
        Space::MultiBinary { n } => Ok(vec![ActionRange::Integers(0..2); *n]),
        Space::Box {
            dtype: Dtype::Float32 | Dtype::Float64,
            low,
            high,
            ..
        } => {
            let is_float32 = space.dtype() == Some(Dtype::Float32);
            let finite = |bound: f64| match is_float32 {
                true => f64::from((bound as f32).clamp(f32::MIN, f32::MAX)),
                false => bound.clamp(f64::MIN, f64::MAX),
            };
            let ranges = (0..space.flat_size()).map(|i| ActionRange::Reals {
                low: finite(low.at(i)),
                high: finite(high.at(i)),
            });
            Ok(ranges.collect())
        }
        Space::Box {
            dtype: Dtype::Bool, ..
        } => Err("a Box of bool; MultiBinary has actions of bits".to_owned()),
        Space::Box { low, high, .. } => {
            let ranges = (0..space.flat_size()).map(|i| {
                let (low, high) = (low.at(i).ceil(), high.at(i).floor());
                integers(low as i64..(high as i64).saturating_add(1))
            });
            ranges.collect()
        }
        Space::Tuple { .. } | Space::Dict { .. } => {
            Err("an action must be one array, not a Tuple or a Dict".to_owned())
        }
    }
}

/// Returns the numbers of actions as they are sent: in an array of the space's float type, or of
/// int64.
///
/// # Errors
/// When they do not fill the shape.
pub fn to_array(space: &Space, shape: Vec<usize>, actions: &[f64]) -> Result<Array, ArrayError> {
    match space.dtype() {
        Some(Dtype::Float32) => Array::from_f32(shape, actions.iter().map(|&x| x as f32).collect()),
        Some(Dtype::Float64) => Array::new(shape, Data::Float64(actions.to_vec())),
        _ => Array::from_i64(shape, actions.iter().map(|&x| x as i64).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env_protocol::Bound;

    #[test]
    fn integers_are_whole_and_below_the_end() {
        let range = ActionRange::Integers(-1..2);
        for number in [-1.0, -0.0, 1.0] {
            assert!(range.contains(number), "{number}");
        }
        for number in [
            -2.0,
            2.0,
            0.5,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
        ] {
            assert!(!range.contains(number), "{number}");
        }
        let wide = ActionRange::Integers(1 - MOST..MOST);
        for power in 51..=1023 {
            for number in [2f64.powi(power), -(2f64.powi(power))] {
                assert!(!wide.contains(number), "{number}");
                assert!(!wide.contains(number.next_up()), "{number}");
                assert!(
                    !range.contains(number) && !range.contains(1.5 * number),
                    "{number}"
                );
            }
        }
        assert!(wide.contains((MOST - 1) as f64) && wide.contains((1 - MOST) as f64));
        assert_eq!(range.to_string(), "one of -1..=1");
        assert_eq!(range.neutral(), -1.0);
    }

    #[test]
    fn reals_include_their_bounds() {
        let space = |low, high| Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low,
            high,
        };
        let ranges = action_ranges(&space(Bound::All(-2.0), Bound::Each(vec![2.0, 0.1])));
        let [first, second] = &ranges[..] else {
            panic!("{ranges:?}")
        };
        for number in [-2.0, 2.0, 1e-300] {
            assert!(first.contains(number), "{number}");
        }
        for number in [2.0f64.next_up(), -2.5, f64::NAN, f64::INFINITY] {
            assert!(!first.contains(number), "{number}");
        }
        assert_eq!(first.to_string(), "in [-2, 2]");
        assert!(second.contains(f64::from(0.1f32)));
        assert_eq!(first.neutral(), 0.0);
        let above = ActionRange::Reals {
            low: 1.0,
            high: 2.0,
        };
        assert_eq!(above.neutral(), 1.0);
        // Where a bound is infinite, the numbers are those of float32.
        let unbounded = space(Bound::All(f64::NEG_INFINITY), Bound::All(f64::INFINITY));
        let range = &action_ranges(&unbounded)[0];
        assert!(range.contains(f64::from(f32::MAX)));
        assert!(!range.contains(f64::INFINITY) && !range.contains(1e300));
    }

    #[test]
    fn every_number_has_its_range() {
        let integers = |n| ActionRange::Integers(0..n);
        let discrete = Space::Discrete { n: 3, start: 5 };
        assert_eq!(action_ranges(&discrete), [ActionRange::Integers(5..8)]);
        let several = Space::MultiDiscrete { nvec: vec![2, 4] };
        assert_eq!(action_ranges(&several), [integers(2), integers(4)]);
        let bits = Space::MultiBinary { n: 2 };
        assert_eq!(action_ranges(&bits), [integers(2), integers(2)]);
    }
}
