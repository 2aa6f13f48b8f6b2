//! Checks the answers of hosts, and joins the batches of a vector's parts into one.

use std::collections::BTreeMap;

use env_protocol::{Array, Bound, Data, Dtype, Info, Space, Value};

/// Checks that a value is a batch of a space. `rows` says which lanes count; others may hold any
/// finite numbers.
///
/// # Errors
/// Says which part of the value is wrong.
pub(crate) fn check_batch(
    space: &Space,
    value: &Value,
    num_envs: usize,
    rows: Option<&[bool]>,
) -> Result<(), String> {
    let within = |name: &str, reason: String| format!("/{name}{reason}");
    match (space, value) {
        (Space::Dict { spaces }, Value::Dict(values)) => {
            if !spaces.keys().eq(values.keys()) {
                let found: Vec<_> = values.keys().collect();
                let wanted: Vec<_> = spaces.keys().collect();
                return Err(format!(": the entries are {found:?}, not {wanted:?}"));
            }
            spaces
                .iter()
                .zip(values.values())
                .try_for_each(|((name, space), value)| {
                    check_batch(space, value, num_envs, rows).map_err(|reason| within(name, reason))
                })
        }
        (Space::Tuple { spaces }, Value::Tuple(values)) => {
            if spaces.len() != values.len() {
                let (found, wanted) = (values.len(), spaces.len());
                return Err(format!(": a tuple of {found}, not of {wanted}"));
            }
            spaces
                .iter()
                .zip(values)
                .enumerate()
                .try_for_each(|(i, (space, value))| {
                    let checked = check_batch(space, value, num_envs, rows);
                    checked.map_err(|reason| within(&i.to_string(), reason))
                })
        }
        (Space::Dict { .. }, _) => Err(": it is not a map".to_owned()),
        (Space::Tuple { .. }, _) => Err(": it is not a list".to_owned()),
        (_, Value::Array(array)) => check_array(space, array, num_envs, rows),
        _ => Err(": it is not an array".to_owned()),
    }
}

fn check_array(
    space: &Space,
    array: &Array,
    num_envs: usize,
    rows: Option<&[bool]>,
) -> Result<(), String> {
    let mut shape = space.shape().unwrap_or_default();
    shape.insert(0, num_envs);
    if array.shape() != shape {
        let found = array.shape();
        return Err(format!(": the shape is {found:?}, not {shape:?}"));
    }
    let dtype = space.dtype().unwrap_or(Dtype::Int64);
    let is_right = match array.data() {
        Data::Float32(_) => dtype == Dtype::Float32,
        Data::Float64(_) => dtype == Dtype::Float64,
        Data::Bool(_) => dtype == Dtype::Bool,
        Data::Uint8(_) => dtype == Dtype::Uint8 || matches!(space, Space::MultiBinary { .. }),
        // The other integers are read as int64.
        Data::Int64(_) => !matches!(
            dtype,
            Dtype::Float32 | Dtype::Float64 | Dtype::Bool | Dtype::Uint8
        ),
    };
    if !is_right {
        let found = array.dtype();
        return Err(format!(": the dtype is {found}, not {dtype}"));
    }
    let range = Range::of(space);
    let outside = match array.data() {
        Data::Float32(x) => find(x, num_envs, rows, |i, x| range.has(i, x)),
        Data::Float64(x) => find(x, num_envs, rows, |i, x| range.has(i, x)),
        Data::Int64(x) => find(x, num_envs, rows, |i, x| range.has(i, x)),
        Data::Uint8(x) => find(x, num_envs, rows, |i, x| range.has(i, x)),
        Data::Bool(_) => None,
    };
    match outside {
        None => Ok(()),
        Some((lane, i)) => {
            let width = array.data().len() / num_envs;
            let number = array.to_f64s()[lane * width + i];
            let range = range.text(i);
            Err(format!(
                ": number {i} of lane {lane} is {number}, which is not {range}"
            ))
        }
    }
}

