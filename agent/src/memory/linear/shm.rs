//! A matrix memory with a choice of three gates: stable Hadamard memory (Le et al. 2025, arXiv:2410.10132), GaLiTe
//! (Pramanik et al. 2024, arXiv:2310.15719) and mLSTM (Beck et al. 2024, arXiv:2405.04517).

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::stack::{Linear, LinearRecurrence, Sequence, add_read};
use crate::hyper::section::section;
use crate::memory::{CoreContext, Network};
use crate::nn::{self, Activation, Calibration, Graph, Init, MatrixMemory, ParamId, Tensor};
use crate::onnx::{self, Attribute, StepGraph};

/// How a matrix memory forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryGate {
    /// Every number by its own factor between 0 and 2 (stable Hadamard memory).
    Hadamard,
    /// Every number by its own factor between 0 and 1, with a normaliser (GaLiTe).
    Outer,
    /// All numbers by one factor between 0 and 1, with a normaliser (mLSTM).
    Scalar,
    /// Not at all: writes add up (linear attention). A control.
    None,
}

section! {
    /// A memory that is a matrix.
    pub struct Matrix, overridden by MatrixOverrides {
        /// How the matrix forgets: `hadamard` (SHM), `outer` (GaLiTe), `scalar` (mLSTM) or, as a control, not at all (`none`).
        #[arg(value_name = "GATE")]
        memory_gate: MemoryGate = MemoryGate::Hadamard, |_| true, "hadamard, outer, scalar or none";
        /// Rows and columns of the matrix.
        matrix_size: usize = 16, |&v| (1..=256).contains(&v), "1 to 256";
        /// Rows of the table that `hadamard` draws a row from at each step. 1 is a fixed row.
        theta_rows: usize = 1, |&v| (1..=1_024).contains(&v), "1 to 1024";
    }
}

/// Standard deviation of the table θ at the beginning.
const THETA_STD: f32 = 0.1;
/// Bias of γ at the beginning: with β about ½, a step takes away 6 % of a number.
const GAMMA_BIAS: f32 = -2.0;
/// Bias of the scalar forget gate at the beginning: 95 % stay.
const FORGET_BIAS: f32 = 3.0;
/// Least divisor of a normalised read.
const LEAST_DIVISOR: f32 = 1e-6;

/// M' = M ⊙ C + v kᵀ; W M' q + b is read. Keys and queries are softmaxes. The authors of SHM divide a rectified vector by its
/// sum; where all of it is 0, a step writes nothing and gets no gradient.
pub struct Shm {
    gate: Gate,
    /// To keys, queries and values, side by side.
    projection: ParamId,
    output: Linear,
    /// Numbers of a key and of a value.
    size: usize,
}

/// The calibration C, and the strength of a write.
enum Gate {
    /// C = 1 + tanh(θ wᵀ), and σ(s) v is written. θ is a row of a table; s and w are linear in the input.
    Hadamard {
        weight: ParamId,
        theta: ParamId,
        rows: usize,
    },
    /// C = 1 − β γᵀ, and β ⊙ v is written under γ ⊙ k. β and γ are logistic.
    Outer { gates: Linear },
    /// C = f, and v is written under i k. i and f are logistic.
    Scalar { gates: Linear },
    /// C = 1.
    None,
}

/// The share of a write's part in M, and where it goes.
struct Write {
    left: Tensor,
    right: Tensor,
    value: Tensor,
    key: Tensor,
}

impl Gate {
    fn new(context: &mut CoreContext<'_>, layer: &str, hidden: usize) -> Self {
        let Matrix {
            memory_gate,
            matrix_size: size,
            theta_rows: rows,
        } = context.hyper.get();
        let name = format!("{layer}.gates");
        match memory_gate {
            MemoryGate::Hadamard => {
                let CoreContext { params, rng, .. } = context;
                let (weight, theta) = (format!("{name}.weight"), format!("{layer}.theta"));
                let orthogonal = Init::Orthogonal { gain: 1.0 };
                Self::Hadamard {
                    weight: params.add(&weight, (hidden, 1 + size), orthogonal, rng),
                    theta: params.add(&theta, (rows, size), Init::Normal { std: THETA_STD }, rng),
                    rows,
                }
            }
            MemoryGate::Outer => {
                let gates = context.layer(&name, (hidden, 2 * size), 1.0);
                context.params.data_mut(gates.1)[size..].fill(GAMMA_BIAS);
                Self::Outer { gates }
            }
            MemoryGate::Scalar => {
                let gates = context.layer(&name, (hidden, 2), 1.0);
                context.params.data_mut(gates.1)[1] = FORGET_BIAS;
                Self::Scalar { gates }
            }
            MemoryGate::None => Self::None,
        }
    }

