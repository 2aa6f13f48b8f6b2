//! The weights of an agent: named matrices with sizes known at run time.

use std::collections::BTreeMap;

use dfdx::tensor::Cpu;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::error::NnError;
use super::init::Init;
use super::tensor::{self, Tensor};

/// Identifies a parameter of the [`Params`] that created it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParamId(usize);

impl ParamId {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// A matrix with its name, as checkpoints store it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedArray {
    /// Name, unique within one export.
    pub name: String,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Row-major values.
    pub data: Vec<f32>,
}

struct Param {
    name: String,
    value: Tensor,
    is_trained: bool,
}

/// Named matrices, in the order in which they were added.
#[derive(Default)]
pub struct Params {
    device: Cpu,
    params: Vec<Param>,
}

impl Params {
    /// Creates an empty set of parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a matrix `[rows, columns]`; a weight is `[inputs, outputs]`, a bias `[1, outputs]`.
    ///
    /// # Panics
    /// When the name is already taken.
    pub fn add(
        &mut self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        rng: &mut impl Rng,
    ) -> ParamId {
        self.push(name, init.sample(shape, rng), shape)
    }

    /// Adds a matrix that no optimiser trains: a table that is written, or a fixed projection. It is stored with the others.
    ///
    /// # Panics
    /// When the name is already taken.
    pub fn add_untrained(
        &mut self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        rng: &mut impl Rng,
    ) -> ParamId {
        let id = self.add(name, shape, init, rng);
        self.params[id.0].is_trained = false;
        id
    }

    /// Returns whether an optimiser trains a parameter.
    pub fn is_trained(&self, id: ParamId) -> bool {
        self.params[id.0].is_trained
    }

    /// Adds `blocks` matrices `[rows, columns]` below each other, each with initial values of its own: a weight of
    /// [`Graph::block_linear`](crate::Graph::block_linear).
    ///
    /// # Panics
    /// When the name is already taken.
    pub fn add_blocks(
        &mut self,
        name: &str,
        blocks: usize,
        (rows, columns): (usize, usize),
        init: Init,
        rng: &mut impl Rng,
    ) -> ParamId {
        let samples = (0..blocks).flat_map(|_| init.sample((rows, columns), rng));
        let data = samples.collect();
        self.push(name, data, (blocks * rows, columns))
    }

    fn push(&mut self, name: &str, data: Vec<f32>, shape: (usize, usize)) -> ParamId {
        assert!(
            self.names().all(|taken| taken != name),
            "there is a parameter `{name}` already"
        );
        let value = tensor::from_vec(&self.device, data, shape);
        self.params.push(Param {
            name: name.to_owned(),
            value,
            is_trained: true,
        });
        ParamId(self.params.len() - 1)
    }

    /// A parameter as a tensor.
    pub fn get(&self, id: ParamId) -> &Tensor {
        &self.params[id.0].value
    }

    /// The values of a parameter, row-major.
    pub fn data(&self, id: ParamId) -> &[f32] {
        tensor::values(self.get(id))
    }

    /// The values of a parameter, for writing. Tensors obtained earlier keep the old values.
    pub fn data_mut(&mut self, id: ParamId) -> &mut [f32] {
        tensor::values_mut(&mut self.params[id.0].value)
    }

    /// The name of a parameter.
    pub fn name(&self, id: ParamId) -> &str {
        &self.params[id.0].name
    }

    /// Rows and columns of a parameter.
    pub fn shape(&self, id: ParamId) -> (usize, usize) {
        tensor::shape(self.get(id))
    }

