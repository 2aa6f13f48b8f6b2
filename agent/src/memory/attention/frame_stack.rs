//! The last observations side by side (Mnih et al. 2015, Human-level control through deep reinforcement learning), and two
//! layers on them: the simplest memory, and a control for all that look back further than its frames.

use crate::memory::attention::window::{Context, Read, Reader, Rows};
use crate::memory::{CoreContext, Network};
use crate::nn::{self, Activation, Graph, Init, ParamId};
use crate::onnx::{self, StepGraph};

/// `tanh(W₂ tanh(W₁ [x_t, …, x_{t−k+1}] + b₁) + b₂)`, with zeros for the steps before the episode.
pub struct FrameStack {
    layers: [(ParamId, ParamId); 2],
    frames: usize,
    input_size: usize,
    hidden_size: usize,
}

impl FrameStack {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let input_size = context.input_size;
        let hidden_size = context.hyper.get::<Network>().hidden_size;
        let frames = context.hyper.get::<Context>().memory_window;
        let CoreContext { params, rng, .. } = context;
        let gain = std::f32::consts::SQRT_2;
        let layers = [("hidden1", frames * input_size), ("hidden2", hidden_size)];
        let layers = layers.map(|(name, inputs)| {
            let weight = Init::Orthogonal { gain };
            (
                params.add(
                    &format!("core.{name}.weight"),
                    (inputs, hidden_size),
                    weight,
                    rng,
                ),
                params.add(
                    &format!("core.{name}.bias"),
                    (1, hidden_size),
                    Init::Zeros,
                    rng,
                ),
            )
        });
        Self {
            layers,
            frames,
            input_size,
            hidden_size,
        }
    }

    /// Puts the frames of each row side by side, the latest first.
    fn stack(&self, x: &[f32], entries: &[f32], index: &[i32]) -> Vec<f32> {
        let size = self.input_size;
        let mut stacked = Vec::with_capacity(x.len() * self.frames);
        for (row, x) in x.chunks_exact(size).enumerate() {
            stacked.extend_from_slice(x);
            for &place in &index[row * (self.frames - 1)..][..self.frames - 1] {
                match usize::try_from(place) {
                    Ok(entry) => stacked.extend_from_slice(&entries[entry * size..][..size]),
                    Err(_) => stacked.resize(stacked.len() + size, 0.0),
                }
            }
        }
        stacked
    }
}

impl Reader for FrameStack {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn length(&self) -> usize {
        self.frames - 1
    }

    fn read(&self, graph: &mut Graph<'_>, rows: &Rows<'_>) -> Read {
        let Rows {
            x, entries, index, ..
        } = *rows;
        let stacked = self.stack(nn::values(x), nn::values(entries), index);
        let columns = self.frames * self.input_size;
        let stacked = graph.constant(stacked, (nn::values(x).len() / self.input_size, columns));
        let features = self.layers.iter().fold(stacked, |x, &(weight, bias)| {
            graph.linear(&x, weight, Some(bias), Activation::Tanh)
        });
        Read {
            features,
            attention: Vec::new(),
            carried: Vec::new(),
        }
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        let mut stacked = inputs.clone();
        let older = (self.frames - 1) * self.input_size;
        if older > 0 {
            let before = step.state("frames", &[older], "the frames before, the latest first");
            let before = step.reset(&before, 0.0);
            stacked = step.graph.concat(&[inputs, &before]);
            let next = step.graph.columns(&stacked, 0, older);
            step.next("frames", &next);
        }
        Ok(self.layers.iter().fold(stacked, |x, &layer| {
            let y = step.linear(&x, layer);
            step.graph.op("Tanh", &[&y])
        }))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::nn::Params;
    use crate::spaces::actions::ActionHeads;

    #[test]
    fn frames_stand_side_by_side_with_zeros_before_the_beginning() {
        let mut params = Params::new();
        let stack = FrameStack::new(&mut CoreContext {
            input_size: 2,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &Hyperparameters::new()
                .with(Network { hidden_size: 4 })
                .with(Context { memory_window: 3 }),
            params: &mut params,
            rng: &mut Xoshiro256PlusPlus::seed_from_u64(0),
        });
        let entries = [1.0, 2.0, 3.0, 4.0];
        let stacked = stack.stack(&[5.0, 6.0, 7.0, 8.0], &entries, &[1, 0, 0, -1]);
        let expected = [5., 6., 3., 4., 1., 2., 7., 8., 1., 2., 0., 0.];
        assert_eq!(stacked, expected);
        assert_eq!(stack.length(), 2);
    }
}
