//! The state of lanes as bytes, written and read without an intermediate document: a tree of JSON
//! values takes 32 bytes for a number that is one byte of a deck.

use std::io::{self, Write};

use env_protocol::{AutoresetMode, Encoding, Kwargs, LanePhase};
use serde::{Deserialize, Serialize, Serializer};

use super::head::Head;
use super::{Lane, VectorOf};
use crate::pieces::Pieces;
use crate::render::Pictured;
use crate::{Catalogued, Element, Environment};

/// An [`env_protocol::Snapshot`], field by field.
#[derive(Serialize)]
#[serde(bound = "")]
struct SnapshotOf<'a, E: Environment> {
    format: &'static str,
    version: u32,
    spec_id: &'a str,
    kwargs: &'a Kwargs,
    #[serde(skip_serializing_if = "Option::is_none")]
    autoreset_mode: Option<AutoresetMode>,
    observations: Observations<'a, E>,
    lanes: Lanes<'a, E>,
}

/// A [`super::Saved`], field by field.
#[derive(Serialize)]
#[serde(bound = "")]
struct SavedOf<'a, E: Environment> {
    observations: Observations<'a, E>,
    lanes: Lanes<'a, E>,
}

struct Observations<'a, E: Environment>(&'a [E::Element]);

impl<E: Environment> Serialize for Observations<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|x| x.to_f64()))
    }
}

struct Lanes<'a, E>(&'a [Lane<E>]);

impl<E: Environment> Serialize for Lanes<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|lane| LaneOf {
            phase: lane.phase,
            rng: lane.rng.to_hex(),
            state: &lane.environment,
        }))
    }
}

/// An [`env_protocol::LaneSnapshot`].
#[derive(Serialize, Deserialize)]
struct LaneOf<S> {
    phase: LanePhase,
    rng: String,
    state: S,
}

/// A [`super::Saved`] with states as environments.
#[derive(Deserialize)]
#[serde(bound = "")]
struct Read<E: Environment> {
    observations: Vec<f64>,
    lanes: Vec<LaneOf<E>>,
}

impl<E: Catalogued + Pictured> VectorOf<E> {
    /// Writes a snapshot.
    ///
    /// # Errors
    /// Errors of `out`.
    pub(super) fn write_state(
        &self,
        head: &Head<'_>,
        encoding: Encoding,
        out: &mut Pieces,
    ) -> io::Result<()> {
        let snapshot = SnapshotOf::<E> {
            format: env_protocol::SNAPSHOT_FORMAT,
            version: env_protocol::SNAPSHOT_VERSION,
            spec_id: head.spec_id,
            kwargs: head.kwargs,
            autoreset_mode: head.autoreset_mode,
            observations: Observations(&self.observations),
            lanes: Lanes(&self.lanes),
        };
        match encoding {
            Encoding::Json => {
                let mut serializer = serde_json::Serializer::with_formatter(out, Widening);
                snapshot.serialize(&mut serializer)?;
            }
            Encoding::MessagePack => {
                let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
                snapshot
                    .serialize(&mut serializer)
                    .map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Returns the state in the form that histories hold.
    pub(super) fn to_base(&self) -> Vec<u8> {
        let saved = SavedOf::<E> {
            observations: Observations(&self.observations),
            lanes: Lanes(&self.lanes),
        };
        let mut base = rmp_serde::to_vec_named(&saved).expect("plain data into memory");
        base.shrink_to_fit();
        base
    }

    /// Restores a state that [`Self::to_base`] wrote.
    ///
    /// # Errors
    /// Says what does not fit.
    pub(super) fn read_base(&mut self, base: &[u8]) -> Result<(), String> {
        let Read::<E> {
            observations,
            lanes,
        } = rmp_serde::from_slice(base).map_err(|e| e.to_string())?;
        let lanes = lanes
            .into_iter()
            .map(|lane| (lane.phase, lane.rng, lane.state));
        let parsed = self.parse(&observations, lanes.len(), lanes.map(Ok));
        (self.observations, self.lanes) = parsed.map_err(|refusal| refusal.to_string())?;
        self.actions.clear();
        Ok(())
    }
}

/// Writes each float32 as the float64 of the same value, because readers of JSON use float64.
struct Widening;

impl serde_json::ser::Formatter for Widening {
    fn write_f32<W: Write + ?Sized>(&mut self, out: &mut W, number: f32) -> io::Result<()> {
        serde_json::ser::CompactFormatter.write_f64(out, f64::from(number))
    }
}
