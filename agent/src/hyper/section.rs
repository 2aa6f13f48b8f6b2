//! The declaration of a section of hyper-parameters.

/// Declares a section: its struct, the struct of its overrides, and what [`Section`](crate::hyper::Section) asks for.
///
/// ```text
/// section! {
///     /// Width of hidden layers.
///     pub struct Network, overridden by NetworkOverrides {
///         /// Width of the hidden layers.
///         hidden_size: usize = 64, |&v| (1..=4_096).contains(&v), "1 to 4096";
///     }
/// }
/// ```
/// A field has its documentation (which is its help text), attributes of its flag (`#[arg(…)]`), perhaps another name
/// that files may use (`#[alias = "…"]`), its type and default, a check of its range, and the range in words.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $section:ident, overridden by $overrides:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[arg($($arg:tt)*)])?
                $(#[alias = $alias:literal])?
                $name:ident: $type:ty = $default:expr, $valid:expr, $range:literal;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl $crate::hyper::Section for $section {
            type Overrides = $overrides;

            fn rows() -> &'static [$crate::hyper::HyperparameterRow] {
                const {
                    &[$($crate::hyper::HyperparameterRow {
                        name: stringify!($name),
                        range: $range,
                        doc: concat!($($doc),+).trim_ascii(),
                    },)+]
                }
            }

            fn validate(&self) -> Result<(), $crate::hyper::ConfigError> {
                $(
                    let valid: fn(&$type) -> bool = $valid;
                    if !valid(&self.$name) {
                        return Err($crate::hyper::ConfigError::OutOfRange {
                            name: stringify!($name),
                            value: format!("{:?}", self.$name),
                            range: $range,
                        });
                    }
                )+
                Ok(())
            }

            fn values(&self) -> Vec<(&'static str, &dyn erased_serde::Serialize)> {
                vec![$((stringify!($name), &self.$name),)+]
            }

            fn set(&mut self, name: &str, value: &serde_json::Value) -> Result<bool, serde_json::Error> {
                match name {
                    $(stringify!($name) $(| $alias)? => {
                        self.$name = serde::Deserialize::deserialize(value)?;
                    })+
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }

        #[doc = concat!("Fields of [`", stringify!($section), "`] that were set.")]
        #[derive(Clone, Debug, Default, PartialEq, clap::Args)]
        pub struct $overrides {
            $(
                $(#[doc = $doc])+
                #[arg(long, $($($arg)*)?)]
                pub $name: Option<$type>,
            )+
        }

        impl $crate::hyper::SectionOverrides<$section> for $overrides {
            fn first_set(&self) -> Option<&'static str> {
                $(if self.$name.is_some() { return Some(stringify!($name)); })+
                None
            }

            fn knows(name: &str) -> bool {
                matches!(name, $(stringify!($name) $(| $alias)?)|+)
            }

            fn apply(&self, section: &mut $section) {
                $(if let Some(value) = &self.$name { section.$name = value.clone(); })+
            }

            fn overlaid(mut self, stronger: &Self) -> Self {
                $(if stronger.$name.is_some() { self.$name = stronger.$name.clone(); })+
                self
            }

            fn read<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                name: &str,
                map: &mut A,
            ) -> Result<bool, A::Error> {
                match name {
                    $(stringify!($name) $(| $alias)? => {
                        if self.$name.is_some() {
                            return Err(serde::de::Error::duplicate_field(stringify!($name)));
                        }
                        self.$name = map.next_value()?;
                    })+
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn write<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $(if let Some(value) = &self.$name { map.serialize_entry(stringify!($name), value)?; })+
                Ok(())
            }
        }
    };
}

pub(crate) use section;