    /// The names of all parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.params.iter().map(|param| param.name.as_str())
    }

    /// All parameters, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ParamId> + use<> {
        (0..self.params.len()).map(ParamId)
    }

    /// Total count of numbers in all parameters.
    pub fn count(&self) -> usize {
        self.ids().map(|id| self.data(id).len()).sum()
    }

    /// Returns copies of all parameters, for a checkpoint.
    pub fn export(&self) -> Vec<NamedArray> {
        self.ids()
            .map(|id| NamedArray {
                name: self.name(id).to_owned(),
                shape: self.shape(id),
                data: self.data(id).to_vec(),
            })
            .collect()
    }

    /// Returns a copy with values of its own.
    pub fn duplicate(&self) -> Self {
        let copy = |param: &Param| Param {
            name: param.name.clone(),
            value: tensor::from_vec(
                &self.device,
                tensor::values(&param.value).to_vec(),
                tensor::shape(&param.value),
            ),
            is_trained: param.is_trained,
        };
        Self {
            device: self.device.clone(),
            params: self.params.iter().map(copy).collect(),
        }
    }

    /// Moves every value by `rate` of the way to the value in `other`, as slow target networks do (Lillicrap et al.
    /// 2016, arXiv 1509.02971): `θ' ← θ' + rate · (θ − θ')`.
    ///
    /// # Panics
    /// When `other` has other parameters.
    pub fn follow(&mut self, other: &Self, rate: f32) {
        assert!(self.names().eq(other.names()), "the same parameters");
        for id in self.ids() {
            assert_eq!(self.shape(id), other.shape(id), "{}", self.name(id));
            let pairs = self.data_mut(id).iter_mut().zip(other.data(id));
            pairs.for_each(|(mine, theirs)| *mine += rate * (theirs - *mine));
        }
    }

    /// Replaces its values by those of the arrays with the same names, and leaves out arrays of other names.
    ///
    /// # Errors
    /// A missing or doubled name, or a wrong shape; then nothing has changed.
    pub fn import_own(&mut self, arrays: &[NamedArray]) -> Result<(), NnError> {
        let is_own = |array: &&NamedArray| self.names().any(|name| name == array.name);
        let own: Vec<NamedArray> = arrays.iter().filter(is_own).cloned().collect();
        self.import(&own)
    }

    /// Replaces the values of all parameters by saved ones, in any order.
    ///
    /// # Errors
    /// When a name is missing, unexpected or repeated, or a shape is wrong. Nothing changes then.
    pub fn import(&mut self, arrays: &[NamedArray]) -> Result<(), NnError> {
        let expected: Vec<_> = self
            .ids()
            .map(|id| (self.name(id).to_owned(), self.shape(id)))
            .collect();
        let found = match_arrays(&expected, arrays)?;
        for (id, array) in self.ids().zip(found) {
            self.data_mut(id).copy_from_slice(&array.data);
        }
        Ok(())
    }

    pub(crate) fn device(&self) -> &Cpu {
        &self.device
    }

    /// Returns the parameter whose storage starts at `start`.
    pub(crate) fn find_storage(&self, start: *const f32) -> Option<ParamId> {
        self.ids().find(|&id| self.data(id).as_ptr() == start)
    }
}