    fn calibration(&self) -> Calibration {
        match self {
            Self::Hadamard { .. } => Calibration::Hadamard,
            Self::Outer { .. } | Self::Scalar { .. } | Self::None => Calibration::Outer,
        }
    }

    /// Whether M has one more row, into which 1 is written and by which reads are divided.
    fn is_normalised(&self) -> bool {
        matches!(self, Self::Outer { .. } | Self::Scalar { .. })
    }

    /// Calibrates and weighs a write of `value` under `key`.
    fn write(
        &self,
        graph: &mut Graph<'_>,
        x: &Tensor,
        (key, value): (&Tensor, &Tensor),
        (choices, size): (&[i32], usize),
    ) -> Write {
        let rows = nn::values(key).len() / size;
        let fill = |graph: &Graph<'_>, number, columns| {
            graph.constant(vec![number; rows * columns], (rows, columns))
        };
        match *self {
            Self::Hadamard { weight, theta, .. } => {
                let both = graph.linear(x, weight, None, Activation::Identity);
                let strength = graph.columns(&both, 0..1);
                let strength = graph.activate(&strength, Activation::Sigmoid);
                let row = |number: usize| choices.get(number).map_or(0, |&choice| choice as u32);
                let chosen: Vec<u32> = (0..rows).map(row).collect();
                let theta = graph.param(theta);
                Write {
                    left: graph.gather_rows(&theta, &chosen),
                    right: graph.columns(&both, 1..1 + size),
                    value: graph.scale_rows(value, &strength),
                    key: key.clone(),
                }
            }
            Self::Outer { gates } => {
                let both = graph.linear(x, gates.0, Some(gates.1), Activation::Sigmoid);
                let left = graph.columns(&both, 0..size);
                let right = graph.columns(&both, size..2 * size);
                let value = graph.mul(&left, value);
                let one = fill(graph, 1.0, 1);
                Write {
                    left: graph.concat_cols(&[&left, &one]),
                    value: graph.concat_cols(&[&value, &one]),
                    key: graph.mul(&right, key),
                    right,
                }
            }
            Self::Scalar { gates } => {
                let both = graph.linear(x, gates.0, Some(gates.1), Activation::Sigmoid);
                let [input, forget] = [0, 1].map(|gate| graph.columns(&both, gate..gate + 1));
                let lost = graph.affine(&forget, -1.0, 1.0);
                let one = fill(graph, 1.0, 1);
                let one_each = fill(graph, 1.0, size);
                Write {
                    left: fill(graph, 1.0, size + 1),
                    right: graph.scale_rows(&one_each, &lost),
                    value: graph.concat_cols(&[value, &one]),
                    key: graph.scale_rows(key, &input),
                }
            }
            Self::None => Write {
                left: fill(graph, 0.0, size),
                right: fill(graph, 0.0, size),
                value: value.clone(),
                key: key.clone(),
            },
        }
    }
}

impl LinearRecurrence for Shm {
    fn new(context: &mut CoreContext<'_>, layer: &str) -> Self {
        let hidden = context.hyper.get::<Network>().hidden_size;
        let size = context.hyper.get::<Matrix>().matrix_size;
        let CoreContext { params, rng, .. } = &mut *context;
        let name = format!("{layer}.key_query_value.weight");
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let projection = params.add(&name, (hidden, 3 * size), orthogonal, *rng);
        let gain = std::f32::consts::SQRT_2;
        let output = format!("{layer}.output");
        Self {
            gate: Gate::new(context, layer, hidden),
            projection,
            output: context.layer(&output, (size, hidden), gain),
            size,
        }
    }

    fn state_size(&self) -> usize {
        (self.size + usize::from(self.gate.is_normalised())) * self.size
    }

    fn alternatives(&self) -> usize {
        match self.gate {
            Gate::Hadamard { rows, .. } => rows,
            Gate::Outer { .. } | Gate::Scalar { .. } | Gate::None => 1,
        }
    }

