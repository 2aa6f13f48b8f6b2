//! MVProp (Nardelli et al. 2019, Value Propagation Networks, arXiv:1805.11199): a planner over a raster of cells. Rewards
//! spread from cell to cell, and the agent looks at the values around it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::raster::{AGENT, Raster};
use crate::hyper::section::section;
use crate::memory::{
    Array, CoreContext, CoreStep, MemoryContents, MemoryCore, Network, Segment, State, Unrolled,
};
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;
use crate::spaces::encoder::InputColumn;

/// Ways to keep the rasters of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MapMemory {
    /// Of each cell and channel the greatest number so far in the episode; where the agent is, only the last raster says.
    Accumulate,
    /// Nothing: it plans on the last raster.
    None,
}

section! {
    /// Planning on a raster.
    pub struct Planning, overridden by PlanningOverrides {
        /// Times that values spread to neighbouring cells; 0: until nothing changes, at most once for each cell.
        iterations: usize = 0, |&v| v <= 10_000, "0 to 10000";
        /// Memory of past rasters: `accumulate` (the greatest number of each cell), `none` (the control).
        #[arg(value_name = "MEMORY")]
        map_memory: MapMemory = MapMemory::Accumulate, |_| true, "accumulate or none";
    }
}

/// Numbers in the block of cells around a cell.
const BLOCK: usize = 9;
/// Cells begin as such that let most of a value through: σ(2) = 0.88. At σ(0) nothing would reach far.
const PASSAGE_BIAS: f32 = 2.0;
/// Cells begin as worth little: σ(−3) = 0.05. A value that has fallen below what each cell is worth spreads no farther.
const REWARD_BIAS: f32 = -3.0;

/// Indices of the state's matrices.
const MAP: usize = 0;
/// v of the last step, for inspection.
const VALUES: usize = 1;
/// p of the last step, for inspection.
const PASSAGE: usize = 2;

/// Two convolutions, the spreading of rewards, and a look around.
pub struct MvProp {
    raster: Raster,
    /// Blocks of the map to hidden numbers of their middle cell.
    hidden: (ParamId, ParamId),
    /// Hidden numbers to r and p.
    maps: (ParamId, ParamId),
    iterations: usize,
    memory: MapMemory,
    input_size: usize,
}

/// A pass over rows of inputs.
struct Pass {
    /// `[rows, feature_size]`.
    features: Tensor,
    /// v, `[rows * cells, 1]`.
    values: Tensor,
    /// r and p, `[rows * cells, 2]`.
    maps: Tensor,
}

