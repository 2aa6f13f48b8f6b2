//! Everything that can be created: the built-in tasks, and the environments of hosts.

use std::ops::Deref;
use std::sync::Arc;

use env_protocol::{AutoresetMode, ErrorCode, Kwargs, Problem, Returns, Seed, Spec};
use environments::registry::{self, Entry};
use environments::{Arguments, KwargsError};
use hosts::protocol::HostedSpec;
use hosts::{CreateError, Host};

use super::lanes::Lanes;

/// The specs of a server.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    hosted: Vec<Hosted>,
}

#[derive(Clone, Debug)]
struct Hosted {
    spec: Arc<Spec>,
    /// As the host has it.
    told: Arc<HostedSpec>,
    host: Host,
}

/// A spec of a catalogue.
#[derive(Clone, Debug, PartialEq)]
pub enum AnySpec {
    /// Of a built-in task.
    Native(&'static Spec),
    /// Of a host's environment.
    Hosted(Arc<Spec>),
}

impl Deref for AnySpec {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        match self {
            AnySpec::Native(spec) => spec,
            AnySpec::Hosted(spec) => spec,
        }
    }
}

/// The maker of environments of one spec.
#[derive(Clone)]
pub(super) enum Maker {
    Native(&'static Entry),
    Hosted(Host, Arc<HostedSpec>),
}

impl Catalogue {
    /// Creates a catalogue with the built-in tasks and those of hosts, which have different names.
    pub fn with_hosts(hosts: Vec<Host>) -> Self {
        let hosted = hosts.iter().flat_map(|host| {
            host.specs().iter().map(|told| Hosted {
                spec: Arc::new(spec_of(host, told)),
                told: Arc::clone(told),
                host: host.clone(),
            })
        });
        Catalogue {
            hosted: hosted.collect(),
        }
    }

    /// Returns every spec, those of hosts last.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        let hosted = self.hosted.iter().map(|hosted| &*hosted.spec);
        registry::specs().iter().chain(hosted)
    }

    /// Finds a spec by its id.
    ///
    /// # Errors
    /// `unknown-spec`.
    pub fn find(&self, spec_id: &str) -> Result<AnySpec, Problem> {
        self.find_maker(spec_id).map(|(spec, _)| spec)
    }

    pub(super) fn find_maker(&self, spec_id: &str) -> Result<(AnySpec, Maker), Problem> {
        if let Some((entry, spec)) = registry::find(spec_id) {
            return Ok((AnySpec::Native(spec), Maker::Native(entry)));
        }
        let mut hosted = self.hosted.iter();
        let found = hosted.find(|hosted| hosted.spec.id == spec_id);
        let found = found.ok_or_else(|| unknown_spec(self, spec_id))?;
        let maker = Maker::Hosted(found.host.clone(), Arc::clone(&found.told));
        Ok((AnySpec::Hosted(Arc::clone(&found.spec)), maker))
    }

    /// Returns a spec with the spaces, rewards and returns of these arguments.
    ///
    /// # Errors
    /// `unknown-spec`, `invalid-kwargs` or `host-failed`.
    pub fn spec_with(&self, spec_id: &str, kwargs: &Kwargs) -> Result<Spec, Problem> {
        if let Some(spec) = registry::spec_with(spec_id, kwargs) {
            return spec.map_err(refused_kwargs);
        }
        let (spec, maker) = self.find_maker(spec_id)?;
        let arguments = Arguments::resolve(&spec.parameters, kwargs).map_err(refused_kwargs)?;
        let one = maker.make(&arguments, 1, AutoresetMode::Disabled, &Seed::First(0))?;
        Ok(Spec {
            observation_space: one.observation_space().clone(),
            action_space: one.action_space().clone(),
            ..(*spec).clone()
        })
    }
}

impl Maker {
    /// Makes lanes that wait for their first reset.
    ///
    /// # Errors
    /// `invalid-kwargs` or `host-failed`.
    pub(super) fn make(
        &self,
        arguments: &Arguments,
        num_envs: usize,
        mode: AutoresetMode,
        seed: &Seed,
    ) -> Result<Lanes, Problem> {
        match self {
            Maker::Native(entry) => {
                let made = (entry.vector)(arguments, num_envs, mode, seed);
                made.map(Lanes::Native).map_err(refused_kwargs)
            }
            Maker::Hosted(host, told) => {
                let made = host.create(told, &arguments.to_kwargs(), num_envs, mode, seed);
                made.map(Lanes::Hosted).map_err(|error| match error {
                    CreateError::Refused { name, reason } => match name {
                        Some(name) => refused_kwargs(KwargsError::new(&name, reason)),
                        None => Problem::new(ErrorCode::InvalidKwargs, reason).at("/kwargs"),
                    },
                    CreateError::Fault(fault) => {
                        Problem::new(ErrorCode::HostFailed, fault.to_string())
                    }
                })
            }
        }
    }

    /// Whether environments are played by a host.
    pub(super) fn is_hosted(&self) -> bool {
        matches!(self, Maker::Hosted(..))
    }
}

/// Returns the spec of a host's environment as clients see it.
fn spec_of(host: &Host, told: &HostedSpec) -> Spec {
    Spec {
        id: format!("{}/{}", host.name(), told.id),
        description: told.description.clone(),
        parameters: told.parameters.clone(),
        observation_space: told.observation_space.clone(),
        action_space: told.action_space.clone(),
        reward_range: told.reward_range.unwrap_or([f64::MIN, f64::MAX]),
        solved_threshold: None,
        remember: String::new(),
        needs_memory: true,
        returns: Returns::default(),
        source: format!("host {}", host.name()),
    }
}

/// Returns the problem of an argument that a spec does not accept.
pub(super) fn refused_kwargs(error: KwargsError) -> Problem {
    let pointer = format!("/kwargs/{}", escape(&error.name));
    Problem::new(ErrorCode::InvalidKwargs, error.to_string()).at(pointer)
}

/// Returns the problem of an unknown spec, with the known ones and the closest match.
fn unknown_spec(catalogue: &Catalogue, spec_id: &str) -> Problem {
    let known: Vec<_> = catalogue.specs().map(|s| s.id.as_str()).collect();
    let meant = env_protocol::hint(spec_id, known.iter().copied());
    let detail = format!(
        "there is no {spec_id:?}{meant}; there are {}",
        known.join(", ")
    );
    Problem::new(ErrorCode::UnknownSpec, detail)
}

/// Escapes a name for a JSON pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
