//! From a dataset to a folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use env_protocol::Dtype;
use hdf5_pure::{
    AttrValue, DatasetBuilder, Datatype, EnumTypeBuilder, FileBuilder, FinishedGroup, GroupBuilder,
    make_i8_type,
};

use super::columns::{Leaf, leaves};
use super::error::MinariError;
use super::metadata::About;
use super::{DATA, MAIN, METADATA};
use crate::experience::dataset::{Dataset, RecordedEpisode};
use crate::files;
use crate::spaces::components::{Component, components};

/// Checks that nothing is in the way of a new folder.
fn check_free(folder: &Path) -> Result<(), MinariError> {
    match fs::symlink_metadata(folder) {
        Ok(_) => Err(MinariError::Exists {
            path: folder.to_owned(),
        }),
        Err(_) => Ok(()),
    }
}

/// Writes a dataset into a new folder, as [`NewFolder`] does.
///
/// # Errors
/// Those of [`NewFolder`].
///
/// # Panics
/// On another number of seeds than of episodes.
pub fn write(
    folder: &Path,
    dataset: &Dataset,
    seeds: &[Option<u64>],
    about: &About,
) -> Result<(), MinariError> {
    let new = NewFolder::create(folder)?;
    new.write(dataset, seeds, about)?;
    new.keep()
}

/// A folder for a dataset. It has its name only once it is kept; until then it is another one next to its place, which is
/// removed where it is not kept.
pub struct NewFolder {
    folder: PathBuf,
    unfinished: Unfinished,
}

impl NewFolder {
    /// Creates the folder.
    ///
    /// # Errors
    /// One that exists or cannot be created.
    pub fn create(folder: &Path) -> Result<Self, MinariError> {
        // Without a slash or a dot at its end.
        let folder: PathBuf = folder.components().collect();
        if folder.file_name().is_none() {
            return Err(MinariError::unfit(&folder, "a new folder needs a name"));
        }
        check_free(&folder)?;
        let unfinished = Unfinished::next_to(&folder)?;
        Ok(Self { folder, unfinished })
    }