    fn layer(&self, graph: &mut Graph<'_>, x: &Tensor, over: &Sequence<'_>) -> (Tensor, Vec<f32>) {
        let sums = graph.linear(x, self.projection, None, Activation::Identity);
        let [key, query, value] =
            [0, 1, 2].map(|part| graph.columns(&sums, part * self.size..(part + 1) * self.size));
        let [key, query] = [key, query].map(|sums| graph.softmax(&sums));
        let write = self
            .gate
            .write(graph, x, (&key, &value), (over.choices, self.size));
        let inputs = MatrixMemory {
            left: write.left,
            right: write.right,
            value: write.value,
            key: write.key,
            query,
        };
        let calibration = self.gate.calibration();
        let (mut read, after) =
            graph.matrix_memory(&inputs, calibration, over.starts, over.before, over.batch);
        if self.gate.is_normalised() {
            read = graph.divide_by_last(&read, LEAST_DIVISOR);
        }
        let (weight, bias) = self.output;
        let read = graph.linear(&read, weight, Some(bias), Activation::Identity);
        (add_read(graph, x, &read), after)
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        x: &onnx::Value,
        state: &str,
    ) -> Result<onnx::Value, &'static str> {
        let Gate::Hadamard { weight, theta, .. } = self.gate else {
            return Err("a matrix memory has a form there with the Hadamard gate only");
        };
        if self.alternatives() > 1 {
            return Err("a matrix memory with more than one row of theta has no form there");
        }
        let size = self.size;
        let before = step.state(state, &[size * size], "a matrix, after the step before");
        let before = step.reset(&before, 0.0);
        let [projection, weight, theta] = [self.projection, weight, theta].map(|id| step.param(id));
        let graph = &mut step.graph;
        let sums = graph.op("MatMul", &[x, &projection]);
        let [key, query, value] =
            [0, 1, 2].map(|part| graph.columns(&sums, part * size, (part + 1) * size));
        let [key, query] = [key, query]
            .map(|sums| graph.node("Softmax", &[&sums], vec![Attribute::Int("axis", 1)]));
        let gates = graph.op("MatMul", &[x, &weight]);
        let strength = graph.columns(&gates, 0, 1);
        let strength = graph.op("Sigmoid", &[&strength]);
        let right = graph.columns(&gates, 1, 1 + size);
        let value = graph.op("Mul", &[&value, &strength]);
        let [left, value, query] =
            [theta, value, query].map(|column| graph.reshape(&column, &[size, 1]));
        let [right, key] = [right, key].map(|row| graph.reshape(&row, &[1, size]));
        let product = graph.op("Mul", &[&left, &right]);
        let product = graph.op("Tanh", &[&product]);
        let one = graph.floats(&[1], &[1.0]);
        let calibration = graph.op("Add", &[&product, &one]);
        let matrix = graph.reshape(&before, &[size, size]);
        let kept = graph.op("Mul", &[&matrix, &calibration]);
        let written = graph.op("Mul", &[&value, &key]);
        let matrix = graph.op("Add", &[&kept, &written]);
        let bounds = [-nn::MATRIX_LIMIT, nn::MATRIX_LIMIT].map(|bound| graph.floats(&[], &[bound]));
        let matrix = graph.op("Clip", &[&matrix, &bounds[0], &bounds[1]]);
        let read = graph.op("MatMul", &[&matrix, &query]);
        let read = graph.reshape(&read, &[size]);
        let flat = graph.reshape(&matrix, &[size * size]);
        step.next(state, &flat);
        Ok(step.linear(&read, self.output))
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::super::stack::Stack;
    use super::super::stack::testing::{features, set, stack};
    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::{Layers, MemoryCore};
    use crate::nn::{Params, values};
    use crate::seeds::LaneGenerators;

    fn memory(matrix: Matrix) -> (Stack<Shm>, Params) {
        let hyper = Hyperparameters::new()
            .with(Network { hidden_size: 4 })
            .with(Layers { memory_layers: 1 })
            .with(matrix);
        stack(4, &hyper)
    }

    fn identity(scale: f32) -> Vec<f32> {
        (0..16)
            .map(|i| if i % 5 == 0 { scale } else { 0.0 })
            .collect()
    }