/// Returns the lane and the place of the first number that is not accepted. Those of rows that do
/// not count are only not to be infinite or NaN.
fn find<T: Copy + Into<Number>>(
    numbers: &[T],
    num_envs: usize,
    rows: Option<&[bool]>,
    is_good: impl Fn(usize, f64) -> bool,
) -> Option<(usize, usize)> {
    let width = numbers.len() / num_envs;
    if width == 0 {
        return None;
    }
    let mut lanes = numbers.chunks_exact(width).enumerate();
    lanes.find_map(|(lane, row)| {
        let counts = rows.is_none_or(|rows| rows[lane]);
        let mut row = row.iter().map(|&x| x.into().0).enumerate();
        let wrong = row.position(|(i, x)| match counts {
            true => !is_good(i, x),
            false => !x.is_finite(),
        })?;
        Some((lane, wrong))
    })
}

/// A number of any type as f64.
struct Number(f64);

impl From<f32> for Number {
    fn from(x: f32) -> Self {
        Number(x.into())
    }
}

impl From<f64> for Number {
    fn from(x: f64) -> Self {
        Number(x)
    }
}

impl From<i64> for Number {
    fn from(x: i64) -> Self {
        Number(x as f64)
    }
}

impl From<u8> for Number {
    fn from(x: u8) -> Self {
        Number(x.into())
    }
}

/// The numbers that a place of an element may have.
enum Range<'a> {
    Between(&'a Bound, &'a Bound),
    From(i64, i64),
    Below(&'a [i64]),
}

impl<'a> Range<'a> {
    fn of(space: &'a Space) -> Self {
        match space {
            Space::Box { low, high, .. } => Range::Between(low, high),
            Space::Discrete { n, start } => Range::From(*start, start.saturating_add(*n)),
            Space::MultiDiscrete { nvec } => Range::Below(nvec),
            Space::MultiBinary { .. } | Space::Tuple { .. } | Space::Dict { .. } => {
                Range::From(0, 2)
            }
        }
    }

    /// Whether it is a number in the range. The infinities are in none: JSON does not have them.
    #[inline]
    fn has(&self, i: usize, number: f64) -> bool {
        match self {
            Range::Between(Bound::All(low), Bound::All(high)) => {
                number.is_finite() && *low <= number && number <= *high
            }
            Range::Between(low, high) => {
                number.is_finite() && low.at(i) <= number && number <= high.at(i)
            }
            Range::From(start, end) => *start as f64 <= number && number < *end as f64,
            Range::Below(nvec) => 0.0 <= number && number < nvec[i] as f64,
        }
    }

    fn text(&self, i: usize) -> String {
        match self {
            Range::Between(low, high) => format!("in [{}, {}]", low.at(i), high.at(i)),
            Range::From(start, end) => format!("one of {start}..={}", end - 1),
            Range::Below(nvec) => format!("one of 0..={}", nvec[i] - 1),
        }
    }
}

/// Returns the numbers of a list with one finite number a lane.
pub(crate) fn rewards(array: Array, num_envs: usize) -> Result<Vec<f64>, String> {
    match (array.shape() == [num_envs], array.into_data()) {
        (true, Data::Float64(rewards)) => match rewards.iter().position(|x| !x.is_finite()) {
            None => Ok(rewards),
            Some(lane) => Err(format!("rewards: that of lane {lane} is {}", rewards[lane])),
        },
        _ => Err(format!(
            "rewards: they are not {num_envs} numbers of float64"
        )),
    }
}

/// Returns the flags of a list with one a lane.
pub(crate) fn flags(name: &str, array: Array, num_envs: usize) -> Result<Vec<bool>, String> {
    match (array.shape() == [num_envs], array.into_data()) {
        (true, Data::Bool(flags)) => Ok(flags),
        _ => Err(format!("{name}: they are not {num_envs} booleans")),
    }
}

