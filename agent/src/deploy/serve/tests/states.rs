//! Memory that travels with its caller.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::deploy::serve::token::Seal;

#[test]
fn a_state_goes_on_as_a_session_does() {
    for row in algorithms::learners().filter(|row| algorithms::plays_without_raster(row)) {
        let service = service(row.id, Limits::default());
        service.begin("mine", lanes(2), None).unwrap();
        let mut state = None;
        for step in 0..12_u64 {
            let xs = [(step % 3) as f32 / 2.0, (step % 5) as f32 / 4.0];
            let with = |mut body: Json| {
                body["is_first"] = json!([step % 4 == 0, step == 7]);
                body["previous_rewards"] = json!([0.5, -0.5]);
                body["mode"] = json!(if step % 2 == 0 { "sampled" } else { "greedy" });
                body
            };
            let mut stateless = with(carried(state.as_deref(), &xs));
            if step == 0 {
                stateless["seed"] = 0.into();
            }
            let kept = act(&service, with(shows("mine", step, &xs))).unwrap();
            let brought = act(&service, stateless).unwrap();
            assert_eq!(brought.actions, kept.actions, "{}: step {step}", row.id);
            assert_eq!((kept.state, brought.seq), (None, None));
            state = brought.state;
        }
    }
}

#[test]
fn a_state_is_good_at_another_service_of_the_same_checkpoint() {
    let bytes = checkpoint(
        "tracerl",
        Overrides::default(),
        &mut TestTask::new(TRAINED_LANES, 4),
    );
    let [one, other] = [(); 2].map(|()| Service::new(&bytes, Limits::default()).unwrap());
    let state = act(&one, carried(None, &[1.0])).unwrap().state;
    act(&other, carried(state.as_deref(), &[0.0])).unwrap();
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let service = service("recurrent-ppo", Limits::default());
    let state = act(&service, carried(None, &[1.0, 0.0]))
        .unwrap()
        .state
        .unwrap();
    let refused = |state: &str, xs: &[f32]| {
        let problem = act(&service, carried(Some(state), xs)).unwrap_err();
        assert_eq!(problem.code, ErrorCode::InvalidState, "{problem}");
        assert_eq!(problem.errors[0].pointer, "/state");
        problem.detail
    };
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = URL_SAFE_NO_PAD.decode(&state).unwrap();
        change(&mut bytes);
        refused(&URL_SAFE_NO_PAD.encode(bytes), &[1.0, 0.0])
    };
    let len = URL_SAFE_NO_PAD.decode(&state).unwrap().len();
    // A change of any byte is detected.
    for place in (0..len).step_by(7).chain([len - 1]) {
        changed(&|bytes| bytes[place] ^= 1);
    }
    assert!(changed(&|bytes| bytes[0] = 2).contains("its version is 2"));
    assert!(changed(&|bytes| bytes[1] ^= 1).contains("another checkpoint"));
    assert!(changed(&|bytes| bytes[40] ^= 1).contains("checksum"));
    assert!(changed(&|bytes| bytes.truncate(100)).contains("checksum"));
    assert!(changed(&|bytes| bytes.truncate(20)).contains("cut off"));
    assert!(changed(&|bytes| bytes.push(0)).contains("checksum"));
    assert!(refused("", &[1.0, 0.0]).contains("cut off"));
    assert!(refused("no/base64?", &[1.0, 0.0]).contains("damaged"));
    assert!(refused(&state, &[1.0]).contains("of 2 lanes, and 1"));
    act(&service, carried(Some(&state), &[1.0, 0.0])).unwrap();

    let other = super::service("ppo", Limits::default());
    let problem = act(&other, carried(Some(&state), &[1.0, 0.0])).unwrap_err();
    assert!(problem.detail.contains("another checkpoint"), "{problem}");
}

#[test]
fn a_state_that_could_not_come_back_is_not_given() {
    let limits = Limits {
        max_state_bytes: 16_384,
        max_lanes_per_session: 1_000,
        ..Limits::default()
    };
    let service = service("recurrent-ppo", limits);
    let asks = |n: usize| act(&service, carried(None, &vec![0.5; n]));
    let most = (1..1_000)
        .take_while(|lanes| Seal::max_text_bytes(lanes * service.state_bytes_per_lane) <= 16_384)
        .count();
    assert!(most > 1, "{most}");
    let given = asks(most).unwrap().state.unwrap();
    assert!(given.len() <= 16_384, "{}", given.len());
    assert_eq!(
        refusal(asks(most + 1)),
        (ErrorCode::InvalidNumEnvs, "/num_envs".into())
    );
    assert_eq!(refusal(asks(1_001)).0, ErrorCode::InvalidNumEnvs);
    assert_eq!(refusal(asks(0)).0, ErrorCode::InvalidNumEnvs);
}

#[test]
fn fields_without_meaning_are_refused() {
    let service = service("ppo", Limits::default());
    let state = act(&service, carried(None, &[1.0])).unwrap().state;
    let change = |name: &str, value: Json| {
        let mut body = carried(state.as_deref(), &[1.0]);
        body[name] = value;
        act(&service, body)
    };
    let body = ErrorCode::InvalidBody;
    assert_eq!(refusal(change("seq", json!(0))), (body, "/seq".into()));
    assert_eq!(refusal(change("seed", json!(0))), (body, "/seed".into()));
    assert_eq!(
        refusal(change("num_envs", json!(2))),
        (ErrorCode::InvalidState, "/state".into())
    );
    change("num_envs", json!(1)).unwrap();
}