    /// Weights that make a key and a query of the first two inputs, a value of the third, and the fourth feature of a read.
    fn wire(params: &mut Params, gates: &[f32]) {
        set(params, "core.embed.weight", &identity(1.0));
        let mut projection = vec![0.0; 4 * 6];
        (projection[0], projection[6 + 1]) = (100.0, 100.0);
        (projection[2], projection[6 + 3]) = (100.0, 100.0);
        projection[2 * 6 + 4] = 1.0;
        set(params, "core.layer1.key_query_value.weight", &projection);
        set(params, "core.layer1.gates.weight", gates);
        let mut output = vec![0.0; 2 * 4];
        output[3] = 1.0;
        set(params, "core.layer1.output.weight", &output);
    }

    /// Slot 1 is written, slot 2 is written, then both are read: with θ 0 and a strength of ½ each holds half its value.
    #[test]
    fn what_is_written_under_a_key_is_read_by_it() {
        let (core, mut params) = memory(Matrix {
            matrix_size: 2,
            ..Matrix::default()
        });
        wire(&mut params, &[0.0; 12]);
        set(&mut params, "core.layer1.theta", &[0.0; 2]);
        let inputs = [
            [2.0, 0.0, 0.5, 0.0],
            [0.0, 2.0, -0.25, 0.0],
            [2.0, 0.0, 0.0, 0.0],
            [0.0, 2.0, 0.0, 0.0],
        ];
        let seen: Vec<f32> = features(&core, &params, &inputs.concat())
            .chunks(4)
            .map(|features| features[3])
            .collect();
        let [first, second] = [0.5f32, -0.25].map(|x| (0.5 * x.tanh()).tanh());
        for (seen, expected) in seen.iter().zip([first, second, first, second]) {
            assert!((seen - expected).abs() < 1e-6, "{seen} {expected}");
        }
    }

    /// Normalised reads are averages: with an open forget gate, equal writes to one slot are read as their mean.
    #[test]
    fn normalised_reads_are_averages() {
        for memory_gate in [MemoryGate::Outer, MemoryGate::Scalar] {
            let (core, mut params) = memory(Matrix {
                memory_gate,
                matrix_size: 2,
                theta_rows: 1,
            });
            let (width, bias): (usize, &[f32]) = match memory_gate {
                MemoryGate::Scalar => (2, &[0.0, 100.0]),
                _ => (4, &[100.0, 100.0, -9.0, -9.0]),
            };
            wire(&mut params, &vec![0.0; 4 * width]);
            set(&mut params, "core.layer1.gates.bias", bias);
            let inputs = [[2.0, 0.0, 0.5, 0.0], [2.0, 0.0, -0.25, 0.0]];
            let seen = features(&core, &params, &inputs.concat());
            let [first, second] = [0.5f32, -0.25].map(f32::tanh);
            let mean = (0.5 * (first + second)).tanh();
            assert!((seen[3] - first.tanh()).abs() < 1e-5, "{memory_gate:?}");
            assert!((seen[7] - mean).abs() < 1e-4, "{memory_gate:?}");
        }
    }

    /// The recorded row of θ is that which calibrated the step.
    #[test]
    fn a_step_draws_a_row_and_records_it() {
        let (core, mut params) = memory(Matrix {
            theta_rows: 3,
            ..Matrix::default()
        });
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut noise = LaneGenerators::new(2, 0..1);
        let mut states = [core.initial_state(1), core.initial_state(1)];
        for step in 0..20 {
            let x: [f32; 4] = std::array::from_fn(|_| rng.random());
            let starts = [step == 0];
            let drawn = core.step(&params, &x, &starts, &mut states[0], Some(&mut noise));
            // A table of three equal rows, those drawn: any turn takes the same.
            let kept = params.export();
            let theta = params.ids().find(|&id| params.name(id).ends_with("theta"));
            let theta = theta.expect("the table");
            let row = drawn.decisions[0] as usize * 16;
            let row = params.data(theta)[row..row + 16].to_vec();
            params.data_mut(theta).copy_from_slice(&row.repeat(3));
            let taken = core.step(&params, &x, &starts, &mut states[1], None);
            assert_eq!(values(&drawn.features), values(&taken.features));
            params.import(&kept).expect("the same parameters");
        }
    }
}
