//! THE list of sections of hyper-parameters. Flags, the keys of TOML files and plans, the metadata of checkpoints and
//! docs/hyperparameters.md come from it. A section is declared next to the code that reads it, and named here once.

use std::fmt;
use std::sync::LazyLock;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::experience::Collection;
use crate::hyper::{ConfigError, HyperparameterRow, Hyperparameters, Section, SectionOverrides};
use crate::learner::auxiliary::AuxiliaryLosses;
use crate::learner::episodic::nec::Dictionary;
use crate::learner::exploration::ExplorationBonuses;
use crate::learner::ppo::PpoUpdate;
use crate::learner::q_learning::{Hindsight, QUpdate};
use crate::learner::sequence::{EntropyBound, Imitation};
use crate::learner::settings::{Discount, Optimiser, Replaying};
use crate::learner::stopping::Stopping;
use crate::memory::addressed::Addressing;
use crate::memory::attention::episodic_transformer::Episodes;
use crate::memory::attention::gtrxl::Heads;
use crate::memory::attention::memn2n::Hops;
use crate::memory::attention::mqn::Carrying;
use crate::memory::attention::window::Context;
use crate::memory::attention::{Order, Width};
use crate::memory::episodic::embedded::Embedding;
use crate::memory::episodic::history::Keys;
use crate::memory::linear::lru::Eigenvalues;
use crate::memory::linear::shm::Matrix;
use crate::memory::predictive::Predictive;
use crate::memory::recurrent::rims::Modules;
use crate::memory::sequence::Goal;
use crate::memory::slots::Steps;
use crate::memory::spatial::mvprop::Planning;
use crate::memory::spatial::neural_map::Map;
use crate::memory::{Layers, Network, Slots, Writes};
use crate::policy::greediness::Greediness;
use crate::policy::inputs::Inputs;
use crate::policy::outputs::Deviations;
use crate::policy::tables::Lookup;

macro_rules! sections {
    ($($field:ident: $section:ty;)+) => {
        /// Hyper-parameters that were set, by flags, in a TOML file or in a plan; the others keep the algorithm's
        /// defaults. In files it is one flat map.
        #[derive(Clone, Debug, Default, PartialEq, clap::Args)]
        #[command(next_help_heading = "Hyper-parameters (defaults: `agent list ALGORITHM`)")]
        pub struct Overrides {
            $(
                #[doc = concat!("Those of [`", stringify!($section), "`].")]
                #[command(flatten)]
                pub $field: <$section as Section>::Overrides,
            )+
        }

        impl Overrides {
            /// Returns `self` with what `stronger` sets replaced.
            #[must_use]
            pub fn overlaid(self, stronger: &Self) -> Self {
                Self { $($field: self.$field.overlaid(&stronger.$field),)+ }
            }

            /// Returns those that an algorithm with these hyper-parameters has: to set the same for many algorithms.
            #[must_use]
            pub fn known_to(self, hyper: &Hyperparameters) -> Self {
                Self {
                    $($field: match hyper.has::<$section>() {
                        true => self.$field,
                        false => Default::default(),
                    },)+
                }
            }

            /// Writes what is set into the hyper-parameters of an algorithm.
            ///
            /// # Errors
            /// A hyper-parameter that the algorithm does not have: setting it would silently do nothing.
            pub fn apply(
                &self,
                algorithm: &'static str,
                hyper: &mut Hyperparameters,
            ) -> Result<(), ConfigError> {
                $(
                    match (hyper.get_mut::<$section>(), self.$field.first_set()) {
                        (Some(section), _) => self.$field.apply(section),
                        (None, None) => {}
                        (None, Some(name)) => return Err(ConfigError::Unused { name, algorithm }),
                    }
                )+
                Ok(())
            }

            fn knows(name: &str) -> bool {
                $(<$section as Section>::Overrides::knows(name))||+
            }

            fn read<'de, A: MapAccess<'de>>(
                &mut self,
                name: &str,
                map: &mut A,
            ) -> Result<bool, A::Error> {
                Ok($(self.$field.read(name, map)?)||+)
            }

            fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $(self.$field.write(map)?;)+
                Ok(())
            }
        }

        /// Every hyper-parameter of every section.
        pub fn rows() -> impl Iterator<Item = &'static HyperparameterRow> {
            [$(<$section as Section>::rows(),)+].into_iter().flatten()
        }
    };
}