/// Checks that infos have a row a lane, and a mask each.
pub(crate) fn check_infos(infos: &Info, num_envs: usize) -> Result<(), String> {
    for (name, value) in infos {
        let has_rows = |array: &Array| array.shape().first() == Some(&num_envs);
        let is_good = match name.strip_prefix('_') {
            Some(_) => {
                matches!(value, Value::Array(a) if matches!(a.data(), Data::Bool(_)) && a.shape() == [num_envs])
            }
            None => all_arrays(value, &has_rows) && infos.contains_key(&format!("_{name}")),
        };
        if !is_good {
            return Err(format!(
                "infos: {name:?} must be arrays of {num_envs} rows, with a mask {:?}",
                format!("_{name}")
            ));
        }
        let is_finite = |array: &Array| match array.data() {
            Data::Float32(x) => x.iter().all(|x| x.is_finite()),
            Data::Float64(x) => x.iter().all(|x| x.is_finite()),
            Data::Bool(_) | Data::Uint8(_) | Data::Int64(_) => true,
        };
        if !all_arrays(value, &is_finite) {
            return Err(format!("infos: {name:?} has numbers that are not finite"));
        }
    }
    Ok(())
}

fn all_arrays(value: &Value, test: &impl Fn(&Array) -> bool) -> bool {
    match value {
        Value::Array(array) => test(array),
        Value::Tuple(values) => values.iter().all(|value| all_arrays(value, test)),
        Value::Dict(values) => values.values().all(|value| all_arrays(value, test)),
    }
}

/// Joins batches of the same space, one after the other.
pub(crate) fn joined(parts: Vec<Value>) -> Value {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else {
        return Value::Tuple(Vec::new());
    };
    parts.fold(first, |whole, part| {
        append(whole, part).unwrap_or_else(|whole| whole)
    })
}

/// Appends rows; the unchanged value where they do not fit.
fn append(whole: Value, part: Value) -> Result<Value, Value> {
    match (whole, part) {
        (Value::Array(whole), Value::Array(part)) => append_array(whole, part)
            .map(Value::Array)
            .map_err(Value::Array),
        (Value::Tuple(whole), Value::Tuple(part)) if whole.len() == part.len() => {
            let pairs = whole.into_iter().zip(part);
            Ok(Value::Tuple(
                pairs
                    .map(|(a, b)| append(a, b).unwrap_or_else(|a| a))
                    .collect(),
            ))
        }
        (Value::Dict(whole), Value::Dict(mut part)) => {
            let entries = whole.into_iter().map(|(name, a)| {
                let joined = match part.remove(&name) {
                    Some(b) => append(a, b).unwrap_or_else(|a| a),
                    None => a,
                };
                (name, joined)
            });
            Ok(Value::Dict(entries.collect()))
        }
        (whole, _) => Err(whole),
    }
}

fn append_array(whole: Array, part: Array) -> Result<Array, Array> {
    if whole.shape().get(1..) != part.shape().get(1..) || whole.dtype() != part.dtype() {
        return Err(whole);
    }
    let mut shape = whole.shape().to_vec();
    shape[0] += part.shape()[0];
    let data = match (whole.into_data(), part.into_data()) {
        (Data::Bool(a), Data::Bool(b)) => Data::Bool([a, b].concat()),
        (Data::Uint8(a), Data::Uint8(b)) => Data::Uint8([a, b].concat()),
        (Data::Int64(a), Data::Int64(b)) => Data::Int64([a, b].concat()),
        (Data::Float32(a), Data::Float32(b)) => Data::Float32([a, b].concat()),
        (Data::Float64(a), Data::Float64(b)) => Data::Float64([a, b].concat()),
        (a, _) => a,
    };
    Ok(Array::new(shape, data).expect("the rows of both"))
}

/// Joins infos. A name that only some parts have is masked out in the others.
pub(crate) fn joined_infos(parts: Vec<(usize, Info)>) -> Info {
    if let [(_, only)] = &parts[..] {
        return only.clone();
    }
    let mut templates: BTreeMap<&String, &Value> = BTreeMap::new();
    for (_, infos) in &parts {
        for (name, value) in infos {
            templates.entry(name).or_insert(value);
        }
    }
    let is_kept = |infos: &Info, name: &String| {
        let template = templates.get(name);
        infos
            .get(name)
            .zip(template)
            .is_some_and(|(a, b)| is_alike(a, b))
    };
    let join = |(name, template): (&&String, &&Value)| {
        // A value that does not fit is masked out, too.
        let value = name.strip_prefix('_').map(str::to_owned);
        let value = value.filter(|value| templates.contains_key(value));
        let rows = parts.iter().map(|(num_envs, infos)| {
            let stays =
                is_kept(infos, name) && value.as_ref().is_none_or(|value| is_kept(infos, value));
            match infos.get(*name) {
                Some(value) if stays => value.clone(),
                _ => blank(template, *num_envs),
            }
        });
        ((*name).clone(), joined(rows.collect()))
    };
    templates.iter().map(join).collect()
}

