//! From values of a space to the numbers that a network takes.
//!
//! It takes two steps, because an observation is kept flat (in replies, rollouts and checkpoints) and encoded where it
//! becomes an input. [`flatten`] puts a batch's arrays into one row a lane: a `Tuple`'s parts in their order, a `Dict`'s
//! by their sorted names. [`SpaceEncoder`] turns such a row into inputs:
//!
//! | space | inputs |
//! |---|---|
//! | `Box` | its numbers as they are, in C order; integers, too, however wide their range |
//! | `Discrete(n)` | one-hot over `start..start + n` |
//! | `MultiDiscrete` | a one-hot for each position, one after the other |
//! | `MultiBinary` | its bits |
//! | `Tuple`, `Dict` | those of their parts |
//!
//! Numbers are single precision: integers beyond 2²⁴ lose their last digits. A box is not scaled to its bounds, since many
//! have none; what has large numbers is better served by a wrapper of the environment that scales them.

use env_protocol::{Array, Bound, Space, Value};

use super::UnsupportedSpace;

/// Most inputs that an observation is encoded as.
const MAX_SIZE: usize = 65_536;

/// Integers up to this, either side of 0, are exact in single precision.
const MAX_EXACT: i64 = 1 << 24;

/// Turns flat observations into inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceEncoder {
    parts: Vec<Part>,
    flat_size: usize,
    size: usize,
}

/// A part of a flat observation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    /// So many numbers, taken as they are.
    Numbers(usize),
    /// One of `start..start + n`.
    OneHot { n: usize, start: i64 },
}

/// A number of an encoded observation.
#[derive(Clone, Debug, PartialEq)]
pub struct InputColumn {
    /// The number of the flat observation that it is made of.
    pub source: usize,
    /// It is 1 where that number is this choice, else 0; without a choice, it is the number itself.
    pub choice: Option<i64>,
    /// The name of the innermost `Dict` entry that holds the number; `None` outside of a `Dict`.
    pub name: Option<String>,
    /// The least and the greatest value of that number, if both are finite.
    pub bounds: Option<[f32; 2]>,
    /// Where it is in a `Box` of three axes, a raster: channel, row and column.
    pub place: Option<[usize; 3]>,
}

impl SpaceEncoder {
    /// An encoder of observations in this space.
    ///
    /// # Errors
    /// A space without numbers, or of more than 65,536 inputs.
    pub fn new(space: &Space) -> Result<Self, UnsupportedSpace> {
        let mut parts = Vec::new();
        append_parts(space, &mut parts).map_err(unsupported)?;
        let size = parts.iter().map(|part| part.size()).sum();
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(unsupported(format!(
                "it encodes as {size} numbers, and the agents take 1 to {MAX_SIZE}"
            )));
        }
        Ok(Self {
            flat_size: parts.iter().map(|part| part.flat_size()).sum(),
            parts,
            size,
        })
    }

    /// Numbers in a flat observation.
    pub fn flat_size(&self) -> usize {
        self.flat_size
    }

    /// Numbers in an encoded observation.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Appends the encoding of a flat observation. A number that is no choice of its part, as rows without meaning may
    /// have them, is encoded as none of them.
    pub fn encode(&self, observation: &[f32], inputs: &mut Vec<f32>) {
        let mut rest = observation;
        for part in &self.parts {
            let (numbers, after) = rest.split_at(part.flat_size());
            rest = after;
            match *part {
                Part::Numbers(_) => inputs.extend_from_slice(numbers),
                Part::OneHot { n, start } => {
                    let first = inputs.len();
                    inputs.resize(first + n, 0.0);
                    let choice = usize::try_from(numbers[0] as i64 - start);
                    if let Ok(choice) = choice
                        && choice < n
                    {
                        inputs[first + choice] = 1.0;
                    }
                }
            }
        }
    }
}

/// Returns the meaning of each number that an observation in this space is encoded as.
pub fn input_columns(space: &Space) -> Vec<InputColumn> {
    let mut columns = Vec::new();
    append_input_columns(space, None, &mut 0, &mut columns);
    columns
}

