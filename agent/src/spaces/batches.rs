//! Actions of several lanes as values of the action space, and back: what clients and servers send.

use env_protocol::{Array, Data, Space, Value};

use super::components::{Choice, Component, components};

/// Returns the actions of lanes, `[lanes, components]`, as a batch of the space: arrays `[lanes, …]` of float32 for a
/// `Box`, clipped to its bounds, and of int64 for other spaces.
///
/// # Panics
/// On a space whose actions have other components.
pub fn to_value(space: &Space, actions: &[Choice], lanes: usize) -> Value {
    let of_lane = components(space).expect("a space that the agents play");
    let width = of_lane.len();
    assert_eq!(actions.len(), lanes * width, "one action for each lane");
    let columns = |first: usize, count: usize| {
        let rows = actions.chunks_exact(width);
        let of_lane = &of_lane[first..first + count];
        rows.flat_map(move |row| {
            let pairs = of_lane.iter().zip(&row[first..first + count]);
            pairs.map(|(component, &choice)| component.to_space(choice))
        })
    };
    batch(space, lanes, &mut 0, &|is_real, shape, first, count| {
        let numbers = columns(first, count);
        let data = match is_real {
            true => Data::Float32(numbers.map(|number| number as f32).collect()),
            false => Data::Int64(numbers.map(|number| number as i64).collect()),
        };
        Array::new(shape, data).expect("as many numbers as the space has")
    })
}

/// Builds a batch of arrays. `array` is told whether its numbers are real, its shape, its first component and how many it
/// has.
fn batch(
    space: &Space,
    lanes: usize,
    first: &mut usize,
    array: &dyn Fn(bool, Vec<usize>, usize, usize) -> Array,
) -> Value {
    match space {
        Space::Tuple { spaces } => {
            let parts = spaces.iter().map(|space| batch(space, lanes, first, array));
            Value::Tuple(parts.collect())
        }
        Space::Dict { spaces } => {
            let mut part = |space| batch(space, lanes, first, array);
            let parts = spaces
                .iter()
                .map(|(name, space)| (name.clone(), part(space)));
            Value::Dict(parts.collect())
        }
        leaf => {
            let shape = [&[lanes], &leaf.shape().unwrap_or_default()[..]].concat();
            let count = leaf.flat_size();
            *first += count;
            let is_real = matches!(leaf, Space::Box { .. });
            array(is_real, shape, *first - count, count).into()
        }
    }
}

/// Returns the actions of lanes, `[lanes, components]`, that a batch of the space holds.
///
/// # Errors
/// Says what is not as the space has it.
///
/// # Panics
/// On a space that the agents cannot play.
pub fn from_value(space: &Space, batch: Value, lanes: usize) -> Result<Vec<Choice>, String> {
    let of_lane = components(space).expect("a space that the agents play");
    let width = of_lane.len();
    let mut actions = vec![0; lanes * width];
    let mut first = 0;
    read(space, batch, lanes, &mut |array, count| {
        let of_leaf = &of_lane[first..first + count];
        for (at, number) in array.to_f64s().into_iter().enumerate() {
            let (lane, column) = (at / count, at % count);
            let choice = of_leaf[column].of_space(number);
            let choice = choice.ok_or_else(|| described(number, of_leaf[column]))?;
            actions[lane * width + first + column] = choice;
        }
        first += count;
        Ok(())
    })?;
    Ok(actions)
}

fn described(number: f64, component: Component) -> String {
    match component {
        Component::Choice { start, n } => {
            format!("{number} is not in {start}..{}", start + n as i64)
        }
        Component::Number(unit) => {
            let [low, high] = unit.bounds();
            format!("{number} is not in {low} to {high}")
        }
    }
}

