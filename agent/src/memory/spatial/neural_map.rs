//! The Neural Map (Parisotto and Salakhutdinov 2018, arXiv:1702.08360): a map of cells, of which the agent writes the one
//! that it stands on and reads all.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::pose::{Grid, MapPose, Places};
use crate::hyper::section::section;
use crate::memory::recurrent::cell::Cell;
use crate::memory::{CoreContext, MemoryContents, Network, State, Writes};
use crate::nn::{self, Activation, Graph, Init, ParamId, ScoreTerms, Tensor};
use crate::onnx::{self, StepGraph};

/// How the content of a cell changes when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MapWrite {
    /// Through the gates of a GRU, which can keep what is there.
    Gru,
    /// Anew.
    Plain,
}

section! {
    /// A map of places.
    pub struct Map, overridden by MapOverrides {
        /// Cells along each axis of the map, at most; of a time line, its number of cells.
        map_cells: usize = 32, |&v| (1..=1_024).contains(&v), "1 to 1024";
        /// Numbers in each cell.
        map_channels: usize = 8, |&v| (1..=256).contains(&v), "1 to 256";
        /// Place of the agent: `auto` (the observation's `position`, else the step of the episode), `time` (the step),
        /// `hidden` (one cell for everything: the control that hides it).
        #[arg(value_name = "POSE")]
        map_pose: MapPose = MapPose::Auto, |_| true, "auto, time or hidden";
        /// Keep the agent in the middle and move the map around it.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        egocentric: bool = false, |_| true, "true or false";
        /// How a cell is written: `gru` (gated), `plain` (anew).
        #[arg(value_name = "WRITE")]
        map_write: MapWrite = MapWrite::Gru, |_| true, "gru or plain";
    }
}

/// Indices of the state's matrices.
const MAP: usize = 0;
/// Attention of the context read in the last step, for inspection.
const ATTENTION: usize = 1;
/// What the [`Grid`] keeps.
const PLACE: usize = 2;

/// A map with its reads and its write.
pub struct NeuralMapCell {
    encode: (ParamId, ParamId),
    read: (ParamId, ParamId),
    query: ParamId,
    write: Write,
    grid: Grid,
    input_size: usize,
    hidden_size: usize,
    channels: usize,
    egocentric: bool,
    writes: bool,
}

/// Weights of a write.
struct Write {
    /// Of what was seen and read; of a GRU for reset, update and candidate side by side.
    seen: (ParamId, ParamId),
    /// Of the old content; of a GRU for reset and update.
    old: ParamId,
    /// Of the old content after the reset of a GRU.
    candidate: Option<ParamId>,
}

/// The share of new content in a cell begins at σ(−1): at first 73 % of the old stays.
const UPDATE_BIAS: f32 = -1.0;

impl NeuralMapCell {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let map = context.hyper.get::<Map>();
        let (inputs, channels) = (context.input_size, map.map_channels);
        let hidden = context.hyper.get::<Network>().hidden_size;
        let writes = context.hyper.get::<Writes>().memory_writes;
        let grid = Grid::new(map.map_pose, context.columns, map.map_cells);
        let CoreContext { params, rng, .. } = context;
        let mut add =
            |name: &str, shape, init| params.add(&format!("core.{name}"), shape, init, rng);
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let mut layer = |name: &str, (rows, columns)| {
            let weight = add(&format!("{name}.weight"), (rows, columns), orthogonal);
            let bias = add(&format!("{name}.bias"), (1, columns), Init::Zeros);
            (weight, bias)
        };
        let encode = layer("encode", (inputs, hidden));
        let read = layer("read", (grid.cells() * channels, channels));
        let is_gated = map.map_write == MapWrite::Gru;
        let parts = if is_gated { 3 } else { 1 };
        let seen = layer("write.seen", (hidden + 2 * channels, parts * channels));
        let old = (channels, if is_gated { 2 * channels } else { channels });
        let old = add("write.old.weight", old, orthogonal);
        let square = (channels, channels);
        let candidate = is_gated.then(|| add("write.candidate.weight", square, orthogonal));
        let query = add("query.weight", (hidden + channels, channels), orthogonal);
        if is_gated {
            params.data_mut(seen.1)[channels..2 * channels].fill(UPDATE_BIAS);
        }
        Self {
            encode,
            read,
            query,
            write: Write {
                seen,
                old,
                candidate,
            },
            grid,
            input_size: inputs,
            hidden_size: hidden,
            channels,
            egocentric: map.egocentric,
            writes,
        }
    }

    /// Returns the map `[lanes * cells, channels]` as the agent finds it: moved around it, if it is egocentric.
    fn arrive(&self, graph: &mut Graph<'_>, map: &Tensor, places: &Places) -> Tensor {
        let cells = self.grid.cells();
        let rows = (places.cells.len() * cells, self.channels);
        let map = graph.reshape(map, rows);
        if !self.egocentric {
            return map;
        }
        let lanes = places.sources.chunks_exact(cells).enumerate();
        let index: Vec<i32> = lanes
            .flat_map(|(lane, sources)| {
                let row = move |source: usize| (lane * cells + source) as i32;
                sources.iter().map(move |source| source.map_or(-1, row))
            })
            .collect();
        graph.rows_or_zeros(&map, &index)
    }

    /// Reads the map by content: returns a mean of its cells, and their weights `[lanes, cells]`.
    fn read_context(
        &self,
        graph: &mut Graph<'_>,
        map: &Tensor,
        seen: &Tensor,
        lanes: usize,
    ) -> (Tensor, Vec<f32>) {
        let query = graph.linear(seen, self.query, None, Activation::Identity);
        let index: Vec<i32> = (0..(lanes * self.grid.cells()) as i32).collect();
        let read = graph.attention_read(&query, map, map, ScoreTerms::NONE, &index, 1);
        (read.readout, read.weights)
    }

    /// Returns the new content of a cell with content `old`, after `seen`.
    fn rewrite(&self, graph: &mut Graph<'_>, seen: &Tensor, old: &Tensor) -> Tensor {
        let identity = Activation::Identity;
        let (weight, bias) = self.write.seen;
        let from_seen = graph.linear(seen, weight, Some(bias), identity);
        let from_old = graph.linear(old, self.write.old, None, identity);
        let Some(candidate) = self.write.candidate else {
            let sum = graph.add(&from_seen, &from_old);
            return graph.activate(&sum, Activation::Tanh);
        };
        let channels = self.channels;
        let gates = graph.columns(&from_seen, 0..2 * channels);
        let gates = graph.add(&gates, &from_old);
        let gates = graph.activate(&gates, Activation::Sigmoid);
        let reset = graph.columns(&gates, 0..channels);
        let update = graph.columns(&gates, channels..2 * channels);
        let recalled = graph.mul(&reset, old);
        let recalled = graph.linear(&recalled, candidate, None, identity);
        let new = graph.columns(&from_seen, 2 * channels..3 * channels);
        let new = graph.add(&new, &recalled);
        let new = graph.activate(&new, Activation::Tanh);
        graph.between(old, &new, &update)
    }
}