    /// Writes a dataset into it. `seeds` are those of the episodes, where they have one.
    ///
    /// # Errors
    /// Spaces with names that a file cannot have, and the file system's.
    ///
    /// # Panics
    /// On another number of seeds than of episodes.
    pub fn write(
        &self,
        dataset: &Dataset,
        seeds: &[Option<u64>],
        about: &About,
    ) -> Result<(), MinariError> {
        let unfit = |detail| MinariError::unfit(&self.folder, detail);
        let bytes = main_file(dataset, seeds).map_err(unfit)?;
        let name = self.folder.file_name().unwrap_or_default();
        let metadata = about.metadata(dataset, &name.to_string_lossy(), bytes.len() as u64);
        let data = self.unfinished.0.join(DATA);
        fs::create_dir(&data).map_err(|error| MinariError::io(&data, error))?;
        for (file, bytes) in [
            (MAIN, &bytes),
            (METADATA, &metadata.to_string().into_bytes()),
        ] {
            let path = data.join(file);
            let write = || {
                let mut file = fs::File::create(&path)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(|error| MinariError::io(&path, error))?;
        }
        Ok(())
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// Something in its place by now, and the file system's.
    pub fn keep(self) -> Result<(), MinariError> {
        check_free(&self.folder)?;
        let renamed = fs::rename(&self.unfinished.0, &self.folder);
        renamed.map_err(|error| MinariError::io(&self.folder, error))
    }
}

/// A folder that is removed unless it was given another name.
struct Unfinished(PathBuf);

impl Unfinished {
    /// Creates the folder next to its later place.
    fn next_to(folder: &Path) -> Result<Self, MinariError> {
        let parent = folder.parent().filter(|parent| *parent != Path::new(""));
        if let Some(parent) = parent {
            fs::create_dir_all(parent).map_err(|error| MinariError::io(parent, error))?;
        }
        let mut name = folder.as_os_str().to_owned();
        name.push(".");
        name.push(files::UNFINISHED);
        let created = files::create_next(Path::new(&name));
        Ok(Self(
            created.map_err(|(path, error)| MinariError::io(&path, error))?,
        ))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the file of numbers.
fn main_file(dataset: &Dataset, seeds: &[Option<u64>]) -> Result<Vec<u8>, String> {
    assert_eq!(
        seeds.len(),
        dataset.episodes().len(),
        "a seed for each episode, or none"
    );
    let spaces = dataset.spaces();
    let writer = Writer {
        observations: leaves(&spaces.observation)?,
        actions: leaves(&spaces.action)?,
        components: components(&spaces.action).map_err(|error| error.to_string())?,
        boolean: boolean(),
    };
    let mut file = FileBuilder::new();
    for (id, (episode, &seed)) in dataset.episodes().iter().zip(seeds).enumerate() {
        let group = file.create_group(&format!("episode_{id}"));
        file.add_group(writer.episode(group, id, seed, episode));
    }
    file.finish()
        .map_err(|error| format!("the episodes have no form in HDF5: {error}"))
}

/// A Boolean as h5py writes it.
fn boolean() -> Datatype {
    let boolean = EnumTypeBuilder::with_base(make_i8_type());
    let boolean = boolean.i64_value("FALSE", 0).i64_value("TRUE", 1);
    boolean.build().expect("two values of a byte")
}

struct Writer {
    observations: Vec<Leaf>,
    actions: Vec<Leaf>,
    components: Vec<Component>,
    boolean: Datatype,
}

impl Writer {
    fn episode(
        &self,
        mut group: GroupBuilder,
        id: usize,
        seed: Option<u64>,
        episode: &RecordedEpisode,
    ) -> FinishedGroup {
        let steps = episode.steps();
        group.set_attr("id", AttrValue::I64(id as i64));
        if let Some(seed) = seed {
            // Seeds of environments lie far below 2⁶³.
            group.set_attr("seed", AttrValue::I64(seed.cast_signed()));
        }
        group.set_attr("total_steps", AttrValue::I64(steps as i64));
        let observations = |row: usize, column: usize, width: usize| {
            f64::from(episode.observations[row * width + column])
        };
        put(
            &mut group,
            "observations",
            &self.observations,
            steps + 1,
            &observations,
        );
        let actions = |row: usize, column: usize, width: usize| {
            self.components[column].to_space(episode.actions[row * width + column])
        };
        put(&mut group, "actions", &self.actions, steps, &actions);
        group
            .create_dataset("rewards")
            .with_f64_data(&episode.rewards);
        for (name, is_here) in [
            ("terminations", !episode.is_truncated),
            ("truncations", episode.is_truncated),
        ] {
            let mut flags = vec![0; steps];
            flags[steps - 1] = u8::from(is_here);
            let flags = flags.as_slice();
            group
                .create_dataset(name)
                .with_enum_u8_data(self.boolean.clone(), flags);
        }
        let infos = group.create_group("infos").finish();
        group.add_group(infos);
        group.finish()
    }
}

/// Puts the arrays of a space into a group. `number` tells the number in a row and column of so many.
fn put(
    group: &mut GroupBuilder,
    name: &str,
    leaves: &[Leaf],
    rows: usize,
    number: &dyn Fn(usize, usize, usize) -> f64,
) {
    let width = leaves.last().map_or(0, |leaf| leaf.columns.end);
    put_from(group, name, leaves, 0, &|array, leaf| {
        let cells = (0..rows).flat_map(|row| leaf.columns.clone().map(move |column| (row, column)));
        let numbers: Vec<f64> = cells
            .map(|(row, column)| number(row, column, width))
            .collect();
        let shape: Vec<u64> = [rows]
            .iter()
            .chain(&leaf.shape)
            .map(|&n| n as u64)
            .collect();
        fill(array, leaf.dtype, &numbers);
        array.with_shape(&shape);
    });
}

/// Puts arrays whose paths agree in their first `depth` names: as one array, or as a group of them.
fn put_from(
    group: &mut GroupBuilder,
    name: &str,
    leaves: &[Leaf],
    depth: usize,
    fill: &dyn Fn(&mut DatasetBuilder, &Leaf),
) {
    if let [leaf] = leaves
        && leaf.path.len() == depth
    {
        fill(group.create_dataset(name), leaf);
        return;
    }
    let mut parts = group.create_group(name);
    for part in leaves.chunk_by(|one, next| one.path[depth] == next.path[depth]) {
        put_from(&mut parts, &part[0].path[depth], part, depth + 1, fill);
    }
    group.add_group(parts.finish());
}

/// Writes numbers in a space's own type.
fn fill(array: &mut DatasetBuilder, dtype: Dtype, numbers: &[f64]) {
    macro_rules! as_type {
        ($with:ident, $type:ty) => {
            array.$with(
                &numbers
                    .iter()
                    .map(|&number| number as $type)
                    .collect::<Vec<_>>(),
            )
        };
    }
    match dtype {
        Dtype::Float32 => as_type!(with_f32_data, f32),
        Dtype::Float64 => as_type!(with_f64_data, f64),
        Dtype::Int8 => as_type!(with_i8_data, i8),
        Dtype::Int16 => as_type!(with_i16_data, i16),
        Dtype::Int32 => as_type!(with_i32_data, i32),
        Dtype::Int64 => as_type!(with_i64_data, i64),
        Dtype::Uint8 => as_type!(with_u8_data, u8),
        Dtype::Uint16 => as_type!(with_u16_data, u16),
        Dtype::Uint32 => as_type!(with_u32_data, u32),
        Dtype::Uint64 => as_type!(with_u64_data, u64),
        Dtype::Bool => {
            let bits: Vec<u8> = numbers.iter().map(|&bit| u8::from(bit != 0.0)).collect();
            array.with_enum_u8_data(boolean(), &bits)
        }
    };
}
