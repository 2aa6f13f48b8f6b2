//! A checkpoint: one safetensors file that holds everything a run needs to continue bit for bit, weights readable by any
//! safetensors library.
//!
//! Tensors `params/NAME`, `adam/mean/NAME`, `adam/square/NAME`; the rest of the run as MessagePack in the tensor `run`;
//! the configuration as JSON in the header's metadata. A learner that remembers more than its optimiser adds float32
//! matrices `learner/NAME` and bytes `learner/rest` and `learner/replay`; only such files have them. The file is
//! replaced in one step: a crash leaves the old or the new one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand_xoshiro::Xoshiro256PlusPlus;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::experience::CollectorState;
use crate::files;
use crate::learner::LearnerState;
use crate::learner::exploration::ExplorationState;
use crate::nn::{AdamState, NamedArray};
use crate::run::config::TrainConfig;
use crate::run::statistics::RunStatistics;
use crate::spaces::Spaces;

/// Key of our part of the file's header.
const HEADER: &str = "strategic_memory";
/// Version of the format.
const VERSION: u32 = 1;
/// Tensor with a learner's state that is no matrix.
const REST: &str = "learner/rest";
/// Tensor with a learner's stored experience.
const REPLAY: &str = "learner/replay";

/// The whole state of a run between two updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The configuration of the run.
    pub config: TrainConfig,
    /// The spaces of its environments.
    pub spaces: Spaces,
    /// The weights.
    pub params: Vec<NamedArray>,
    /// The learner's state.
    pub learner: LearnerState,
    /// Everything else.
    pub run: RunState,
}

/// The part of a run that is neither weights nor learner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Counts of steps, updates and episodes, and the last returns.
    pub statistics: RunStatistics,
    /// State of exploration bonuses and reward normalisation.
    pub exploration: ExplorationState,
    /// The agent's generator.
    pub rng: Xoshiro256PlusPlus,
    /// Observations and memories of the lanes.
    #[serde(rename = "lanes")]
    pub collector: CollectorState,
    /// The environment's own state; without it (the server was gone, or cannot save it) a resumed run begins new episodes.
    #[serde(with = "serde_bytes")]
    pub environment: Option<Vec<u8>>,
}

impl Checkpoint {
    /// Writes the file, replacing an earlier one in one step.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        files::replace(path, &self.to_bytes()).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads a file that [`Checkpoint::save`] wrote.
    ///
    /// # Errors
    /// No such file, or a file that is no checkpoint.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes).map_err(|detail| CheckpointError::Malformed {
            path: path.to_owned(),
            detail,
        })
    }

    /// Returns the file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let run = rmp_serde::to_vec_named(&self.run).expect("a run's state is plain data");
        let LearnerState {
            adam,
            arrays,
            rest,
            replay,
        } = &self.learner;
        let header = Header {
            version: VERSION,
            config: self.config.clone(),
            spaces: self.spaces.clone(),
            adam_steps: adam.steps.clone(),
            writer: Writer {
                program: Some(env!("CARGO_PKG_VERSION").into()),
            },
        };
        let header = serde_json::to_string(&header).expect("a header is plain data");
        let mut tensors = vec![("run".to_owned(), vec![run.len()], Dtype::U8, run)];
        for (name, bytes) in [(REST, rest), (REPLAY, replay)] {
            if !bytes.is_empty() {
                tensors.push((name.to_owned(), vec![bytes.len()], Dtype::U8, bytes.clone()));
            }
        }
        let matrices = [
            ("params", &self.params),
            ("adam", &adam.arrays),
            ("learner", arrays),
        ];
        for (prefix, arrays) in matrices {
            for NamedArray { name, shape, data } in arrays {
                let bytes = data.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((
                    format!("{prefix}/{name}"),
                    vec![shape.0, shape.1],
                    Dtype::F32,
                    bytes,
                ));
            }
        }
        let views = tensors.iter().map(|(name, shape, dtype, bytes)| {
            (
                name.as_str(),
                TensorView::new(*dtype, shape.clone(), bytes)
                    .expect("as many bytes as the shape says"),
            )
        });
        // One key only: the library keeps metadata in a hash map, and the same run is to give the same bytes.
        let metadata = HashMap::from([(HEADER.to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).expect("valid names and shapes")
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// The reason why it is no checkpoint.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get(HEADER));
        let header = header.ok_or_else(|| format!("it has no `{HEADER}` in its header"))?;
        let Version { version } =
            serde_json::from_str(header).map_err(|e| format!("header: {e}"))?;
        if version != VERSION {
            return Err(format!(
                "its version is {version}, this program reads {VERSION}"
            ));
        }
        let Writer { program } = serde_json::from_str(header).unwrap_or_default();
        let header: Header = serde_json::from_str(header).map_err(|error| {
            format!(
                "header: {error} (version {} of the program wrote it; this is {})",
                program.as_deref().unwrap_or("0.1.0 or an earlier one"),
                env!("CARGO_PKG_VERSION"),
            )
        })?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let arrays = |prefix: &str| -> Result<Vec<NamedArray>, String> {
            let named = tensors
                .iter()
                .filter(|(name, _)| *name != REST && *name != REPLAY)
                .filter_map(|(name, view)| Some((name.strip_prefix(prefix)?, view)));
            named.map(|(name, view)| array(name, &view)).collect()
        };
        let run = tensors.tensor("run").map_err(|e| e.to_string())?;
        let bytes = |name: &str| match tensors.tensor(name) {
            Ok(tensor) => tensor.data().to_vec(),
            Err(_) => Vec::new(),
        };
        Ok(Self {
            config: header.config,
            spaces: header.spaces,
            params: arrays("params/")?,
            learner: LearnerState {
                adam: AdamState {
                    steps: header.adam_steps,
                    arrays: arrays("adam/")?,
                },
                arrays: arrays("learner/")?,
                rest: bytes(REST),
                replay: bytes(REPLAY),
            },
            run: rmp_serde::from_slice(run.data()).map_err(|e| format!("run: {e}"))?,
        })
    }
}

/// The JSON in the file's header.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    config: TrainConfig,
    spaces: Spaces,
    adam_steps: Vec<u64>,
    #[serde(flatten)]
    writer: Writer,
}

/// The program that wrote a file, for messages.
#[derive(Default, Serialize, Deserialize)]
struct Writer {
    /// Its version; files of the first programs do not name it.
    #[serde(default)]
    program: Option<String>,
}

/// Read first: a header of another version may have other fields.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn array(name: &str, view: &TensorView<'_>) -> Result<NamedArray, String> {
    let &[rows, columns] = view.shape() else {
        return Err(format!("`{name}` is not a matrix"));
    };
    if view.dtype() != Dtype::F32 {
        return Err(format!("`{name}` is not float32"));
    }
    let data = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
        .collect();
    Ok(NamedArray {
        name: name.into(),
        shape: (rows, columns),
        data,
    })
}

/// Reasons why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system.
    #[error("checkpoint {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The content.
    #[error("{} is not a checkpoint of this program: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The defect.
        detail: String,
    },
}
