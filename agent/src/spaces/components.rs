//! The components of an action: choices and numbers. An action is one 32-bit number for each component, in the order of
//! the space's flat value: a `Tuple`'s parts in their order, a `Dict`'s by their sorted names, and an array in C order.
//!
//! | space | components |
//! |---|---|
//! | `Discrete(n)` | a choice of n |
//! | `MultiDiscrete` | a choice for each position |
//! | `MultiBinary` | a choice of two for each bit |
//! | `Box` of float32 | a number for each element |
//! | `Tuple`, `Dict` | those of their parts |

use env_protocol::{Dtype, Space};

use super::UnsupportedSpace;

/// One component of an action. Of a choice it is its number, counted from 0 wherever a `Discrete` starts; of a number, its
/// bits as float32 in the agents' [unit](Unit), before it is clipped. An action is one of them for each component; the
/// wire and the terminal have numbers of their own, which [`Component`] converts.
pub type Choice = u32;

/// Returns the number of a component that is one.
pub fn number(choice: Choice) -> f32 {
    f32::from_bits(choice)
}

/// Returns the component of a number.
pub fn of_number(number: f32) -> Choice {
    number.to_bits()
}

/// Most choices and numbers of all components together.
const MAX_OUTPUTS: usize = 65_536;

/// Integers up to twice this, either side of 0, are exact in double precision.
const MAX_EXACT: u64 = 1 << 52;

/// A component as the environment's space has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Component {
    /// One of `start..start + n`.
    Choice {
        /// The least.
        start: i64,
        /// How many there are, at least 1.
        n: usize,
    },
    /// A number.
    Number(Unit),
}

/// The unit in which agents choose a number. Where both bounds are finite, −1 and 1 stand for them; elsewhere the number
/// stands for itself. Agents draw numbers from distributions without bounds, and clip what is beyond when it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    low: f32,
    high: f32,
}

impl Unit {
    /// The unit of a number between these bounds, of which either may be infinite; `None` if no float32 lies between them.
    pub fn new(low: f64, high: f64) -> Option<Self> {
        // Rounded inwards: what is sent must be within the space's own bounds.
        let [mut inner_low, mut inner_high] = [low, high].map(|bound| bound as f32);
        if f64::from(inner_low) < low {
            inner_low = inner_low.next_up();
        }
        if f64::from(inner_high) > high {
            inner_high = inner_high.next_down();
        }
        let is_known = !low.is_nan() && !high.is_nan() && inner_low <= inner_high;
        let is_open = inner_low < f32::INFINITY && inner_high > f32::NEG_INFINITY;
        (is_known && is_open).then_some(Self {
            low: inner_low,
            high: inner_high,
        })
    }

    /// Returns the bounds in the space.
    pub fn bounds(self) -> [f32; 2] {
        [self.low, self.high]
    }

    /// Returns the middle of the bounds' distance, if −1 and 1 stand for them.
    pub fn half(self) -> Option<f32> {
        let half = 0.5 * (self.high - self.low);
        (half.is_finite() && half > 0.0).then_some(half)
    }

    /// Returns the bounds in this unit.
    pub fn limits(self) -> [f32; 2] {
        match self.half() {
            Some(_) => [-1.0, 1.0],
            None => self.bounds(),
        }
    }

    /// Returns the nearest number within the bounds; both are in this unit.
    pub fn clip(self, number: f32) -> f32 {
        let [low, high] = self.limits();
        number.clamp(low, high)
    }

    /// Returns a number as the space has it: clipped, then `low + (x + 1) · (high − low) / 2`.
    pub fn to_space(self, number: f32) -> f32 {
        let clipped = self.clip(number);
        match self.half() {
            Some(half) => (self.low + (clipped + 1.0) * half).clamp(self.low, self.high),
            None => clipped,
        }
    }

    /// Returns a number of the space in this unit.
    pub fn of_space(self, number: f32) -> f32 {
        match self.half() {
            Some(half) => (number - self.low) / half - 1.0,
            None => number,
        }
    }
}

impl Component {
    /// Returns a component of an action as the space has it.
    pub fn to_space(self, choice: Choice) -> f64 {
        match self {
            Self::Choice { start, .. } => (start + i64::from(choice)) as f64,
            Self::Number(unit) => unit.to_space(number(choice)).into(),
        }
    }

    /// Returns the component of an action that has this number in the space; `None` if there is none, or it is beyond the
    /// bounds of the space.
    pub fn of_space(self, number: f64) -> Option<Choice> {
        match self {
            Self::Choice { start, n } => {
                let is_whole = number.fract() == 0.0;
                let choice = is_whole.then(|| (number as i64).checked_sub(start))?;
                let choice = usize::try_from(choice?).ok();
                let choice = choice.filter(|&choice| choice < n)?;
                Choice::try_from(choice).ok()
            }
            Self::Number(unit) => {
                let [low, high] = unit.bounds();
                let number = number as f32;
                let is_inside = number.is_finite() && low <= number && number <= high;
                is_inside.then(|| of_number(unit.of_space(number)))
            }
        }
    }
}

