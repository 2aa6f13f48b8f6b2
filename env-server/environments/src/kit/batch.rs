//! Batches for the wire: from rows of numbers to the arrays of a space.

use std::borrow::Cow;

use env_protocol::{Array, Data, Dtype, Space, Value};

use crate::Element;

/// Turns the rows of a batch into a value of the space.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    num_envs: usize,
    row: usize,
    space: Space,
    /// Shape `[num_envs, …]`, where the batch is one array that holds exactly the numbers of the
    /// rows.
    whole: Option<Vec<usize>>,
}

impl Layout {
    /// Makes the layout of `num_envs` rows of `T`, each an element of the space.
    pub(crate) fn new<T: Element>(space: Space, num_envs: usize) -> Self {
        let whole = match space.shape() {
            Some(shape) if space.dtype() == Some(T::DTYPE) => {
                Some([&[num_envs], shape.as_slice()].concat())
            }
            _ => None,
        };
        Layout {
            num_envs,
            row: space.flat_size(),
            space,
            whole,
        }
    }

    /// Numbers in a row.
    pub(crate) fn row(&self) -> usize {
        self.row
    }

    /// Number of rows.
    pub(crate) fn num_envs(&self) -> usize {
        self.num_envs
    }

    /// The space of a row.
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// Returns the batch as a value in which every array is `[num_envs, …]`.
    pub(crate) fn value<T: Element>(&self, numbers: Cow<'_, [T]>) -> Value {
        match &self.whole {
            Some(shape) => array(shape.clone(), T::into_data(numbers.into_owned())),
            None => self.split(&self.space, &numbers, &mut 0),
        }
    }

    /// Returns the part of the batch that starts at `offset` in each row, and moves `offset` past
    /// it.
    fn split<T: Element>(&self, space: &Space, numbers: &[T], offset: &mut usize) -> Value {
        match space {
            Space::Tuple { spaces } => {
                let parts = spaces.iter().map(|s| self.split(s, numbers, offset));
                Value::Tuple(parts.collect())
            }
            Space::Dict { spaces } => {
                let parts = spaces.iter();
                let parts = parts.map(|(name, s)| (name.clone(), self.split(s, numbers, offset)));
                Value::Dict(parts.collect())
            }
            leaf => {
                let width = leaf.flat_size();
                let columns = *offset..*offset + width;
                *offset += width;
                let shape = leaf.shape().into_iter().flatten();
                let shape = std::iter::once(self.num_envs).chain(shape).collect();
                let rows = numbers.chunks_exact(self.row);
                let numbers = rows.flat_map(|row| row[columns.clone()].iter().copied());
                array(shape, data(leaf.dtype(), numbers))
            }
        }
    }
}

fn array(shape: Vec<usize>, data: Data) -> Value {
    Array::new(shape, data)
        .expect("rows fill their shape")
        .into()
}

/// Converts numbers to this type.
fn data<T: Element>(dtype: Option<Dtype>, numbers: impl Iterator<Item = T>) -> Data {
    let numbers = numbers.map(Element::to_f64);
    match dtype {
        Some(Dtype::Float32) => Data::Float32(numbers.map(|x| x as f32).collect()),
        Some(Dtype::Float64) => Data::Float64(numbers.collect()),
        Some(Dtype::Uint8) => Data::Uint8(numbers.map(|x| x as u8).collect()),
        Some(Dtype::Bool) => Data::Bool(numbers.map(|x| x != 0.0).collect()),
        _ => Data::Int64(numbers.map(|x| x as i64).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env_protocol::Bound;
    use std::collections::BTreeMap;

    fn boxed(shape: Vec<usize>, dtype: Dtype) -> Space {
        Space::Box {
            shape,
            dtype,
            low: Bound::All(0.0),
            high: Bound::All(9.0),
        }
    }

    #[test]
    fn a_single_array_is_the_rows_as_they_are() {
        let layout = Layout::new::<f32>(boxed(vec![3], Dtype::Float32), 2);
        let numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let expected = Array::from_f32(vec![2, 3], numbers.to_vec()).unwrap();
        let value = layout.value(Cow::Borrowed(&numbers[..]));
        assert_eq!(value, Value::from(expected));
    }

    #[test]
    fn numbers_take_the_type_of_their_space() {
        let layout = Layout::new::<f32>(Space::Discrete { n: 5, start: 0 }, 3);
        let value = layout.value(Cow::Borrowed(&[4.0f32, 0.0, 1.0][..]));
        let expected = Array::from_i64(vec![3], vec![4, 0, 1]).unwrap();
        assert_eq!(value, Value::from(expected));
    }

    #[test]
    fn each_array_of_a_compound_space_takes_its_columns() {
        let pair = Space::Tuple {
            spaces: vec![
                Space::Discrete { n: 9, start: 0 },
                Space::MultiDiscrete { nvec: vec![9, 9] },
            ],
        };
        let space = Space::Dict {
            spaces: BTreeMap::from([
                ("a".to_owned(), boxed(vec![1], Dtype::Uint8)),
                ("b".to_owned(), pair),
            ]),
        };
        let layout = Layout::new::<i64>(space, 2);
        assert_eq!(layout.row(), 4);
        let value = layout.value(Cow::Borrowed(&[1i64, 2, 3, 4, 5, 6, 7, 8][..]));
        let bytes = Array::new(vec![2, 1], Data::Uint8(vec![1, 5])).unwrap();
        let first = Array::from_i64(vec![2], vec![2, 6]).unwrap();
        let second = Array::from_i64(vec![2, 2], vec![3, 4, 7, 8]).unwrap();
        let expected = Value::Dict(BTreeMap::from([
            ("a".to_owned(), bytes.into()),
            (
                "b".to_owned(),
                Value::Tuple(vec![first.into(), second.into()]),
            ),
        ]));
        assert_eq!(value, expected);
    }
}
