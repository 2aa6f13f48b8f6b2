//! The body that creates an environment, and its meaning: a spec, arguments, environments.

use std::io;

use env_protocol::{
    AutoresetMode, CreateEnv, CreateVectorEnv, EnvDescription, ErrorCode, Problem, Seed,
    VectorEnvDescription,
};
use environments::Arguments;
use serde::{Deserialize, Serialize};

use super::catalogue::{AnySpec, Catalogue, Maker, refused_kwargs};
use super::lanes::Lanes;

/// The body that creates an environment, of either kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Creation {
    /// One environment, with replies of a single lane.
    Single(CreateEnv),
    /// `num_envs` lanes.
    Vector(CreateVectorEnv),
}

/// The two kinds of session, which have different paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Under `/v1/envs`.
    Single,
    /// Under `/v1/vector-envs`.
    Vector,
}

impl Kind {
    /// Returns its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Single => "single",
            Kind::Vector => "vector",
        }
    }
}

impl Creation {
    /// Returns the kind of session that it creates.
    pub fn kind(&self) -> Kind {
        match self {
            Creation::Single(_) => Kind::Single,
            Creation::Vector(_) => Kind::Vector,
        }
    }

    /// Returns the id of its spec.
    pub fn spec_id(&self) -> &str {
        match self {
            Creation::Single(body) => &body.spec_id,
            Creation::Vector(body) => &body.spec_id,
        }
    }

    /// Returns the number of lanes.
    pub fn num_envs(&self) -> u64 {
        match self {
            Creation::Single(_) => 1,
            Creation::Vector(body) => body.num_envs,
        }
    }

    /// Returns the lease that it requests, in seconds.
    pub(super) fn ttl_s(&self) -> Option<u64> {
        match self {
            Creation::Single(body) => body.ttl_s,
            Creation::Vector(body) => body.ttl_s,
        }
    }

    /// Returns how a vector environment starts new episodes; `None` for a single environment.
    pub(super) fn autoreset_mode(&self) -> Option<AutoresetMode> {
        match self {
            Creation::Single(_) => None,
            Creation::Vector(body) => Some(body.autoreset_mode),
        }
    }
}

/// The description of an environment, of either kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one variant a body")]
pub enum Description {
    Single(EnvDescription),
    Vector(VectorEnvDescription),
}

impl Description {
    /// Returns its length as JSON, in bytes.
    pub(super) fn json_bytes(&self) -> usize {
        struct Count(usize);
        impl io::Write for Count {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut count = Count(0);
        serde_json::to_writer(&mut count, self).expect("plain data");
        count.0
    }

    /// Returns the description without the seed, which determines all future draws.
    #[must_use]
    pub fn without_seed(mut self) -> Self {
        match &mut self {
            Description::Single(description) => description.seed = None,
            Description::Vector(description) => description.seed = None,
        }
        self
    }
}

/// Checks that there is one seed per lane.
pub(super) fn check_seed(seed: &Seed, num_envs: usize) -> Result<(), Problem> {
    match seed {
        Seed::Each(seeds) if seeds.len() != num_envs => {
            let detail = format!("{} seeds for {num_envs} lanes", seeds.len());
            Err(Problem::new(ErrorCode::InvalidSeed, detail).at("/seed"))
        }
        _ => Ok(()),
    }
}

/// Returns the spec of a creation, the maker of its environments, and its arguments.
///
/// # Errors
/// `unknown-spec` or `invalid-kwargs`.
pub(super) fn resolve(
    catalogue: &Catalogue,
    creation: &Creation,
) -> Result<(AnySpec, Maker, Arguments), Problem> {
    let (spec_id, kwargs) = match creation {
        Creation::Single(body) => (&body.spec_id, &body.kwargs),
        Creation::Vector(body) => (&body.spec_id, &body.kwargs),
    };
    let (spec, maker) = catalogue
        .find_maker(spec_id)
        .map_err(|problem| problem.at("/spec_id"))?;
    let arguments = Arguments::resolve(&spec.parameters, kwargs).map_err(refused_kwargs)?;
    Ok((spec, maker, arguments))
}

/// Creates the environments of a creation whose arguments are resolved.
///
/// # Errors
/// `invalid-num-envs`, when there is no lane, `invalid-kwargs`, when arguments contradict each
/// other, or `host-failed`.
pub(super) fn make_lanes(
    maker: &Maker,
    arguments: &Arguments,
    creation: &Creation,
    seed: &Seed,
) -> Result<Lanes, Problem> {
    // A single environment never starts a new episode by itself.
    let mode = creation.autoreset_mode().unwrap_or(AutoresetMode::Disabled);
    let num_envs = creation.num_envs() as usize;
    if num_envs == 0 {
        // The store checks the requests of clients, but nothing has checked records and files.
        let detail = "there must be at least one lane";
        return Err(Problem::new(ErrorCode::InvalidNumEnvs, detail).at("/num_envs"));
    }
    maker.make(arguments, num_envs, mode, seed)
}