/// Shows each array of a batch to `each`, with the components that a lane has in it.
fn read(
    space: &Space,
    batch: Value,
    lanes: usize,
    each: &mut dyn FnMut(Array, usize) -> Result<(), String>,
) -> Result<(), String> {
    match (space, batch) {
        (Space::Tuple { spaces }, Value::Tuple(parts)) if parts.len() == spaces.len() => {
            let mut pairs = spaces.iter().zip(parts);
            pairs.try_for_each(|(space, part)| read(space, part, lanes, each))
        }
        (Space::Dict { spaces }, Value::Dict(mut parts)) if parts.len() == spaces.len() => {
            spaces.iter().try_for_each(|(name, space)| {
                let part = parts.remove(name);
                let part = part.ok_or_else(|| format!("an action has no {name:?}"))?;
                read(space, part, lanes, each)
            })
        }
        (Space::Tuple { .. } | Space::Dict { .. }, _) => {
            Err(format!("actions are not of {space:?}"))
        }
        (leaf, Value::Array(array)) => {
            let needed = [&[lanes], &leaf.shape().unwrap_or_default()[..]].concat();
            if array.shape() != needed {
                let found = array.shape();
                return Err(format!("the shape is {found:?}, but {needed:?} is needed"));
            }
            let is_real = matches!(array.data(), Data::Float32(_) | Data::Float64(_));
            if is_real && !matches!(leaf, Space::Box { .. }) {
                return Err("actions must be integers".into());
            }
            each(array, leaf.flat_size())
        }
        (leaf, _) => Err(format!("actions of {leaf:?} are no array")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::spaces::components::of_number;

    fn space(json: &str) -> Space {
        serde_json::from_str(json).unwrap()
    }

    const NUMBERS: &str =
        r#"{"type":"Box","shape":[1,2],"dtype":"float32","low":-2.0,"high":[2.0,0.0]}"#;

    /// A choice of `−1..2`, and two numbers: components by the sorted names.
    fn mixture() -> Space {
        space(&format!(
            r#"{{"type":"Dict","spaces":{{"b":{NUMBERS},"a":{{"type":"Tuple","spaces":[
                {{"type":"Discrete","n":3,"start":-1}}]}}}}}}"#
        ))
    }

    #[test]
    fn batches_are_as_the_space_has_them() {
        let of = |space: &Space, actions: &[Choice], lanes| to_value(space, actions, lanes);
        let ints = |shape: &[usize], data: &[i64]| {
            Value::from(Array::from_i64(shape.to_vec(), data.to_vec()).unwrap())
        };
        let floats = |shape: &[usize], data: &[f32]| {
            Value::from(Array::from_f32(shape.to_vec(), data.to_vec()).unwrap())
        };
        let discrete = space(r#"{"type":"Discrete","n":3,"start":-1}"#);
        assert_eq!(of(&discrete, &[0, 2], 2), ints(&[2], &[-1, 1]));
        let bits = space(r#"{"type":"MultiBinary","n":2}"#);
        assert_eq!(of(&bits, &[0, 1, 1, 1], 2), ints(&[2, 2], &[0, 1, 1, 1]));
        let numbers = [-1.5, 1.0, 0.5, 0.5].map(of_number);
        let sent = floats(&[2, 1, 2], &[-2.0, 0.0, 1.0, -0.5]);
        assert_eq!(of(&space(NUMBERS), &numbers, 2), sent);
        let actions = [2, numbers[0], numbers[1], 0, numbers[2], numbers[3]];
        let choices = Value::Tuple(vec![ints(&[2], &[1, -1])]);
        let expected = Value::Dict(BTreeMap::from([("a".into(), choices), ("b".into(), sent)]));
        let sent = of(&mixture(), &actions, 2);
        assert_eq!(sent, expected);
        // What was beyond the bounds comes back as the bound.
        let clipped = [2, of_number(-1.0), numbers[1], 0, numbers[2], numbers[3]];
        assert_eq!(from_value(&mixture(), sent, 2), Ok(clipped.to_vec()));
    }

    #[test]
    fn other_batches_are_refused() {
        let array =
            |shape: &[usize], data: Data| Value::from(Array::new(shape.to_vec(), data).unwrap());
        let discrete = space(r#"{"type":"Discrete","n":3,"start":-1}"#);
        let numbers = space(NUMBERS);
        let floats = |data: &[f32]| array(&[1, 1, 2], Data::Float32(data.to_vec()));
        for (space, batch, said) in [
            (
                &discrete,
                array(&[1], Data::Int64(vec![2])),
                "2 is not in -1..2",
            ),
            (
                &discrete,
                array(&[1], Data::Float32(vec![0.0])),
                "must be integers",
            ),
            (
                &discrete,
                array(&[2], Data::Int64(vec![0, 0])),
                "[2], but [1] is needed",
            ),
            (&discrete, Value::Tuple(vec![]), "no array"),
            (&numbers, floats(&[0.0, 0.5]), "0.5 is not in -2 to 0"),
            (&numbers, floats(&[f32::NAN, 0.0]), "NaN is not in -2 to 2"),
            (&mixture(), floats(&[0.0, 0.0]), "not of Dict"),
        ] {
            let error = from_value(space, batch, 1).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