/// Appends the columns of a space whose first number is number `source` of the flat observation.
fn append_input_columns(
    space: &Space,
    name: Option<&str>,
    source: &mut usize,
    columns: &mut Vec<InputColumn>,
) {
    let mut append = |choices: &mut dyn Iterator<Item = Option<i64>>, bounds: [f64; 2], place| {
        let is_bounded = bounds.iter().all(|bound| bound.is_finite());
        columns.extend(choices.map(|choice| InputColumn {
            source: *source,
            choice,
            name: name.map(str::to_owned),
            bounds: is_bounded.then_some(bounds.map(|bound| bound as f32)),
            place,
        }));
        *source += 1;
    };
    let mut one_hot = |start: i64, n: i64| {
        let end = start.saturating_add(n);
        let bounds = [start as f64, (end - 1) as f64];
        append(&mut (start..end).map(Some), bounds, None);
    };
    match space {
        Space::Discrete { n, start } => one_hot(*start, *n),
        Space::MultiDiscrete { nvec } => nvec.iter().for_each(|&n| one_hot(0, n)),
        Space::MultiBinary { n } => {
            (0..*n).for_each(|_| append(&mut std::iter::once(None), [0.0, 1.0], None));
        }
        Space::Box {
            shape, low, high, ..
        } => {
            for i in 0..space.flat_size() {
                let place = match shape[..] {
                    [_, rows, columns] => {
                        Some([i / (rows * columns), i / columns % rows, i % columns])
                    }
                    _ => None,
                };
                append(&mut std::iter::once(None), [low.at(i), high.at(i)], place);
            }
        }
        Space::Tuple { spaces } => {
            for space in spaces {
                append_input_columns(space, name, source, columns);
            }
        }
        Space::Dict { spaces } => {
            for (name, space) in spaces {
                append_input_columns(space, Some(name), source, columns);
            }
        }
    }
}

impl Part {
    fn flat_size(self) -> usize {
        match self {
            Part::Numbers(count) => count,
            Part::OneHot { .. } => 1,
        }
    }

    fn size(self) -> usize {
        match self {
            Part::Numbers(count) => count,
            Part::OneHot { n, .. } => n,
        }
    }
}

fn append_parts(space: &Space, parts: &mut Vec<Part>) -> Result<(), String> {
    match space {
        Space::Box { shape, .. } => {
            let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let count = count.filter(|&count| count <= MAX_SIZE);
            let too_many = || format!("a Box of {shape:?} has more than {MAX_SIZE} numbers");
            parts.push(Part::Numbers(count.ok_or_else(too_many)?));
        }
        Space::MultiBinary { n } => parts.push(Part::Numbers((*n).min(MAX_SIZE + 1))),
        Space::Discrete { n, start } => parts.push(one_hot(*n, *start)?),
        Space::MultiDiscrete { nvec } => {
            for &n in nvec {
                parts.push(one_hot(n, 0)?);
            }
        }
        Space::Tuple { spaces } => {
            for space in spaces {
                append_parts(space, parts)?;
            }
        }
        Space::Dict { spaces } => {
            for space in spaces.values() {
                append_parts(space, parts)?;
            }
        }
    }
    Ok(())
}

fn one_hot(n: i64, start: i64) -> Result<Part, String> {
    let count = usize::try_from(n).ok();
    let count = count.filter(|count| (1..=MAX_SIZE).contains(count));
    let n = count.ok_or_else(|| format!("a one-hot of {n} choices; 1 to {MAX_SIZE} are taken"))?;
    if start < -MAX_EXACT || start > MAX_EXACT - n as i64 {
        return Err(format!(
            "a Discrete that starts at {start}: only numbers within ±2²⁴ differ in single precision"
        ));
    }
    Ok(Part::OneHot { n, start })
}

fn unsupported(detail: String) -> UnsupportedSpace {
    UnsupportedSpace {
        what: "observation",
        detail,
    }
}

