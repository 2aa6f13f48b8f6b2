//! A linear recurrent unit (Orvieto et al. 2023, arXiv:2303.06349): it forgets by the clock, each of its units at a rate
//! and a frequency of its own that are learned, as S4D (arXiv:2206.11893) and S5 (arXiv:2208.04933) do.

use rand::RngExt;

use super::stack::{LinearRecurrence, Sequence};
use crate::hyper::section::section;
use crate::memory::{CoreContext, Network};
use crate::nn::{Graph, Init, LruParams, Tensor};
use crate::onnx::{self, StepGraph};

section! {
    /// The eigenvalues of a linear recurrent unit.
    pub struct Eigenvalues, overridden by EigenvaluesOverrides {
        /// Largest radius of an eigenvalue before learning. At 0 all are 0 and stay 0: a memory of the current step, for a control.
        lru_max_radius: f32 = 0.999, |&v| (0.0..1.0).contains(&v), "0 to below 1";
        /// Largest phase of an eigenvalue before learning, in turns per step.
        lru_max_phase: f32 = 1.0, |&v| (0.0..=1.0).contains(&v), "0 to 1";
    }
}

/// Smallest radius of an eigenvalue before learning, where the largest is not smaller.
const MIN_RADIUS: f32 = 0.5;
/// ν of the radius 0: exp(−exp 5) is 0, and its slope too.
const NU_OF_ZERO: f32 = 5.0;

/// h' = λ ⊙ h + γ ⊙ B x with complex λ = exp(−exp ν + iθ), h and B; Re(C h') + b is read. Real parts stand before
/// imaginary ones, and half as many units as the layer has outputs make a state as wide as them.
pub struct Lru {
    layer: LruParams,
    units: usize,
}

impl LinearRecurrence for Lru {
    fn new(context: &mut CoreContext<'_>, layer: &str) -> Self {
        let width = context.hyper.get::<Network>().hidden_size;
        let Eigenvalues {
            lru_max_radius: high,
            lru_max_phase,
        } = context.hyper.get();
        let max_phase = std::f32::consts::TAU * lru_max_phase;
        let units = width.div_ceil(2);
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let input = format!("{layer}.input.weight");
        let input = params.add(&input, (width, 2 * units), orthogonal, rng);
        let [nu, theta, log_gamma] = ["nu", "theta", "log_gamma"]
            .map(|name| params.add(&format!("{layer}.{name}"), (1, units), Init::Zeros, rng));
        let low = MIN_RADIUS.min(high);
        for unit in 0..units {
            // Uniform on a ring.
            let share: f32 = rng.random();
            let square = low * low + share * (high * high - low * low);
            params.data_mut(nu)[unit] = (-0.5 * square.ln()).ln().min(NU_OF_ZERO);
            params.data_mut(theta)[unit] = max_phase * rng.random::<f32>();
            // The variance of h is then that of B x, whatever the radius.
            params.data_mut(log_gamma)[unit] = 0.5 * (1.0 - square).ln();
        }
        let output = format!("{layer}.output");
        let gain = std::f32::consts::SQRT_2;
        let (output, bias) = context.layer(&output, (2 * units, width), gain);
        Self {
            layer: LruParams {
                input,
                nu,
                theta,
                log_gamma,
                output,
                bias,
            },
            units,
        }
    }

    fn state_size(&self) -> usize {
        2 * self.units
    }

    fn layer(&self, graph: &mut Graph<'_>, x: &Tensor, over: &Sequence<'_>) -> (Tensor, Vec<f32>) {
        graph.lru(x, &self.layer, over.starts, over.before, over.batch)
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        x: &onnx::Value,
        state: &str,
    ) -> Result<onnx::Value, &'static str> {
        let units = self.units;
        let doc = "of an LRU, after the step before: real parts, then imaginary ones";
        let before = step.state(state, &[2 * units], doc);
        let before = step.reset(&before, 0.0);
        let LruParams {
            input,
            nu,
            theta,
            log_gamma,
            output,
            bias,
        } = self.layer;
        let [input, nu, theta, log_gamma] = [input, nu, theta, log_gamma].map(|id| step.param(id));
        let graph = &mut step.graph;
        let rate = graph.op("Exp", &[&nu]);
        let rate = graph.op("Neg", &[&rate]);
        let radius = graph.op("Exp", &[&rate]);
        let gamma = graph.op("Exp", &[&log_gamma]);
        let [cosine, sine] = ["Cos", "Sin"].map(|of| graph.op(of, &[&theta]));
        let [re, im] = [cosine, sine].map(|part| graph.op("Mul", &[&radius, &part]));
        let u = graph.op("MatMul", &[x, &input]);
        let half = |graph: &mut onnx::GraphBuilder, value: &onnx::Value, half: usize| {
            graph.columns(value, half * units, (half + 1) * units)
        };
        let [h_re, h_im] = [0, 1].map(|part| half(graph, &before, part));
        let [u_re, u_im] = [0, 1].map(|part| half(graph, &u, part));
        let mut product = |a: &onnx::Value, b: &onnx::Value| graph.op("Mul", &[a, b]);
        let (kept, turned) = (product(&re, &h_re), product(&im, &h_im));
        let (kept_im, turned_im) = (product(&re, &h_im), product(&im, &h_re));
        let [in_re, in_im] = [u_re, u_im].map(|u| product(&gamma, &u));
        let next_re = graph.op("Sub", &[&kept, &turned]);
        let next_re = graph.op("Add", &[&next_re, &in_re]);
        let next_im = graph.op("Add", &[&kept_im, &turned_im]);
        let next_im = graph.op("Add", &[&next_im, &in_im]);
        let h = graph.concat(&[&next_re, &next_im]);
        step.next(state, &h);
        Ok(step.linear(&h, (output, bias)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stack::testing::{features, get, stack};
    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::Layers;

    fn hyper(lru_max_radius: f32) -> Hyperparameters {
        Hyperparameters::new()
            .with(Network { hidden_size: 64 })
            .with(Layers { memory_layers: 1 })
            .with(Eigenvalues {
                lru_max_radius,
                ..Eigenvalues::default()
            })
    }

    #[test]
    fn eigenvalues_begin_on_a_ring() {
        let (_, params) = stack::<Lru>(3, &hyper(0.999));
        let [nu, theta, log_gamma] =
            ["nu", "theta", "log_gamma"].map(|name| get(&params, &format!("core.layer1.{name}")));
        assert!(
            theta
                .iter()
                .all(|theta| (0.0..std::f32::consts::TAU).contains(theta))
        );
        for (nu, log_gamma) in nu.iter().zip(log_gamma) {
            let radius = (-nu.exp()).exp();
            assert!((0.499..=0.9991).contains(&radius), "{radius}");
            let gamma = (1.0 - radius * radius).sqrt();
            assert!((log_gamma.exp() - gamma).abs() < 1e-3, "{radius}");
        }
    }

    /// Radius 0: features depend on the current input alone.
    #[test]
    fn eigenvalues_of_zero_remember_nothing() {
        let (core, params) = stack::<Lru>(1, &hyper(0.0));
        let seen = [[1.0, 0.5], [-1.0, 0.5]].map(|inputs| features(&core, &params, &inputs));
        assert_ne!(seen[0][..64], seen[1][..64]);
        assert_eq!(seen[0][64..], seen[1][64..]);
        let (core, params) = stack::<Lru>(1, &hyper(0.999));
        let seen = [[1.0, 0.5], [-1.0, 0.5]].map(|inputs| features(&core, &params, &inputs));
        assert_ne!(seen[0][64..], seen[1][64..]);
    }
}