/// Returns the arrays of `found` in the order of `expected`, after checking names and shapes.
pub(crate) fn match_arrays<'a>(
    expected: &[(String, (usize, usize))],
    found: &'a [NamedArray],
) -> Result<Vec<&'a NamedArray>, NnError> {
    let mut by_name = BTreeMap::new();
    for array in found {
        if by_name.insert(array.name.as_str(), array).is_some() {
            return Err(NnError::Surplus {
                name: array.name.clone(),
            });
        }
    }
    let mut matched = Vec::with_capacity(expected.len());
    for (name, shape) in expected {
        let array = by_name
            .remove(name.as_str())
            .ok_or_else(|| NnError::Missing { name: name.clone() })?;
        if array.shape != *shape {
            return Err(NnError::Shape {
                name: name.clone(),
                expected: *shape,
                found: array.shape,
            });
        }
        if array.data.len() != shape.0 * shape.1 {
            return Err(NnError::Length {
                name: name.clone(),
                shape: *shape,
                found: array.data.len(),
            });
        }
        matched.push(array);
    }
    match by_name.into_keys().next() {
        Some(name) => Err(NnError::Surplus {
            name: name.to_owned(),
        }),
        None => Ok(matched),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn two_params() -> (Params, ParamId, ParamId) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let a = params.add("a", (2, 2), Init::Constant(1.5), &mut rng);
        let b = params.add("b", (1, 3), Init::Zeros, &mut rng);
        (params, a, b)
    }

    #[test]
    fn export_and_import_are_inverse() {
        let (mut params, a, b) = two_params();
        let saved = params.export();
        assert_eq!(params.count(), 7);
        assert_eq!(params.names().collect::<Vec<_>>(), ["a", "b"]);
        params.data_mut(a)[1] = 9.0;
        params.data_mut(b)[2] = 8.0;
        assert_eq!(params.data(a), [1.5, 9.0, 1.5, 1.5]);
        params.import(&saved).unwrap();
        assert_eq!(params.data(a), [1.5; 4]);
        assert_eq!(params.data(b), [0.0; 3]);
    }

    #[test]
    fn a_copy_keeps_its_values_and_follows_slowly() {
        let (mut params, a, b) = two_params();
        let mut copy = params.duplicate();
        params.data_mut(a)[1] = 3.5;
        params.data_mut(b)[2] = 8.0;
        assert_eq!(copy.data(a), [1.5; 4]);
        copy.follow(&params, 0.25);
        assert_eq!(copy.data(a), [1.5, 2.0, 1.5, 1.5]);
        assert_eq!(copy.data(b), [0.0, 0.0, 2.0]);
        copy.follow(&params, 1.0);
        assert_eq!(copy.export(), params.export());
    }

    #[test]
    fn arrays_of_others_are_left_out_of_an_import_of_its_own() {
        let (mut params, a, _) = two_params();
        let mut arrays = params.export();
        arrays[0].data[0] = 7.0;
        arrays.push(NamedArray {
            name: "c".into(),
            shape: (1, 1),
            data: vec![0.0],
        });
        params.import_own(&arrays).unwrap();
        assert_eq!(params.data(a), [7.0, 1.5, 1.5, 1.5]);
        arrays.remove(1);
        let missing = NnError::Missing { name: "b".into() };
        assert_eq!(params.import_own(&arrays), Err(missing));
    }

    #[test]
    fn an_import_that_does_not_fit_changes_nothing() {
        let (mut params, ..) = two_params();
        let before = params.export();
        let mut changed = before.clone();
        changed[0].data[0] = 7.0;

        let missing = changed[..1].to_vec();
        assert_eq!(
            params.import(&missing),
            Err(NnError::Missing { name: "b".into() })
        );

        let mut surplus = changed.clone();
        surplus.push(NamedArray {
            name: "c".into(),
            shape: (1, 1),
            data: vec![0.0],
        });
        assert_eq!(
            params.import(&surplus),
            Err(NnError::Surplus { name: "c".into() })
        );

        let mut doubled = changed.clone();
        doubled.push(changed[0].clone());
        assert_eq!(
            params.import(&doubled),
            Err(NnError::Surplus { name: "a".into() })
        );

        let mut reshaped = changed.clone();
        reshaped[1].shape = (3, 1);
        let error = NnError::Shape {
            name: "b".into(),
            expected: (1, 3),
            found: (3, 1),
        };
        assert_eq!(params.import(&reshaped), Err(error));

        let mut short = changed.clone();
        short[1].data.pop();
        let error = NnError::Length {
            name: "b".into(),
            shape: (1, 3),
            found: 2,
        };
        assert_eq!(params.import(&short), Err(error));

        assert_eq!(params.export(), before);
    }

    #[test]
    fn parameters_can_move_to_threads() {
        fn check<T: Send>() {}
        check::<Params>();
        check::<crate::Adam>();
        check::<crate::Gradients>();
    }

    #[test]
    #[should_panic(expected = "there is a parameter `a` already")]
    fn a_name_can_be_used_once_only() {
        let (mut params, ..) = two_params();
        params.add(
            "a",
            (1, 1),
            Init::Zeros,
            &mut Xoshiro256PlusPlus::seed_from_u64(0),
        );
    }
}