/// The numbers of a batch of observations, `[lanes, flat_size]`. Without a copy where the batch is one float32 array.
///
/// # Errors
/// Says what is not as the space has it.
pub fn flatten(space: &Space, batch: Value, lanes: usize) -> Result<Vec<f32>, String> {
    let mut columns = Vec::new();
    append_columns(space, batch, lanes, &mut columns)?;
    if columns.len() == 1 {
        return Ok(columns.swap_remove(0).1);
    }
    let flat_size: usize = columns.iter().map(|(width, _)| width).sum();
    let mut rows = Vec::with_capacity(lanes * flat_size);
    for lane in 0..lanes {
        for (width, numbers) in &columns {
            rows.extend_from_slice(&numbers[lane * width..][..*width]);
        }
    }
    Ok(rows)
}

/// Appends each array of a batch, with the numbers that a lane has in it.
fn append_columns(
    space: &Space,
    batch: Value,
    lanes: usize,
    columns: &mut Vec<(usize, Vec<f32>)>,
) -> Result<(), String> {
    match (space, batch) {
        (Space::Tuple { spaces }, Value::Tuple(parts)) if parts.len() == spaces.len() => spaces
            .iter()
            .zip(parts)
            .try_for_each(|(space, part)| append_columns(space, part, lanes, columns)),
        (Space::Dict { spaces }, Value::Dict(mut parts)) if parts.len() == spaces.len() => {
            for (name, space) in spaces {
                let part = parts
                    .remove(name)
                    .ok_or_else(|| format!("an observation has no {name:?}"))?;
                append_columns(space, part, lanes, columns)?;
            }
            Ok(())
        }
        (Space::Tuple { .. } | Space::Dict { .. }, other) => {
            Err(format!("observations are not of {space:?}: {other:?}"))
        }
        (leaf, Value::Array(array)) => {
            let width = leaf.flat_size();
            columns.push((width, numbers(array, lanes * width)?));
            Ok(())
        }
        (leaf, other) => Err(format!("observations of {leaf:?} are no array: {other:?}")),
    }
}

fn numbers(array: Array, wanted: usize) -> Result<Vec<f32>, String> {
    let shape = array.shape().to_vec();
    let numbers = array.into_f32s();
    if numbers.len() == wanted {
        Ok(numbers)
    } else {
        Err(format!(
            "observations have the shape {shape:?}, and {wanted} numbers are needed"
        ))
    }
}

/// The class of an observation's first number, read from an encoded observation: the whole number
/// that it rounds to, or the choice of a one-hot.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstNumber {
    lowest: i64,
    classes: usize,
    is_one_hot: bool,
}

impl FirstNumber {
    /// The first number of observations in this space; `None` where it has no bounds, or leaves them more than `most`
    /// classes.
    pub fn new(space: &Space, most: usize) -> Option<Self> {
        let (lowest, highest, is_one_hot) = match space {
            Space::Box { low, high, .. } => {
                let (low, high) = (first_bound(low)?, first_bound(high)?);
                let finite = low.is_finite() && high.is_finite();
                let (low, high) = finite.then_some((low.round(), high.round()))?;
                (low as i64, high as i64, false)
            }
            Space::MultiBinary { .. } => (0, 1, false),
            Space::Discrete { n, start } => (*start, start.checked_add(n - 1)?, true),
            Space::MultiDiscrete { nvec } => (0, nvec.first()? - 1, true),
            Space::Tuple { spaces } => return Self::new(spaces.first()?, most),
            Space::Dict { spaces } => return Self::new(spaces.values().next()?, most),
        };
        let classes = usize::try_from(highest.checked_sub(lowest)?).ok()? + 1;
        (classes <= most).then_some(Self {
            lowest,
            classes,
            is_one_hot,
        })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class of an encoded observation, from 0.
    pub fn class(&self, inputs: &[f32]) -> u32 {
        if self.is_one_hot {
            let choices = &inputs[..self.classes];
            let choice = choices.iter().position(|&x| x == 1.0);
            return choice.unwrap_or_default() as u32;
        }
        let class = inputs[0].round() as i64 - self.lowest;
        class.clamp(0, self.classes as i64 - 1) as u32
    }
}

fn first_bound(bound: &Bound) -> Option<f64> {
    match bound {
        Bound::All(bound) => Some(*bound),
        Bound::Each(bounds) => bounds.first().copied(),
    }
}

#[cfg(test)]
mod tests;
