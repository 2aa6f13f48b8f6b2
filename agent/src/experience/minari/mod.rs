//! Datasets as files that other programs read and write: a folder of [Minari](https://minari.farama.org) 0.5, whose
//! numbers are in an HDF5 file.
//!
//! | file | holds |
//! |---|---|
//! | `data/main_data.hdf5` | a group `episode_N` for each episode: `observations` (T + 1 rows), `actions`, `rewards`, `terminations`, `truncations`, `infos`; as attributes `id`, `total_steps` and perhaps `seed` |
//! | `data/metadata.json` | the spaces, the environment, who played, and how much there is |
//!
//! A space of parts is a group of arrays: `observations/NAME` for a `Dict`, `observations/_index_I` for a `Tuple`.

mod columns;
mod error;
mod metadata;
mod read;
mod space;
#[cfg(test)]
mod tests;
mod write;

pub use self::error::MinariError;
pub use self::metadata::About;
pub use self::read::read;
pub use self::write::{NewFolder, write};

/// The folder of the files in a dataset's folder.
const DATA: &str = "data";
/// The numbers.
const MAIN: &str = "main_data.hdf5";
/// The file that describes them.
const METADATA: &str = "metadata.json";