impl Cell for NeuralMapCell {
    fn feature_size(&self) -> usize {
        3 * self.channels
    }

    fn state_widths(&self) -> Vec<usize> {
        let cells = self.grid.cells();
        vec![cells * self.channels, cells, self.grid.width()]
    }

    /// The inputs, in which the position is, and s of all steps.
    fn prepare(&self, graph: &mut Graph<'_>, x: &Tensor) -> Tensor {
        let rows = nn::values(x).len() / self.input_size;
        let scaled = self.grid.scaled(nn::values(x), self.input_size);
        let scaled = graph.constant(scaled, (rows, self.input_size));
        let (weight, bias) = self.encode;
        let seen = graph.linear(&scaled, weight, Some(bias), Activation::Tanh);
        graph.concat_cols(&[x, &seen])
    }

    /// r = read(M), c = Σ α M with α = softmax(q·M / √C) and q = W [s, r], w = write(s, r, c, M of the agent's cell); all
    /// of the map before the write. The features are r, c and w.
    fn step(&self, graph: &mut Graph<'_>, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
        let (row, before) = (nn::values(x), nn::values(&state[PLACE]));
        let width = self.input_size + self.hidden_size;
        let places = self.grid.places(row, width, before, self.egocentric);
        let (lanes, cells) = (places.cells.len(), self.grid.cells());
        let flat = (lanes, cells * self.channels);
        let map = self.arrive(graph, &state[MAP], &places);
        let seen = graph.columns(x, self.input_size..width);
        let whole = graph.reshape(&map, flat);
        let global = graph.linear(&whole, self.read.0, Some(self.read.1), Activation::Tanh);
        let seen = graph.concat_cols(&[&seen, &global]);
        let (context, attention) = self.read_context(graph, &map, &seen, lanes);
        let seen = graph.concat_cols(&[&seen, &context]);
        let own = places.cells.iter().enumerate();
        let own: Vec<u32> = own
            .map(|(lane, cell)| (lane * cells + cell) as u32)
            .collect();
        let old = graph.gather_rows(&map, &own);
        let new = self.rewrite(graph, &seen, &old);
        let map = match self.writes {
            true => graph.write_rows(&map, &new, &own),
            false => map,
        };
        let state = vec![
            graph.reshape(&map, flat),
            graph.constant(attention, (lanes, cells)),
            graph.constant(places.kept, (lanes, self.grid.width())),
        ];
        (graph.concat_cols(&[&global, &context, &new]), state)
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let cells = state.arrays[MAP].row(lane).chunks_exact(self.channels);
        let norms = cells.map(|cell| cell.iter().map(|x| x * x).sum::<f32>().sqrt());
        MemoryContents::Vectors(vec![
            ("norm of each cell", norms.collect()),
            (
                "attention to each cell",
                state.arrays[ATTENTION].row(lane).to_vec(),
            ),
        ])
    }

    /// On a map that moves along a time line the agent's cell is always a new one: there is no old content to weigh.
    fn may_be_idle(&self, parameter: &str) -> bool {
        let of_old = ["core.write.old", "core.write.candidate"];
        self.egocentric && of_old.iter().any(|name| parameter.starts_with(name))
    }

    fn onnx(&self, _: &mut StepGraph<'_>, _: &onnx::Value) -> Result<onnx::Value, &'static str> {
        Err("the cell that a step writes is not known before it")
    }
}

#[cfg(test)]
mod tests;