/// Returns the components of the actions of a space.
///
/// # Errors
/// A space that the agents cannot play: an array of another type, one without an element, or with more than 65,536 choices
/// and numbers of all components together.
pub fn components(space: &Space) -> Result<Vec<Component>, UnsupportedSpace> {
    let unsupported = |detail: String| UnsupportedSpace {
        what: "action",
        detail,
    };
    let mut components = Vec::new();
    append(space, &mut components).map_err(unsupported)?;
    let width = |component: &Component| match *component {
        Component::Choice { n, .. } => n,
        Component::Number(_) => 1,
    };
    let outputs = components.iter().map(width);
    let outputs = outputs.fold(0, |sum: usize, n| sum.saturating_add(n));
    if !(1..=MAX_OUTPUTS).contains(&outputs) {
        return Err(unsupported(too_many(space)));
    }
    Ok(components)
}

fn too_many(space: &Space) -> String {
    format!(
        "{space:?}; the agents choose from 1 to {MAX_OUTPUTS} actions, of all components together"
    )
}

fn append(space: &Space, components: &mut Vec<Component>) -> Result<(), String> {
    let choice = |start: i64, n: i64| {
        if start.unsigned_abs() > MAX_EXACT {
            return Err(format!(
                "a Discrete that starts at {start}; the agents take those within ±2⁵²"
            ));
        }
        let count = usize::try_from(n).ok();
        let count = count.filter(|count| (1..=MAX_OUTPUTS).contains(count));
        let n = count.ok_or_else(|| too_many(space))?;
        Ok::<_, String>(Component::Choice { start, n })
    };
    match space {
        Space::Discrete { n, start } => components.push(choice(*start, *n)?),
        Space::MultiDiscrete { nvec } => {
            for &n in nvec {
                components.push(choice(0, n)?);
            }
        }
        Space::MultiBinary { n } => {
            if *n > MAX_OUTPUTS {
                return Err(too_many(space));
            }
            components.extend(vec![Component::Choice { start: 0, n: 2 }; *n]);
        }
        Space::Box {
            shape,
            dtype,
            low,
            high,
        } => {
            if *dtype != Dtype::Float32 {
                return Err(format!(
                    "a Box of {dtype}; the agents take those of float32"
                ));
            }
            let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let count = count.filter(|&count| count <= MAX_OUTPUTS);
            for i in 0..count.ok_or_else(|| too_many(space))? {
                let (low, high) = (low.at(i), high.at(i));
                let unit = Unit::new(low, high);
                let unit = unit.ok_or_else(|| {
                    format!("element {i} of a Box has no float32 from {low} to {high}")
                })?;
                components.push(Component::Number(unit));
            }
        }
        Space::Tuple { spaces } => {
            for space in spaces {
                append(space, components)?;
            }
        }
        Space::Dict { spaces } => {
            for space in spaces.values() {
                append(space, components)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(space: &str) -> Result<Vec<Component>, UnsupportedSpace> {
        components(&serde_json::from_str(space).unwrap())
    }

    const NUMBERS: &str = r#"{"type":"Box","shape":[2,2],"dtype":"float32",
        "low":[-2.0,0.0,"-Infinity",1.0],"high":[2.0,"Infinity",3.0,1.0]}"#;

    fn units() -> Vec<Unit> {
        let unit = |component| match component {
            Component::Number(unit) => unit,
            Component::Choice { .. } => unreachable!("a number"),
        };
        of(NUMBERS).unwrap().into_iter().map(unit).collect()
    }

    #[test]
    fn bounds_are_one_unit_from_the_middle() {
        let [both, above, below, one] = units()[..] else {
            panic!("four numbers")
        };
        let seen = [-9.0, -1.0, -0.5, 0.0, 1.0, 1.5].map(|x| both.to_space(x));
        assert_eq!(seen, [-2.0, -2.0, -1.0, 0.0, 2.0, 2.0]);
        assert_eq!([-2.0, 0.0, 1.0].map(|y| both.of_space(y)), [-1.0, 0.0, 0.5]);
        assert_eq!([-3.0, 7.5].map(|x| above.to_space(x)), [0.0, 7.5]);
        assert_eq!([-7.5, 4.0].map(|x| below.to_space(x)), [-7.5, 3.0]);
        assert_eq!((below.of_space(-7.5), above.of_space(7.5)), (-7.5, 7.5));
        assert_eq!([-1.0, 1.0, 3.0].map(|x| one.to_space(x)), [1.0; 3]);
        // What is clipped is shown clipped.
        assert_eq!(
            (both.clip(-9.0), above.clip(-9.0), above.clip(9.0)),
            (-1.0, 0.0, 9.0)
        );
    }

    /// 0.1 as float32 is above 0.1, and −0.1 below −0.1.
    #[test]
    fn no_number_is_sent_beyond_the_bounds() {
        let mut bounds = vec![(-0.1, 0.1), (0.3, 0.7), (-1e30, 1e30), (1e-40, 1e-38)];
        bounds.extend((1..200).map(|i| (f64::from(i) / -7.0, f64::from(i) / 3.0)));
        for (low, high) in bounds {
            let unit = Unit::new(low, high).unwrap();
            for x in [-1.0, 1.0, -0.999_999_94, 0.999_999_94, 5.0, -5.0] {
                let sent = f64::from(unit.to_space(x));
                assert!(low <= sent && sent <= high, "{low} to {high}: {sent}");
            }
        }
        assert_eq!(Unit::new(0.1, 0.1), None);
        assert_eq!(Unit::new(1.0, 0.0), None);
        assert_eq!(Unit::new(f64::NAN, 0.0), None);
        assert_eq!(Unit::new(f64::INFINITY, f64::INFINITY), None);
        // Bounds so far apart that their distance is none mean that there are none.
        let widest = Unit::new(f64::from(f32::MIN), f64::from(f32::MAX)).unwrap();
        assert_eq!(widest.to_space(2.5), 2.5);
    }

    #[test]
    fn components_are_in_the_order_of_the_flat_value() {
        let choice = r#"{"type":"Discrete","n":3,"start":-1}"#;
        let bits = r#"{"type":"MultiBinary","n":2}"#;
        let many = r#"{"type":"MultiDiscrete","nvec":[4,5]}"#;
        let found = of(&format!(
            r#"{{"type":"Dict","spaces":{{"b":{choice},"a":{{"type":"Tuple","spaces":[{bits},{many},{NUMBERS}]}}}}}}"#
        ));
        let of_choice = |start, n| Component::Choice { start, n };
        let mut expected = vec![of_choice(0, 2); 2];
        expected.extend([of_choice(0, 4), of_choice(0, 5)]);
        expected.extend(units().into_iter().map(Component::Number));
        expected.push(of_choice(-1, 3));
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn components_are_converted_both_ways() {
        let choice = Component::Choice { start: -1, n: 3 };
        assert_eq!([0, 2].map(|c| choice.to_space(c)), [-1.0, 1.0]);
        assert_eq!([-1.0, 1.0].map(|x| choice.of_space(x)), [Some(0), Some(2)]);
        for wrong in [-2.0, 2.0, 0.5, f64::NAN, f64::INFINITY, -1e300] {
            assert_eq!(choice.of_space(wrong), None, "{wrong}");
        }
        let number = Component::Number(units()[0]);
        assert_eq!(number.of_space(1.0), Some(of_number(0.5)));
        assert_eq!(number.to_space(of_number(0.5)), 1.0);
        for wrong in [-2.1, 2.1, f64::NAN, f64::INFINITY] {
            assert_eq!(number.of_space(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn other_spaces_are_refused() {
        let boxed = |shape: &str, dtype: &str, high: &str| {
            format!(r#"{{"type":"Box","shape":{shape},"dtype":"{dtype}","low":0.0,"high":{high}}}"#)
        };
        for space in [
            r#"{"type":"Discrete","n":0,"start":0}"#,
            r#"{"type":"Discrete","n":65537,"start":0}"#,
            r#"{"type":"Discrete","n":2,"start":-4503599627370497}"#,
            r#"{"type":"MultiDiscrete","nvec":[]}"#,
            r#"{"type":"MultiDiscrete","nvec":[2,-1]}"#,
            r#"{"type":"MultiDiscrete","nvec":[65536,1]}"#,
            r#"{"type":"MultiBinary","n":0}"#,
            r#"{"type":"MultiBinary","n":32769}"#,
            r#"{"type":"Tuple","spaces":[]}"#,
            &boxed("[2]", "float64", "1.0"),
            &boxed("[2]", "int64", "1.0"),
            &boxed("[0]", "float32", "1.0"),
            &boxed("[65537]", "float32", "1.0"),
            &boxed("[4294967296,4294967296]", "float32", "1.0"),
            &boxed("[2]", "float32", "-1.0"),
            &boxed("[2]", "float32", "[1.0]"),
        ] {
            let error = of(space).unwrap_err();
            assert!(
                matches!(error, UnsupportedSpace { what: "action", .. }),
                "{space}: {error}"
            );
        }
    }
}