sections! {
    inputs: Inputs;
    collection: Collection;
    optimiser: Optimiser;
    discount: Discount;
    greediness: Greediness;
    replaying: Replaying;
    q_update: QUpdate;
    hindsight: Hindsight;
    imitation: Imitation;
    entropy_bound: EntropyBound;
    ppo: PpoUpdate;
    deviations: Deviations;
    stopping: Stopping;
    network: Network;
    layers: Layers;
    eigenvalues: Eigenvalues;
    matrix: Matrix;
    slots: Slots;
    steps: Steps;
    episodes: Episodes;
    addressing: Addressing;
    modules: Modules;
    map: Map;
    planning: Planning;
    writes: Writes;
    context: Context;
    width: Width;
    heads: Heads;
    hops: Hops;
    order: Order;
    carrying: Carrying;
    goal: Goal;
    predictive: Predictive;
    keys: Keys;
    embedding: Embedding;
    lookup: Lookup;
    dictionary: Dictionary;
    auxiliary: AuxiliaryLosses;
    exploration: ExplorationBonuses;
}

/// The names of all hyper-parameters, for messages.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| rows().map(|row| row.name).collect());

impl<'de> Deserialize<'de> for Overrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OverridesVisitor)
    }
}

struct OverridesVisitor;

impl<'de> Visitor<'de> for OverridesVisitor {
    type Value = Overrides;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of hyper-parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Overrides, A::Error> {
        let mut overrides = Overrides::default();
        while let Some(KnownName(name)) = map.next_key()? {
            overrides.read(&name, &mut map)?;
        }
        Ok(overrides)
    }
}

/// A key that names a hyper-parameter. It is checked while it is read, so that an error has the key's line.
struct KnownName(String);

impl<'de> Deserialize<'de> for KnownName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if Overrides::knows(&name) {
            return Ok(Self(name));
        }
        Err(D::Error::unknown_field(&name, &NAMES))
    }
}

impl Serialize for Overrides {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

/// Overrides by name, for tests and programs: `overrides! { num_envs: 2, whole_episodes: false }`.
///
/// # Panics
/// A name or a type that no section declares.
#[macro_export]
macro_rules! overrides {
    ($($name:ident: $value:expr),* $(,)?) => {{
        let overrides = serde_json::json!({ $(stringify!($name): $value),* });
        serde_json::from_value::<$crate::algorithms::sections::Overrides>(overrides)
            .expect("names and types of hyper-parameters")
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_declared_once() {
        let mut names = NAMES.clone();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }

    /// A section that a row has and the list lacks would have no flags.
    #[test]
    fn every_section_of_a_row_is_in_the_list() {
        for row in crate::algorithms::ALGORITHMS {
            for hyper in (row.defaults)().rows() {
                assert!(NAMES.contains(&hyper.name), "{}: {}", row.id, hyper.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_names_there_are() {
        let error = serde_json::from_str::<Overrides>(r#"{"num_env": 3}"#).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("unknown field `num_env`, expected one of `")
        );
    }

    #[test]
    fn an_unknown_key_of_a_file_is_reported_with_its_line() {
        let error = toml::from_str::<Overrides>("num_envs = 4\nnum_env = 3\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn another_name_is_the_same_field() {
        let read = |json| serde_json::from_str::<Overrides>(json);
        assert_eq!(
            read(r#"{"lam": 0.5}"#).unwrap(),
            overrides! { gae_lambda: 0.5 }
        );
        let twice = read(r#"{"lam": 0.5, "gae_lambda": 0.5}"#).unwrap_err();
        assert!(
            twice
                .to_string()
                .starts_with("duplicate field `gae_lambda`")
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let overrides = overrides! {
            learning_rate: 0.003,
            memory_scope: "both",
            aux_modules: ["cue", "confidence"],
            whole_episodes: true,
        };
        let text = serde_json::to_string(&overrides).unwrap();
        assert_eq!(
            text,
            r#"{"whole_episodes":true,"learning_rate":0.003,"memory_scope":"both","aux_modules":["cue","confidence"]}"#
        );
        assert_eq!(serde_json::from_str::<Overrides>(&text).unwrap(), overrides);
    }
}