/// Whether the rows of one value can stand under those of another.
fn is_alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.dtype() == b.dtype() && a.shape().get(1..) == b.shape().get(1..)
        }
        (Value::Tuple(a), Value::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_alike(a, b))
        }
        (Value::Dict(a), Value::Dict(b)) => {
            a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| is_alike(a, b))
        }
        _ => false,
    }
}

/// Returns rows of zeros.
fn blank(like: &Value, rows: usize) -> Value {
    match like {
        Value::Array(array) => {
            let mut shape = array.shape().to_vec();
            shape[0] = rows;
            let count = shape.iter().product();
            let data = match array.data() {
                Data::Bool(_) => Data::Bool(vec![false; count]),
                Data::Uint8(_) => Data::Uint8(vec![0; count]),
                Data::Int64(_) => Data::Int64(vec![0; count]),
                Data::Float32(_) => Data::Float32(vec![0.0; count]),
                Data::Float64(_) => Data::Float64(vec![0.0; count]),
            };
            Array::new(shape, data)
                .expect("as many zeros as it has room for")
                .into()
        }
        Value::Tuple(values) => {
            Value::Tuple(values.iter().map(|value| blank(value, rows)).collect())
        }
        Value::Dict(values) => {
            let entries = values.iter();
            Value::Dict(
                entries
                    .map(|(name, value)| (name.clone(), blank(value, rows)))
                    .collect(),
            )
        }
    }
}

/// Returns the batch of a space in which every number is 0.
pub(crate) fn zeros(space: &Space, num_envs: usize) -> Value {
    match space {
        Space::Dict { spaces } => {
            let entries = spaces.iter();
            Value::Dict(
                entries
                    .map(|(name, space)| (name.clone(), zeros(space, num_envs)))
                    .collect(),
            )
        }
        Space::Tuple { spaces } => {
            Value::Tuple(spaces.iter().map(|space| zeros(space, num_envs)).collect())
        }
        array => {
            let mut shape = array.shape().unwrap_or_default();
            shape.insert(0, num_envs);
            let count = shape.iter().product();
            let data = match array.dtype() {
                Some(Dtype::Bool) => Data::Bool(vec![false; count]),
                Some(Dtype::Uint8) => Data::Uint8(vec![0; count]),
                Some(Dtype::Float32) => Data::Float32(vec![0.0; count]),
                Some(Dtype::Float64) => Data::Float64(vec![0.0; count]),
                _ => Data::Int64(vec![0; count]),
            };
            Array::new(shape, data)
                .expect("as many zeros as it has room for")
                .into()
        }
    }
}