impl MvProp {
    /// Returns whether it can plan on observations with these columns.
    ///
    /// # Errors
    /// The reason why it cannot.
    pub fn plays(columns: &[InputColumn]) -> Result<(), &'static str> {
        let raster = Raster::find(columns).filter(|raster| raster.channels > AGENT);
        let raster = raster.ok_or(
            "it plans on a raster: a Box of channels, rows and columns whose second channel marks the agent, as \
             GridMaze-v0 has it",
        )?;
        let columns = &columns[raster.first..raster.first + raster.numbers()];
        match columns
            .iter()
            .all(|column| column.bounds == Some([0.0, 1.0]))
        {
            true => Ok(()),
            false => Err("it plans on a raster of numbers from 0 to 1, and this one has others"),
        }
    }

    /// Adds its parameters to the context's.
    ///
    /// # Panics
    /// Where [`MvProp::plays`] is an error.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let raster = Raster::find(context.columns).expect("`plays` was asked");
        let hidden = context.hyper.get::<Network>().hidden_size;
        let Planning {
            iterations,
            map_memory,
        } = context.hyper.get();
        let CoreContext { params, rng, .. } = context;
        let mut layer = |name: &str, shape, gain| {
            let init = Init::Orthogonal { gain };
            let weight = params.add(&format!("core.{name}.weight"), shape, init, rng);
            let bias = (1, if name == "maps" { 2 } else { shape.1 });
            let bias = params.add(&format!("core.{name}.bias"), bias, Init::Zeros, rng);
            (weight, bias)
        };
        let gain = std::f32::consts::SQRT_2;
        let of_blocks = layer("hidden", (BLOCK * raster.channels, hidden), gain);
        let maps = layer("maps", (hidden, BLOCK * 2), 1.0);
        params
            .data_mut(maps.1)
            .copy_from_slice(&[REWARD_BIAS, PASSAGE_BIAS]);
        Self {
            raster,
            hidden: of_blocks,
            maps,
            iterations: match iterations {
                0 => raster.size.cells(),
                some => some,
            },
            memory: map_memory,
            input_size: context.input_size,
        }
    }

    /// Returns the map of each input row, `[rows, channels * cells]`, one step of all lanes after the other. `map` is that
    /// of the lanes before, and becomes that after them.
    fn maps(&self, inputs: &[f32], starts: &[bool], map: &mut [f32]) -> Vec<f32> {
        let (numbers, cells) = (self.raster.numbers(), self.raster.size.cells());
        let lanes = map.len() / numbers;
        let agent = AGENT * cells..(AGENT + 1) * cells;
        let mut maps = Vec::with_capacity(starts.len() * numbers);
        let rows = inputs.chunks_exact(self.input_size).zip(starts);
        for (row, (inputs, &starts)) in rows.enumerate() {
            let seen = self.raster.of(inputs);
            let map = &mut map[row % lanes * numbers..][..numbers];
            if starts || self.memory == MapMemory::None {
                map.copy_from_slice(seen);
            } else {
                let pairs = map.iter_mut().zip(seen);
                pairs.for_each(|(map, seen)| *map = map.max(*seen));
                map[agent.clone()].copy_from_slice(&seen[agent.clone()]);
            }
            maps.extend_from_slice(map);
        }
        maps
    }

    /// Returns the block around each cell of each map, `[rows * cells, 9 * channels]`, with zeros off the grid.
    fn blocks(&self, maps: &[f32]) -> Vec<f32> {
        let Raster { channels, size, .. } = self.raster;
        let cells = size.cells();
        let around: Vec<_> = (0..cells).map(|cell| size.block(cell)).collect();
        let mut blocks = Vec::with_capacity(maps.len() * BLOCK);
        for map in maps.chunks_exact(channels * cells) {
            for block in &around {
                for cell in block {
                    let number =
                        |channel: usize| cell.map_or(0.0, |cell| map[channel * cells + cell]);
                    blocks.extend((0..channels).map(number));
                }
            }
        }
        blocks
    }

    /// r, p = σ(conv(relu(conv(X)))), v from them, and as features the blocks of v and X around the agent and all else of
    /// the inputs.
    fn forward(&self, graph: &mut Graph<'_>, inputs: &[f32], maps: &[f32]) -> Pass {
        let Raster { channels, size, .. } = self.raster;
        let (cells, numbers) = (size.cells(), self.raster.numbers());
        let rows = maps.len() / numbers;
        let blocks = self.blocks(maps);
        let agents: Vec<usize> = maps
            .chunks_exact(numbers)
            .map(|map| self.raster.agent(map))
            .collect();
        let width = BLOCK * channels;
        let others = inputs.chunks_exact(self.input_size);
        let seen: Vec<f32> = (others.zip(&agents).enumerate())
            .flat_map(|(row, (inputs, agent))| {
                let block = &blocks[(row * cells + agent) * width..][..width];
                block.iter().copied().chain(self.raster.others(inputs))
            })
            .collect();
        let around: Vec<i32> = (agents.iter().enumerate())
            .flat_map(|(row, &agent)| {
                let place = move |cell: usize| (row * cells + cell) as i32;
                size.block(agent).map(|cell| cell.map_or(-1, place))
            })
            .collect();

        let blocks = graph.constant(blocks, (rows * cells, width));
        let (weight, bias) = self.hidden;
        let hidden = graph.linear(&blocks, weight, Some(bias), Activation::Relu);
        let maps = graph.convolve(&hidden, self.maps, size);
        let maps = graph.activate(&maps, Activation::Sigmoid);
        let values = graph.propagate(&maps, size, self.iterations);
        let near = graph.rows_or_zeros(&values, &around);
        let near = graph.reshape(&near, (rows, BLOCK));
        let seen = graph.constant(seen, (rows, self.feature_size() - BLOCK));
        Pass {
            features: graph.concat_cols(&[&near, &seen]),
            values,
            maps,
        }
    }
}

impl MemoryCore for MvProp {
    fn feature_size(&self) -> usize {
        let others = self.input_size - self.raster.numbers();
        BLOCK * (1 + self.raster.channels) + others
    }

    fn initial_state(&self, batch: usize) -> State {
        let cells = self.raster.size.cells();
        let widths = [self.raster.numbers(), cells, cells];
        State::new(
            batch,
            widths
                .map(|width| Array::filled(batch, width, 0.0))
                .to_vec(),
        )
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let maps = self.maps(inputs, starts, &mut state.arrays[MAP].data);
        let pass = self.forward(&mut Graph::inference(params), inputs, &maps);
        state.arrays[VALUES]
            .data
            .copy_from_slice(nn::values(&pass.values));
        let passage = nn::values(&pass.maps).iter().skip(1).step_by(2);
        state.arrays[PASSAGE].data = passage.copied().collect();
        CoreStep {
            features: pass.features,
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let mut map = segment.initial_state.arrays[MAP].data.clone();
        let maps = self.maps(segment.inputs, segment.starts, &mut map);
        Unrolled {
            features: self.forward(graph, segment.inputs, &maps).features,
            critic_features: None,
            losses: Vec::new(),
        }
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let row = |matrix: usize| state.arrays[matrix].row(lane).to_vec();
        MemoryContents::Vectors(vec![
            ("value of each cell", row(VALUES)),
            ("passage through each cell", row(PASSAGE)),
        ])
    }

    fn plays_any_size(&self) -> bool {
        true
    }

    fn onnx(&self, _: &mut StepGraph<'_>, _: &onnx::Value) -> Result<onnx::Value, &'static str> {
        Err("the cell around which a step looks is not known before it")
    }
}

#[cfg(test)]
mod tests;
