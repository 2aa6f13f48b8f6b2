use super::reading::{DISTANCES, RETURNS, VALUES};
use super::*;
use crate::memory::MemoryContents;

fn tables(rows: usize, lookup: Lookup, reading: Reading) -> (Params, Tables) {
    let mut params = Params::new();
    let settings = TableSettings {
        lookup: Lookup {
            table_rows: rows,
            ..lookup
        },
        reading,
    };
    let tables = Tables::new(&mut params, 2, 1, settings);
    (params, tables)
}

fn means(rows: usize) -> (Params, Tables) {
    tables(rows, Lookup::default(), Reading::Mean)
}

#[test]
fn a_known_key_keeps_its_best_return_and_others_are_the_mean_of_neighbours() {
    let (mut params, tables) = means(20);
    assert_eq!(tables.look_up(&params, &[1.0]), [0.0, 0.0]);
    tables.write(&mut params, 0, &[1.0], 3.0, 1.0);
    tables.write(&mut params, 0, &[1.0], 2.0, 2.0);
    tables.write(&mut params, 0, &[5.0], 7.0, 3.0);
    assert_eq!(tables.look_up(&params, &[1.0, 5.0]), [3.0, 0.0, 7.0, 0.0]);
    assert_eq!(tables.look_up(&params, &[4.0]), [5.0, 0.0]);
    // Of twelve rows the eleven nearest: all but the one at −100.
    for far in 0..9 {
        tables.write(&mut params, 0, &[10.0 + far as f32], 9.0, 4.0);
    }
    tables.write(&mut params, 0, &[-100.0], 1000.0, 4.0);
    assert_eq!(
        tables.look_up(&params, &[4.0])[0],
        (3.0 + 7.0 + 9.0 * 9.0) / 11.0
    );
    // A better return replaces a known one.
    tables.write(&mut params, 0, &[5.0], 8.0, 5.0);
    assert_eq!(tables.look_up(&params, &[5.0])[0], 8.0);
    assert_eq!(tables.used(&params, 0), 12);
}

#[test]
fn a_full_table_gives_up_the_row_that_has_not_been_used_for_longest() {
    for (recency, expected) in [(Recency::Written, 2.0), (Recency::Read, 1.0)] {
        let lookup = Lookup {
            table_recency: recency,
            neighbours: 1,
            ..Lookup::default()
        };
        let (mut params, tables) = tables(2, lookup, Reading::Mean);
        tables.write(&mut params, 1, &[1.0], 1.0, 1.0);
        tables.write(&mut params, 1, &[2.0], 2.0, 2.0);
        tables.record_reads(&mut params, &[1.1], 3.0);
        tables.write(&mut params, 1, &[30.0], 3.0, 4.0);
        // 1 was read last, 2 was written last.
        assert_eq!(tables.look_up(&params, &[0.0])[1], expected, "{recency:?}");
        assert_eq!((tables.used(&params, 1), tables.used(&params, 0)), (2, 0));
    }
}

#[test]
fn a_choice_that_was_hardly_tried_is_best_and_no_return_continues_with_that() {
    let (mut params, tables) = means(20);
    for key in 0..11 {
        tables.write(&mut params, 0, &[key as f32], 1.0, 1.0);
    }
    let (hopes, estimates) = tables.look_up_with_optimism(&params, &[0.5, 3.0]);
    assert_eq!(
        hopes,
        [OPTIMISTIC, OPTIMISTIC, 1.0, OPTIMISTIC],
        "the key 3 is known"
    );
    assert_eq!(estimates, [1.0, 0.0, 1.0, 0.0]);
    tables.write(&mut params, 0, &[11.0], 1.0, 1.0);
    assert_eq!(tables.look_up_with_optimism(&params, &[0.5]).0[0], 1.0);
}

/// Weights are ordered against distances and sum to 1; δ → 0 at a known key gives its value, far away all are alike.
#[test]
fn a_kernel_weighs_by_distance() {
    let read = |delta: f32, key: f32| {
        let (mut params, tables) = tables(9, Lookup::default(), Reading::Kernel { delta });
        for (key, value) in [(0.0, 1.0), (1.0, 2.0), (3.0, 6.0)] {
            tables.write(&mut params, 0, &[key], value, 1.0);
        }
        tables.look_up(&params, &[key])[0]
    };
    assert!((read(1e-9, 1.0) - 2.0).abs() < 1e-6);
    assert!((read(1e-3, 1e4) - 3.0).abs() < 1e-2);
    let weights = [1.0 / 1.5, 1.0 / 0.5, 1.0 / 4.5];
    let sum: f32 = weights.iter().sum();
    let expected = (weights[0] + 2.0 * weights[1] + 6.0 * weights[2]) / sum;
    // At 1 the squared distances are 1, 0 and 4.
    assert!((read(0.5, 1.0) - expected).abs() < 1e-6);
}

#[test]
fn times_are_made_small_in_the_same_order() {
    let (mut params, tables) = means(3);
    for (key, time) in [(1.0, 16_777_000.0), (2.0, 5.0), (3.0, 16_777_216.0)] {
        tables.write(&mut params, 0, &[key], key, time);
    }
    tables.write(&mut params, 1, &[9.0], 9.0, 5.0);
    assert_eq!(tables.renumber(&mut params, 7.0), 7.0);
    assert_eq!(tables.renumber(&mut params, LAST_TIME), 4.0);
    assert_eq!(params.data(tables.times), [2.0, 1.0, 3.0, 1.0, 0.0, 0.0]);
    tables.write(&mut params, 0, &[4.0], 4.0, 4.0);
    assert_eq!(tables.find(&params, 0, &[2.0]), None);
}

#[test]
fn tables_are_as_large_as_their_bytes_allow() {
    let lookup = Lookup {
        table_bytes: 1 << 16,
        ..Lookup::default()
    };
    let (params, tables) = tables(1_000_000, lookup, Reading::Mean);
    assert_eq!(tables.capacity(), (1 << 16) / (2 * 10 * 4));
    assert!(params.count() * 4 <= 1 << 16);
}

#[test]
fn neighbours_are_shown_with_their_returns() {
    let lookup = Lookup {
        neighbours: 2,
        ..Lookup::default()
    };
    let (mut params, tables) = tables(9, lookup, Reading::Mean);
    for (key, value) in [(0.0, 1.0), (4.0, -1.0), (9.0, 0.5)] {
        tables.write(&mut params, 1, &[key], value, 1.0);
    }
    let expected = vec![
        (VALUES, vec![0.0, 0.0]),
        (RETURNS, vec![0.0, 0.0, -1.0, 1.0]),
        (DISTANCES, vec![-1.0, -1.0, 1.0, 3.0]),
    ];
    assert_eq!(
        tables.inspect(&params, &[3.0]),
        MemoryContents::Vectors(expected)
    );
}
