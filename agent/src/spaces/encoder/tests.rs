use std::collections::BTreeMap;

use super::*;

fn space(json: &str) -> Space {
    serde_json::from_str(json).unwrap()
}

fn boxed(shape: &str) -> String {
    format!(r#"{{"type":"Box","shape":{shape},"dtype":"float32","low":-1.0,"high":3.0}}"#)
}

/// A Dict whose names are not in the order of their making, with every kind of space in it.
fn nested() -> Space {
    let pair = r#"{"type":"Tuple","spaces":[{"type":"Discrete","n":3,"start":-1},{"type":"MultiBinary","n":2}]}"#;
    let cells = r#"{"type":"MultiDiscrete","nvec":[2,3]}"#;
    space(&format!(
        r#"{{"type":"Dict","spaces":{{"view":{},"hand":{pair},"cells":{cells}}}}}"#,
        boxed("[2]")
    ))
}

fn encoded(space: &Space, observation: &[f32]) -> Vec<f32> {
    let mut inputs = vec![9.0];
    let encoder = SpaceEncoder::new(space).unwrap();
    assert_eq!(encoder.flat_size(), observation.len());
    assert_eq!(encoder.flat_size(), space.flat_size());
    encoder.encode(observation, &mut inputs);
    assert_eq!(inputs.len(), 1 + encoder.size(), "appended");
    inputs.split_off(1)
}

#[test]
fn a_box_is_taken_as_it_is() {
    let numbers = [0.25, -1.0, 3.0, 0.0];
    assert_eq!(encoded(&space(&boxed("[2,2]")), &numbers), numbers);
    let integers = r#"{"type":"Box","shape":[1],"dtype":"int64","low":0,"high":1e9}"#;
    assert_eq!(encoded(&space(integers), &[4096.0]), [4096.0]);
}

#[test]
fn choices_are_one_hot_from_their_start_on() {
    let plain = space(r#"{"type":"Discrete","n":4,"start":0}"#);
    assert_eq!(encoded(&plain, &[2.0]), [0.0, 0.0, 1.0, 0.0]);
    let shifted = space(r#"{"type":"Discrete","n":3,"start":-5}"#);
    assert_eq!(encoded(&shifted, &[-5.0]), [1.0, 0.0, 0.0]);
    assert_eq!(encoded(&shifted, &[-3.0]), [0.0, 0.0, 1.0]);
    let several = space(r#"{"type":"MultiDiscrete","nvec":[2,1,3]}"#);
    assert_eq!(
        encoded(&several, &[1.0, 0.0, 1.0]),
        [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    );
}

#[test]
fn what_is_no_choice_is_none_of_them() {
    let shifted = space(r#"{"type":"Discrete","n":3,"start":1}"#);
    for outside in [0.0, 4.0, -1e30, 1e30, f32::NAN] {
        assert_eq!(encoded(&shifted, &[outside]), [0.0; 3], "{outside}");
    }
}

/// By hand: `cells` (1, 2), `hand` (start −1: 0 is the second choice; bits 1, 0), `view` as it is.
#[test]
fn compound_spaces_are_their_parts_dicts_by_name() {
    let flat = [1.0, 2.0, 0.0, 1.0, 0.0, 0.5, -1.0];
    assert_eq!(
        encoded(&nested(), &flat),
        [
            0.0, 1.0, 0.0, 0.0, 1.0, // cells
            0.0, 1.0, 0.0, 1.0, 0.0, // hand
            0.5, -1.0, // view
        ]
    );
}

#[test]
fn what_would_be_too_large_is_refused() {
    for refused in [
        boxed("[0]"),
        boxed("[65537]"),
        boxed("[18446744073709551615,2]"),
        r#"{"type":"Discrete","n":65537,"start":0}"#.to_owned(),
        r#"{"type":"Discrete","n":0,"start":0}"#.to_owned(),
        r#"{"type":"Discrete","n":3,"start":16777215}"#.to_owned(),
        r#"{"type":"MultiDiscrete","nvec":[65536,2]}"#.to_owned(),
        r#"{"type":"MultiBinary","n":65537}"#.to_owned(),
        r#"{"type":"Tuple","spaces":[]}"#.to_owned(),
    ] {
        let error = SpaceEncoder::new(&space(&refused)).unwrap_err().to_string();
        assert!(error.contains("observation space"), "{refused}: {error}");
    }
    assert!(SpaceEncoder::new(&space(&boxed("[65536]"))).is_ok());
    let last = r#"{"type":"Discrete","n":2,"start":16777214}"#;
    assert_eq!(encoded(&space(last), &[16_777_215.0]), [0.0, 1.0]);
}

#[test]
fn batches_become_a_row_a_lane() {
    let integers = |shape: Vec<usize>, numbers: Vec<i64>| -> Value {
        Array::from_i64(shape, numbers).unwrap().into()
    };
    let view = Array::from_f32(vec![2, 2], vec![0.5, 1.5, 2.5, 3.0]).unwrap();
    let hand = vec![
        integers(vec![2], vec![-1, 1]),
        integers(vec![2, 2], vec![0, 1, 1, 0]),
    ];
    let batch = Value::Dict(BTreeMap::from([
        ("view".to_owned(), view.into()),
        ("hand".to_owned(), Value::Tuple(hand)),
        ("cells".to_owned(), integers(vec![2, 2], vec![0, 1, 1, 2])),
    ]));
    assert_eq!(
        flatten(&nested(), batch.clone(), 2).unwrap(),
        [
            0.0, 1.0, -1.0, 0.0, 1.0, 0.5, 1.5, // lane 0
            1.0, 2.0, 1.0, 1.0, 0.0, 2.5, 3.0, // lane 1
        ]
    );
    let error = flatten(&nested(), batch.clone(), 3).unwrap_err();
    assert!(error.contains("[2, 2], and 6 numbers"), "{error}");
    let Value::Dict(mut parts) = batch else {
        unreachable!()
    };
    let cells = parts.remove("cells").unwrap();
    parts.insert("cell".to_owned(), cells);
    let error = flatten(&nested(), Value::Dict(parts), 2).unwrap_err();
    assert_eq!(error, "an observation has no \"cells\"");
    let error = flatten(&nested(), integers(vec![2], vec![0, 0]), 2).unwrap_err();
    assert!(error.starts_with("observations are not of Dict"), "{error}");
}

#[test]
fn columns_are_named_and_bounded() {
    let columns = input_columns(&nested());
    assert_eq!(columns.len(), SpaceEncoder::new(&nested()).unwrap().size());
    let column = |source, choice, name: &str, bounds| InputColumn {
        source,
        choice,
        name: Some(name.to_owned()),
        bounds: Some(bounds),
        place: None,
    };
    assert_eq!(columns[3], column(1, Some(1), "cells", [0.0, 2.0]));
    assert_eq!(columns[5], column(2, Some(-1), "hand", [-1.0, 1.0]));
    assert_eq!(columns[8], column(3, None, "hand", [0.0, 1.0]));
    assert_eq!(columns[11], column(6, None, "view", [-1.0, 3.0]));
    assert!(columns.iter().all(|column| column.place.is_none()));
    let raster = r#"{"type":"Box","shape":[2,3,4],"dtype":"float32","low":0.0,"high":1.0}"#;
    let places: Vec<_> = input_columns(&space(raster))
        .iter()
        .map(|column| column.place)
        .collect();
    assert_eq!(
        [places[0], places[11], places[23]],
        [[0, 0, 0], [0, 2, 3], [1, 2, 3]].map(Some)
    );
    let endless = r#"{"type":"Box","shape":[1],"dtype":"float32","low":0.0,"high":"Infinity"}"#;
    let [column] = &input_columns(&space(endless))[..] else {
        panic!("one number")
    };
    assert_eq!((&column.name, column.bounds), (&None, None));
}

#[test]
fn the_first_number_is_told_from_an_encoding() {
    let class = |json: &str, observation: &[f32]| {
        let space = space(json);
        let first = FirstNumber::new(&space, 256).unwrap();
        (first.classes(), first.class(&encoded(&space, observation)))
    };
    assert_eq!(class(&boxed("[2]"), &[-1.0, 3.0]), (5, 0));
    assert_eq!(class(&boxed("[2]"), &[1.7, 0.0]), (5, 3));
    let shifted = r#"{"type":"Discrete","n":3,"start":-5}"#;
    assert_eq!(class(shifted, &[-3.0]), (3, 2));
    assert_eq!(
        class(r#"{"type":"MultiBinary","n":2}"#, &[1.0, 0.0]),
        (2, 1)
    );
    let nested = serde_json::to_string(&nested()).unwrap();
    let flat = [1.0, 2.0, 0.0, 1.0, 0.0, 0.5, -1.0];
    assert_eq!(class(&nested, &flat), (2, 1));
}

#[test]
fn a_first_number_without_bounds_has_no_classes() {
    for json in [
        r#"{"type":"Box","shape":[2],"dtype":"float32","low":"-Infinity","high":1.0}"#,
        r#"{"type":"Box","shape":[2],"dtype":"float32","low":0.0,"high":1000.0}"#,
        r#"{"type":"Discrete","n":257,"start":0}"#,
        r#"{"type":"Tuple","spaces":[]}"#,
    ] {
        assert_eq!(FirstNumber::new(&space(json), 256), None, "{json}");
    }
}
