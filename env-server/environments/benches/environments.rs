//! Time of a step of each environment, in process: 256 lanes that reset themselves after an
//! episode.

use std::hint::black_box;
use std::iter;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use env_protocol::{AutoresetMode, Kwargs, Seed, Space};
use environments::vector::{ActionRange, Reset, action_ranges};
use environments::{Arguments, Draws, Rng, registry};

/// Lanes stepped together.
const LANES: usize = 256;
/// Different batches of random actions.
const BATCHES: usize = 64;

/// Arguments that are measured in addition to the defaults.
const VARIANTS: [(&str, &str); 6] = [
    (
        "MemoryTask-v0",
        r#"{"delay":64,"difficulty":1,"cue_time":"random"}"#,
    ),
    ("BsuiteMemoryLen-v0", r#"{"memory_length":100}"#),
    ("BsuiteUmbrellaChain-v0", r#"{"n_distractor":0}"#),
    ("RepeatFirst-v0", r#"{"level":"hard"}"#),
    ("CountRecall-v0", r#"{"level":"hard"}"#),
    ("Concentration-v0", r#"{"level":"hard"}"#),
];

/// Uniformly random actions for all lanes.
fn actions(space: &Space, rng: &mut Rng) -> Vec<f64> {
    let ranges = action_ranges(space);
    let lanes = iter::repeat_n(ranges, LANES).flatten();
    let numbers = lanes.map(|range| match range {
        ActionRange::Integers(range) => {
            let n = range.end - range.start;
            (range.start + rng.below(n as u64) as i64) as f64
        }
        ActionRange::Reals { low, high } => rng.uniform(low, high),
    });
    numbers.collect()
}

fn environments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step, 256 lanes");
    group.throughput(Throughput::Elements(LANES as u64));
    let defaults = registry::specs()
        .iter()
        .map(|spec| (spec.id.as_str(), "{}"));
    for (id, kwargs) in defaults.chain(VARIANTS) {
        let (entry, spec) = registry::find(id).expect("a spec");
        let parsed: Kwargs = serde_json::from_str(kwargs).expect("an object");
        let arguments = Arguments::resolve(&spec.parameters, &parsed).expect("arguments");
        let mode = AutoresetMode::SameStep;
        let seed = Seed::First(1);
        let mut vector = (entry.vector)(&arguments, LANES, mode, &seed).expect("arguments");
        vector.reset(&Reset::default()).expect("a plain reset");
        let mut rng = Rng::from_seed(1);
        let space = vector.action_space().clone();
        let batches: Vec<Vec<f64>> = (0..BATCHES).map(|_| actions(&space, &mut rng)).collect();
        let mut batches = batches.iter().cycle();
        group.bench_function(format!("{id} {kwargs}"), |bencher| {
            bencher.iter(|| {
                let actions = batches.next().expect("it cycles");
                vector.step(black_box(actions)).expect("actions in range")
            });
        });
    }
}

criterion_group!(benches, environments);
criterion_main!(benches);