/// Feeds every number of a value to a digest.
pub(crate) fn feed(value: &Value, take: &mut impl FnMut(&[u8])) {
    match value {
        Value::Array(array) => match array.data() {
            Data::Bool(x) => x.iter().for_each(|&flag| take(&[u8::from(flag)])),
            Data::Uint8(x) => take(x),
            Data::Int64(x) => x.iter().for_each(|number| take(&number.to_le_bytes())),
            Data::Float32(x) => x.iter().for_each(|number| take(&number.to_le_bytes())),
            Data::Float64(x) => x.iter().for_each(|number| take(&number.to_le_bytes())),
        },
        Value::Tuple(values) => values.iter().for_each(|value| feed(value, take)),
        Value::Dict(values) => values.values().for_each(|value| feed(value, take)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(shape: &[usize], numbers: &[f32]) -> Value {
        Array::from_f32(shape.to_vec(), numbers.to_vec())
            .unwrap()
            .into()
    }

    fn unit() -> Space {
        Space::Box {
            shape: vec![2],
            dtype: Dtype::Float32,
            low: Bound::All(0.0),
            high: Bound::Each(vec![1.0, f64::INFINITY]),
        }
    }

    #[test]
    fn a_batch_must_have_the_shape_dtype_and_range_of_its_space() {
        let check = |value: &Value| check_batch(&unit(), value, 2, None);
        check(&floats(&[2, 2], &[0.0, 9.0, 1.0, 0.0])).unwrap();
        let refused = [
            (
                floats(&[1, 2], &[0.0, 0.0]),
                "the shape is [1, 2], not [2, 2]",
            ),
            (
                floats(&[2, 2], &[0.0, 0.0, 1.5, 0.0]),
                "number 0 of lane 1 is 1.5, which is not in [0, 1]",
            ),
            (
                floats(&[2, 2], &[0.0, f32::NAN, 0.0, 0.0]),
                "number 1 of lane 0 is NaN",
            ),
            (
                floats(&[2, 2], &[0.0, f32::INFINITY, 0.0, 0.0]),
                "number 1 of lane 0 is inf",
            ),
            (
                Array::from_i64(vec![2, 2], vec![0; 4]).unwrap().into(),
                "the dtype is int64, not float32",
            ),
            (Value::Tuple(Vec::new()), "not an array"),
        ];
        for (value, expected) in refused {
            let reason = check(&value).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn rows_that_do_not_count_may_hold_any_finite_numbers() {
        let value = floats(&[2, 2], &[0.0, 0.0, 9.0, 0.0]);
        check_batch(&unit(), &value, 2, Some(&[true, false])).unwrap();
        check_batch(&unit(), &value, 2, Some(&[false, true])).unwrap_err();
        let value = floats(&[2, 2], &[0.0, 0.0, f32::NAN, 0.0]);
        check_batch(&unit(), &value, 2, Some(&[true, false])).unwrap_err();
    }

    #[test]
    fn parts_of_an_observation_are_named() {
        let spaces = BTreeMap::from([
            ("a".to_owned(), Space::Discrete { n: 2, start: 1 }),
            (
                "b".to_owned(),
                Space::Tuple {
                    spaces: vec![unit()],
                },
            ),
        ]);
        let space = Space::Dict { spaces };
        let value = |a: i64, b: f32| {
            Value::Dict(BTreeMap::from([
                (
                    "a".to_owned(),
                    Array::from_i64(vec![1], vec![a]).unwrap().into(),
                ),
                (
                    "b".to_owned(),
                    Value::Tuple(vec![floats(&[1, 2], &[b, 0.0])]),
                ),
            ]))
        };
        check_batch(&space, &value(2, 0.0), 1, None).unwrap();
        let reason = check_batch(&space, &value(3, 0.0), 1, None).unwrap_err();
        assert_eq!(
            reason,
            "/a: number 0 of lane 0 is 3, which is not one of 1..=2"
        );
        let reason = check_batch(&space, &value(1, 2.0), 1, None).unwrap_err();
        assert!(reason.starts_with("/b/0: number 0"), "{reason}");
        check_batch(&space, &Value::Dict(BTreeMap::new()), 1, None).unwrap_err();
    }

    #[test]
    fn infos_that_only_some_parts_have_are_masked() {
        let has = |value: i64| {
            Info::from([
                (
                    "n".to_owned(),
                    Array::from_i64(vec![1], vec![value]).unwrap().into(),
                ),
                ("_n".to_owned(), Array::mask(vec![true]).into()),
            ])
        };
        let joined = joined_infos(vec![(1, has(5)), (2, Info::new())]);
        assert_eq!(
            joined["n"],
            Array::from_i64(vec![3], vec![5, 0, 0]).unwrap().into()
        );
        assert_eq!(joined["_n"], Array::mask(vec![true, false, false]).into());
        check_infos(&joined, 3).unwrap();
        check_infos(&joined, 2).unwrap_err();
        // A value of another dtype does not fit under those of the first part.
        let real: Value = Array::from_f32(vec![1], vec![1.5]).unwrap().into();
        let other = Info::from([
            ("n".to_owned(), real),
            ("_n".to_owned(), Array::mask(vec![true]).into()),
        ]);
        let mixed = joined_infos(vec![(1, has(5)), (1, other)]);
        assert_eq!(mixed["_n"], Array::mask(vec![true, false]).into());
        check_infos(&Info::from([("n".to_owned(), joined["n"].clone())]), 3).unwrap_err();
    }
}
