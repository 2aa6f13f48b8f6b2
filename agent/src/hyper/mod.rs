//! Hyper-parameters in sections.
//!
//! A section is a plain struct of named values, declared by `section!` next to the code that reads it: PPO's in
//! `learner/ppo.rs`, the slots' in `memory/slots`. [`Hyperparameters`] holds the sections that an algorithm has.
//! [`crate::algorithms::sections`] lists all of them; the flags, the keys of TOML files, the metadata of checkpoints
//! and the documents come from that list.

use std::any::Any;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

mod error;
pub(crate) mod section;

pub use self::error::ConfigError;

/// One hyper-parameter, for help and documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HyperparameterRow {
    /// Its name, as in a TOML file; the flag has `-` for `_`.
    pub name: &'static str,
    /// Its range, in words.
    pub range: &'static str,
    /// Description.
    pub doc: &'static str,
}

/// The hyper-parameters that one piece of code reads. `section!` implements it.
///
/// The default of a field is the value that older programs used when they did not have the field: a file that lacks it
/// is read with the default.
pub trait Section: Any + Clone + Default + PartialEq + fmt::Debug + Send + Sync {
    /// The same fields, each optional.
    type Overrides: SectionOverrides<Self>;

    /// Name, range and documentation of each field, in the order of declaration.
    fn rows() -> &'static [HyperparameterRow];

    /// Checks each range.
    ///
    /// # Errors
    /// Names the first field that is out of its range, and the range.
    fn validate(&self) -> Result<(), ConfigError>;

    /// Name and value of each field, in the order of declaration.
    fn values(&self) -> Vec<(&'static str, &dyn erased_serde::Serialize)>;

    /// Sets a field from JSON. Returns whether there is such a field.
    ///
    /// # Errors
    /// A value of another type.
    fn set(&mut self, name: &str, value: &Value) -> Result<bool, serde_json::Error>;
}

/// Fields of a section that were set by flags, a TOML file or a plan.
pub trait SectionOverrides<S>: Clone + Default + PartialEq + fmt::Debug {
    /// Name of the first field that is set.
    fn first_set(&self) -> Option<&'static str>;

    /// Returns whether there is a field that files call `name`.
    fn knows(name: &str) -> bool;

    /// Writes the fields that are set into `section`.
    fn apply(&self, section: &mut S);

    /// Returns `self` with the fields that `stronger` sets replaced.
    fn overlaid(self, stronger: &Self) -> Self;

    /// Reads the value of a field that is called `name`. Returns whether there is such a field; if not, the value is
    /// still to be read.
    ///
    /// # Errors
    /// A value of another type, or a field that was read before.
    fn read<'de, A: serde::de::MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<bool, A::Error>;

    /// Writes the fields that are set.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// A section of any type.
trait AnySection: Send + Sync {
    fn any(&self) -> &dyn Any;
    fn any_mut(&mut self) -> &mut dyn Any;
    fn duplicate(&self) -> Box<dyn AnySection>;
    fn equals(&self, other: &dyn AnySection) -> bool;
    fn default_of_same(&self) -> Box<dyn AnySection>;
    fn rows(&self) -> &'static [HyperparameterRow];
    fn validate(&self) -> Result<(), ConfigError>;
    fn values(&self) -> Vec<(&'static str, &dyn erased_serde::Serialize)>;
    fn set(&mut self, name: &str, value: &Value) -> Result<bool, serde_json::Error>;
}

impl<S: Section> AnySection for S {
    fn any(&self) -> &dyn Any {
        self
    }

    fn any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn duplicate(&self) -> Box<dyn AnySection> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn AnySection) -> bool {
        other.any().downcast_ref::<S>() == Some(self)
    }

    fn default_of_same(&self) -> Box<dyn AnySection> {
        Box::new(S::default())
    }

    fn rows(&self) -> &'static [HyperparameterRow] {
        S::rows()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        Section::validate(self)
    }

    fn values(&self) -> Vec<(&'static str, &dyn erased_serde::Serialize)> {
        Section::values(self)
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<bool, serde_json::Error> {
        Section::set(self, name, value)
    }
}

/// The sections of an algorithm, with a value for each of their fields.
///
/// As JSON it is one flat map from name to value, without the sections' names: a field keeps its place in files when it
/// moves to another section.
#[derive(Default)]
pub struct Hyperparameters {
    sections: Vec<Box<dyn AnySection>>,
}

impl Hyperparameters {
    /// No section yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section, or replaces the one of the same type.
    #[must_use]
    pub fn with<S: Section>(mut self, section: S) -> Self {
        match self.get_mut::<S>() {
            Some(held) => *held = section,
            None => self.sections.push(Box::new(section)),
        }
        self
    }

    /// Whether there is a section of this type.
    pub fn has<S: Section>(&self) -> bool {
        self.sections.iter().any(|held| held.any().is::<S>())
    }

    /// The values of a section; its defaults, if the algorithm does not have it.
    pub fn get<S: Section>(&self) -> S {
        let mut held = self.sections.iter();
        held.find_map(|section| section.any().downcast_ref::<S>())
            .cloned()
            .unwrap_or_default()
    }

    /// The values of a section, to change them; `None`, if the algorithm does not have it.
    pub fn get_mut<S: Section>(&mut self) -> Option<&mut S> {
        let mut held = self.sections.iter_mut();
        held.find_map(|section| section.any_mut().downcast_mut::<S>())
    }

    /// Changes a section, which is added with its defaults if the algorithm does not have it.
    #[must_use]
    pub fn edited<S: Section>(self, edit: impl FnOnce(&mut S)) -> Self {
        let mut section = self.get::<S>();
        edit(&mut section);
        self.with(section)
    }

    /// The same sections with their defaults.
    #[must_use]
    pub fn defaults(&self) -> Self {
        let sections = self.sections.iter();
        Self {
            sections: sections.map(|held| held.default_of_same()).collect(),
        }
    }

    /// Every hyper-parameter that the algorithm has, section by section.
    pub fn rows(&self) -> impl Iterator<Item = &'static HyperparameterRow> {
        self.sections.iter().flat_map(|held| held.rows())
    }

    /// Checks each range.
    ///
    /// # Errors
    /// Names the first hyper-parameter that is out of its range, and the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.sections.iter().try_for_each(|held| held.validate())
    }

    /// Sets a hyper-parameter from JSON. Returns whether the algorithm has it.
    ///
    /// # Errors
    /// A value of another type.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<bool, serde_json::Error> {
        for section in &mut self.sections {
            if section.set(name, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Names and values as JSON.
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(values)) => values,
            other => unreachable!("hyper-parameters are a map of plain data, not {other:?}"),
        }
    }
}

impl Clone for Hyperparameters {
    fn clone(&self) -> Self {
        let sections = self.sections.iter();
        Self {
            sections: sections.map(|held| held.duplicate()).collect(),
        }
    }
}

impl PartialEq for Hyperparameters {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.sections.iter().zip(&other.sections);
        self.sections.len() == other.sections.len()
            && pairs.into_iter().all(|(a, b)| a.equals(b.as_ref()))
    }
}

impl fmt::Debug for Hyperparameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.to_map()).finish()
    }
}

impl Serialize for Hyperparameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.sections.iter().flat_map(|held| held.values()) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
