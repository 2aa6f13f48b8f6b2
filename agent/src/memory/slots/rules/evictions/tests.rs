use super::*;
use crate::memory::Segment;
use crate::nn::Params;

/// Two lanes of one episode of four steps each. `rows`: per row the slots' origins, the choice and its credit. Rewards: 1 at the
/// end of lane 0. The embeddings are 0, ln 2, ln 3 and 9 in both.
fn with_seen(
    graph: &mut Graph<'_>,
    slots: usize,
    rows: &[Vec<f32>],
    use_it: impl FnOnce(&mut Graph<'_>, &Seen<'_>) -> Tensor,
) -> Tensor {
    let embeddings: Vec<f32> = [0.0, 2.0f32.ln(), 3.0f32.ln(), 9.0]
        .into_iter()
        .flat_map(|x| [x, x])
        .collect();
    let mut decisions = Vec::new();
    let mut index = Vec::new();
    for (row, numbers) in rows.iter().enumerate() {
        index.push(0);
        for &origin in &numbers[..slots] {
            decisions.push(origin as i32);
            let entry = 1 + origin as i32 * 2 + row as i32 % 2;
            index.push(if origin < 0.0 { -1 } else { entry });
        }
        decisions.extend(numbers[slots..].iter().map(|x| x.to_bits() as i32));
    }
    let starts = [true, true, false, false, false, false, false, false];
    let ends = [false, false, false, false, false, false, true, true];
    let segment = Segment {
        steps: 4,
        batch: 2,
        inputs: &[],
        starts: &starts,
        ends: &ends,
        actions: &[],
        rewards: &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        goals: None,
        initial_state: &State::new(2, Vec::new()),
        decisions: &decisions,
        returns: &[],
        values: &[],
    };
    let embedding = graph.constant(embeddings.clone(), (8, 1));
    let pool = graph.constant([vec![4.0], embeddings].concat(), (9, 1));
    let seen = Seen {
        segment: &segment,
        width: slots + fate::WIDTH,
        pool: &pool,
        own: 1,
        index: &index,
        embedding: &embedding,
        ages: &[0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0],
    };
    use_it(graph, &seen)
}

/// One slot. In lane 0, which earns 1, entry 0 goes for entry 1 (probability 1/3), then entry 2 does (3/5). In lane 1 entry 1 goes
/// (2/3), then entry 2 (3/4). The weights of both lanes are 1 and −1.
#[test]
fn the_loss_of_evictions_by_hand() {
    let mut params = Params::new();
    let evictions = Evictions::of_numbers(1, false, &mut params);
    let nothing = || vec![-1.0, f32::NAN, f32::NAN];
    let last = |origin| vec![origin, f32::NAN, f32::NAN];
    let rows = [
        nothing(),
        nothing(),
        vec![0.0, 0.0, 0.0],
        vec![0.0, 1.0, 0.0],
        vec![1.0, 1.0, 0.0],
        vec![0.0, 1.0, 0.0],
        last(1.0),
        last(0.0),
    ];
    let mut graph = Graph::inference(&params);
    let loss = with_seen(&mut graph, 1, &rows, |graph, seen| {
        evictions.loss(graph, seen)
    });
    let loss = nn::values(&loss)[0];
    let expected = 2.5f32.ln() / 8.0;
    assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
}

/// Two slots. In lane 0 entry 2 is written over entry 1: with shares 1/3 and 2/3 for scores 0 and ln 2. To the score of entry 0,
/// which was passed by, the write adds −1/3 straight through, and its derivative by the factor of the scores is
/// −1/3 (0 − 2/3 ln 2).
#[test]
fn the_gradient_of_what_stays_reaches_the_address() {
    let mut params = Params::new();
    let evictions = Evictions::of_numbers(2, true, &mut params);
    let row = |a: f32, b: f32, place: f32| vec![a, b, place, f32::NAN];
    let nan = f32::NAN;
    let rows = [
        row(-1.0, -1.0, nan),
        row(-1.0, -1.0, nan),
        row(0.0, -1.0, nan),
        row(0.0, -1.0, nan),
        row(0.0, 1.0, 1.0),
        row(0.0, 1.0, nan),
        row(0.0, 2.0, nan),
        row(0.0, 1.0, nan),
    ];
    let entry = evictions.scorer.entry;
    for (row, slot, expected) in [
        (6, 1, 2.0f32.ln() * 2.0 / 9.0),
        // What was written, and what came before the write or lies in the other lane.
        (6, 2, 0.0),
        (4, 1, 0.0),
        (7, 1, 0.0),
    ] {
        let mut graph = Graph::training(&params);
        let picked = with_seen(&mut graph, 2, &rows, |graph, seen| {
            let terms = evictions.survival(graph, seen).unwrap();
            assert!(nn::values(&terms).iter().all(|&term| term == 0.0));
            let row = graph.rows(&terms, row..row + 1);
            let mask = (0..3).map(|at| f32::from(u8::from(at == slot))).collect();
            let mask = graph.constant(mask, (1, 3));
            graph.row_dot(&row, &mask)
        });
        let gradients = graph.backward(&picked);
        let gradient = gradients.of(entry).map_or(0.0, |gradient| gradient[0]);
        assert!(
            (gradient - expected).abs() < 1e-6,
            "{slot}: {gradient} {expected}"
        );
    }
}
