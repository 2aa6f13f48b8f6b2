//! Comparison with published programs: the numbers in `agent/tests/parity` come from google-deepmind/dnc and
//! loudinthecloud/pytorch-ntm, by `scripts/parity/dnc.py` and `scripts/parity/ntm.py`.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

use super::Addressed;
use super::dnc::Dnc;
use super::ntm::Ntm;
use crate::nn::{Graph, Init, MemorySizes, ParamId, Params, Tensor, values};

/// Largest difference of a state's numbers, and of a gradient's relative to its largest number.
const TOLERANCE: f32 = 2e-5;

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
}

/// Arrays are `[steps, lanes, numbers of a lane]`.
#[derive(Deserialize)]
struct Case {
    slots: usize,
    width: usize,
    heads: usize,
    lanes: usize,
    steps: usize,
    /// The state before the first step; zeros if there is none.
    #[serde(default)]
    start: Vec<f32>,
    interfaces: Vec<f32>,
    states: Vec<f32>,
    /// Of half the sum of all squared words, with respect to the interfaces.
    gradient: Vec<f32>,
}

impl Case {
    fn sizes(&self) -> MemorySizes {
        MemorySizes {
            slots: self.slots,
            width: self.width,
            heads: self.heads,
            writes: true,
        }
    }

    /// Runs a memory over the interfaces. Returns the states after all steps, and the words of each.
    fn run(
        &self,
        graph: &mut Graph<'_>,
        memory: &impl Addressed,
        interfaces: ParamId,
    ) -> (Vec<f32>, Vec<Tensor>) {
        let width = memory.state_width();
        let start = match self.start.is_empty() {
            true => vec![0.0; self.lanes * width],
            false => self.start.clone(),
        };
        let mut state = graph.constant(start, (self.lanes, width));
        let interfaces = graph.param(interfaces);
        let (mut states, mut words) = (Vec::new(), Vec::new());
        for step in 0..self.steps {
            let interface = graph.rows(&interfaces, step * self.lanes..(step + 1) * self.lanes);
            state = memory.step(graph, &state, &interface);
            states.extend_from_slice(values(&state));
            words.push(graph.columns(&state, 0..self.heads * self.width));
        }
        (states, words)
    }

    fn check(&self, memory: &impl Addressed) {
        let mut params = Params::new();
        let rows = self.steps * self.lanes;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let shape = (rows, memory.interface_width());
        let interfaces = params.add("interfaces", shape, Init::Zeros, &mut rng);
        params
            .data_mut(interfaces)
            .copy_from_slice(&self.interfaces);
        let mut graph = Graph::training(&params);
        let (states, words) = self.run(&mut graph, memory, interfaces);
        assert_close(&states, &self.states, 1.0, "state");
        let words = graph.concat_rows(&words.iter().collect::<Vec<_>>());
        let columns = self.heads * self.width;
        let mean = graph.mse(&words, &vec![0.0; rows * columns], &vec![1.0; rows]);
        let half_of_the_sum = graph.scale(&mean, 0.5 * (rows * columns) as f32);
        let gradients = graph.backward(&half_of_the_sum);
        let gradient = gradients
            .of(interfaces)
            .expect("words depend on interfaces");
        let largest = self
            .gradient
            .iter()
            .fold(0.0f32, |most, d| most.max(d.abs()));
        assert_close(gradient, &self.gradient, largest, "gradient");
    }
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], unit: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let largest = differences.fold(0.0, f32::max);
    eprintln!("{what}: largest difference {}", largest / unit);
    assert!(largest <= TOLERANCE * unit, "{what} differs by {largest}");
}

#[test]
fn the_dnc_is_that_of_its_authors() {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../../../tests/parity/dnc.json")).unwrap();
    for case in recorded.cases {
        case.check(&Dnc(case.sizes()));
    }
}

#[test]
fn the_ntm_is_that_of_pytorch_ntm() {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../../../tests/parity/ntm.json")).unwrap();
    for case in recorded.cases {
        case.check(&Ntm(case.sizes()));
    }
}
