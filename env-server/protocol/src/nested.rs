//! Nested lists of numbers, the JSON form of arrays, read directly into flat elements.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use crate::array::{Array, ArrayError, Data, MAX_DIMS};

/// Builds an [`Array`] from nested lists. Lists of integers become int64, lists of booleans bool,
/// and one float anywhere makes the whole array float64.
#[derive(Default)]
pub(crate) struct Builder {
    /// Length of each dimension, `None` until the first list of that dimension has ended.
    shape: Vec<Option<usize>>,
    /// Whether a number has been read, after which the number of dimensions is fixed.
    has_numbers: bool,
    data: Option<Data>,
}

impl Builder {
    /// Returns the array, after everything has been read.
    pub(crate) fn finish(self) -> Result<Array, ArrayError> {
        let shape = self.shape.into_iter().map(|len| len.unwrap_or(0)).collect();
        Array::new(shape, self.data.unwrap_or(Data::Int64(Vec::new())))
    }

    fn push_bool(&mut self, flag: bool) -> Result<(), &'static str> {
        match self.data.get_or_insert_with(|| Data::Bool(Vec::new())) {
            Data::Bool(flags) => flags.push(flag),
            _ => return Err("booleans and numbers are mixed"),
        }
        Ok(())
    }

    fn push_i64(&mut self, number: i64) -> Result<(), &'static str> {
        match self.data.get_or_insert_with(|| Data::Int64(Vec::new())) {
            Data::Int64(numbers) => numbers.push(number),
            Data::Float64(numbers) => numbers.push(number as f64),
            _ => return Err("booleans and numbers are mixed"),
        }
        Ok(())
    }

    fn push_f64(&mut self, number: f64) -> Result<(), &'static str> {
        match self.data.get_or_insert_with(|| Data::Float64(Vec::new())) {
            Data::Float64(numbers) => numbers.push(number),
            Data::Int64(integers) => {
                let mut numbers: Vec<f64> = integers.iter().map(|&n| n as f64).collect();
                numbers.push(number);
                self.data = Some(Data::Float64(numbers));
            }
            _ => return Err("booleans and numbers are mixed"),
        }
        Ok(())
    }
}

/// Reads the number or list that stands inside `depth` lists.
pub(crate) struct Level<'b> {
    builder: &'b mut Builder,
    depth: usize,
}

impl<'b> Level<'b> {
    /// The outermost level.
    pub(crate) fn root(builder: &'b mut Builder) -> Self {
        Level { builder, depth: 0 }
    }

    /// Returns an array without dimensions that holds one visited number.
    pub(crate) fn scalar<E: de::Error>(
        visit: impl FnOnce(Level<'_>) -> Result<(), E>,
    ) -> Result<Array, E> {
        let mut builder = Builder::default();
        visit(Level::root(&mut builder))?;
        builder.finish().map_err(E::custom)
    }

    fn push<E: de::Error>(
        self,
        push: impl FnOnce(&mut Builder) -> Result<(), &'static str>,
    ) -> Result<(), E> {
        if self.builder.shape.len() != self.depth {
            return Err(E::custom("the lists are ragged"));
        }
        self.builder.has_numbers = true;
        push(self.builder).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<(), E> {
        self.push(|builder| builder.push_bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.push(|builder| builder.push_i64(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        let number = i64::try_from(number).map_err(|_| {
            E::custom(format_args!(
                "{number} is greater than the largest int64, {}",
                i64::MAX
            ))
        })?;
        self.push(|builder| builder.push_i64(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.push(|builder| builder.push_f64(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Level { builder, depth } = self;
        if depth == builder.shape.len() {
            if builder.has_numbers {
                return Err(de::Error::custom("the lists are ragged"));
            }
            if depth == MAX_DIMS {
                return Err(de::Error::custom(format_args!(
                    "lists are nested deeper than {MAX_DIMS} levels"
                )));
            }
            builder.shape.push(None);
        }
        let mut len = 0;
        while seq
            .next_element_seed(Level {
                builder,
                depth: depth + 1,
            })?
            .is_some()
        {
            len += 1;
        }
        match builder.shape[depth] {
            Some(expected) if expected != len => Err(de::Error::custom("the lists are ragged")),
            _ => {
                builder.shape[depth] = Some(len);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Array, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_lists_of_each_kind() {
        assert_eq!(read("7").unwrap(), Array::scalar(7));
        assert_eq!(
            read("[[1,2],[3,4]]").unwrap(),
            Array::from_i64(vec![2, 2], vec![1, 2, 3, 4]).unwrap()
        );
        assert_eq!(
            read("[true,false]").unwrap(),
            Array::mask(vec![true, false])
        );
        assert_eq!(read("[1,0.5]").unwrap(), Array::vector(vec![1.0, 0.5]));
        assert_eq!(
            read("[[],[]]").unwrap(),
            Array::from_i64(vec![2, 0], vec![]).unwrap()
        );
    }

    #[test]
    fn refuses_lists_that_form_no_array() {
        for (json, reason) in [
            ("[[1],[2,3]]", "ragged"),
            ("[1,[2]]", "ragged"),
            ("[[],1]", "ragged"),
            ("[[1],[[2]]]", "ragged"),
            ("[true,1]", "mixed"),
            ("[1,\"a\"]", "invalid type"),
            ("[null]", "invalid type"),
            ("{\"dtype\":\"int64\"}", "invalid type"),
            ("[9223372036854775808]", "largest int64"),
            ("[[[[[[[[[1]]]]]]]]]", "deeper than 8"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
