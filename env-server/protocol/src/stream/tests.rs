use proptest::prelude::*;

use super::*;

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::MessagePack];

fn json(text: &str) -> Result<StreamRequest<'_>, EnvelopeError> {
    StreamRequest::decode(Encoding::Json, text.as_bytes())
}

/// Returns the id and the pointer of a refused message.
fn refused(result: Result<StreamRequest<'_>, EnvelopeError>) -> (Option<StreamId>, String) {
    let EnvelopeError { id, error } = result.expect_err("should be refused");
    match error {
        DecodeError::Invalid { pointer, .. } => (id, pointer),
        DecodeError::Malformed { .. } => (id, "malformed".to_owned()),
    }
}

#[test]
fn a_message_has_one_form_in_each_encoding() {
    let request = StreamRequest {
        id: StreamId::Number(7),
        op: StreamOp::Step,
        kind: StreamKind::VectorEnv,
        env_id: Some("v".to_owned()),
        body: br#"{"actions":[0]}"#,
    };
    let text = r#"{"id":7,"op":"step","kind":"vector-env","env_id":"v","body":{"actions":[0]}}"#;
    assert_eq!(request.encode(Encoding::Json), text.as_bytes());
    assert_eq!(json(text).unwrap(), request);

    let body = b"\x81\xa7actions\x91\x00";
    let request = StreamRequest { body, ..request };
    let bytes = [&b"\x95\x07\xa4step\xaavector-env\xa1v"[..], body].concat();
    assert_eq!(request.encode(Encoding::MessagePack), bytes);
    let read = StreamRequest::decode(Encoding::MessagePack, &bytes).unwrap();
    assert_eq!(read, request);
}

#[test]
fn a_reply_has_one_form_in_each_encoding() {
    let reply = StreamReply {
        id: Some(StreamId::Text("a".to_owned())),
        status: 200,
        replayed: true,
        body: br#"{"seq":3}"#,
    };
    let text = r#"{"id":"a","status":200,"replayed":true,"body":{"seq":3}}"#;
    assert_eq!(reply.encode(Encoding::Json), text.as_bytes());
    let empty = StreamReply {
        id: None,
        status: 204,
        replayed: false,
        body: b"",
    };
    assert_eq!(empty.encode(Encoding::Json), br#"{"id":null,"status":204}"#);
    assert_eq!(
        empty.encode(Encoding::MessagePack),
        b"\x94\xc0\xcc\xcc\xc2\xc0"
    );
}

#[test]
fn a_wrong_message_keeps_its_id_and_gets_a_pointer() {
    let id = || Some(StreamId::Number(7));
    for (text, expected) in [
        (
            r#"{"id":7,"op":"jump","kind":"env","env_id":"e"}"#,
            (id(), "/op"),
        ),
        (
            r#"{"id":7,"op":"step","kind":"pair","env_id":"e"}"#,
            (id(), "/kind"),
        ),
        (r#"{"id":7,"op":"step","kind":"env"}"#, (id(), "/env_id")),
        (
            r#"{"id":7,"op":"create","kind":"env","env_id":"e"}"#,
            (id(), "/env_id"),
        ),
        (
            r#"{"id":7,"op":"step","kind":"env","env_id":3}"#,
            (id(), "/env_id"),
        ),
        (
            r#"{"id":7,"op":"step","kind":"env","env_id":"e","seq":1}"#,
            (id(), "/seq"),
        ),
        (r#"{"id":7,"kind":"env","env_id":"e"}"#, (id(), "")),
        (r#"{"op":"step","kind":"env","env_id":"e"}"#, (None, "")),
        (
            r#"{"id":-1,"op":"step","kind":"env","env_id":"e"}"#,
            (None, "/id"),
        ),
        (
            r#"{"id":1.5,"op":"step","kind":"env","env_id":"e"}"#,
            (None, "/id"),
        ),
        (
            r#"{"id":null,"op":"step","kind":"env","env_id":"e"}"#,
            (None, "/id"),
        ),
        (
            r#"{"id":[7],"op":"step","kind":"env","env_id":"e"}"#,
            (None, "/id"),
        ),
        (r#"[7,"step","env","e",{}]"#, (None, "")),
        (r#"{"id":7,"op":"step""#, (None, "malformed")),
        (r#"{"id":7} 8"#, (None, "")),
        ("", (None, "malformed")),
        ("null", (None, "")),
        ("hello", (None, "malformed")),
    ] {
        let (id, pointer) = refused(json(text));
        assert_eq!((id, pointer.as_str()), expected, "{text}");
    }
    let long = format!(
        r#"{{"id":7,"op":"step","kind":"env","env_id":"{}"}}"#,
        "e".repeat(257)
    );
    assert_eq!(refused(json(&long)), (id(), "/env_id".to_owned()));
    let long = format!(r#"{{"id":"{}","op":"list","kind":"env"}}"#, "i".repeat(65));
    assert_eq!(refused(json(&long)), (None, "/id".to_owned()));
}

#[test]
fn a_wrong_message_in_messagepack_keeps_its_id_and_gets_a_pointer() {
    let id = || Some(StreamId::Number(7));
    for (bytes, expected) in [
        (&b"\x95\x07\xa4jump\xa3env\xa1e\xc0"[..], (id(), "/1")),
        (b"\x95\x07\x01\xa3env\xa1e\xc0", (id(), "/1")),
        (b"\x95\x07\xa4step\xa4pair\xa1e\xc0", (id(), "/2")),
        (b"\x95\x07\xa4step\xa3env\xc0\xc0", (id(), "/3")),
        (b"\x95\x07\xa4step\xa3env\x05\xc0", (id(), "/3")),
        (b"\x94\x07\xa4list\xa3env\xa1e", (id(), "/3")),
        (b"\x94\x07\xa4step\xa3env\xa1e\xc0", (id(), "malformed")),
        (b"\x95\x07\xa4step\xa3env\xa1e", (id(), "malformed")),
        (b"\x95\xff\xa4step\xa3env\xa1e\xc0", (None, "/0")),
        (b"\x95\xcb\0\0\0\0\0\0\0\0", (None, "/0")),
        // A text that announces 4 GiB and ends there.
        (b"\x95\xdb\xff\xff\xff\xff", (None, "/0")),
        (b"\x95\x07\xdb\xff\xff\xff\xff", (id(), "/1")),
        (b"\x95", (None, "malformed")),
        (b"\x93\x07\xa4list\xa3env", (None, "malformed")),
        (b"\xdd\xff\xff\xff\xff\x07", (None, "malformed")),
        (b"\x80", (None, "malformed")),
        (b"", (None, "malformed")),
    ] {
        let (id, pointer) = refused(StreamRequest::decode(Encoding::MessagePack, bytes));
        assert_eq!((id, pointer.as_str()), expected, "{bytes:x?}");
    }
}

#[test]
fn a_deep_body_is_borrowed_without_being_parsed() {
    let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = format!(r#"{{"id":7,"op":"step","kind":"env","env_id":"e","body":{body}}}"#);
    assert_eq!(json(&text).unwrap().body, body.as_bytes());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for encoding in ENCODINGS {
            let _ = StreamRequest::decode(encoding, &bytes);
            let _ = StreamReply::decode(encoding, &bytes);
        }
    }

    #[test]
    fn requests_come_back(
        id in prop_oneof![
            any::<u64>().prop_map(StreamId::Number),
            "[^\\x00]{0,16}".prop_map(StreamId::Text),
        ],
        op in prop::sample::select(&StreamOp::ALL[..]),
        kind in prop::sample::select(&StreamKind::ALL[..]),
        name in ".{0,20}",
        has_body: bool,
    ) {
        for encoding in ENCODINGS {
            let body = encoding.encode(&serde_json::json!({"seq": 1}));
            let request = StreamRequest {
                id: id.clone(),
                op,
                kind,
                env_id: op.needs_env_id().then(|| name.clone()),
                body: if has_body { &body } else { &[] },
            };
            let bytes = request.encode(encoding);
            prop_assert_eq!(&StreamRequest::decode(encoding, &bytes).unwrap(), &request);
        }
    }

    #[test]
    fn replies_come_back(number: Option<u64>, status in 100u16..600, replayed: bool, has_body: bool) {
        for encoding in ENCODINGS {
            let body = encoding.encode(&serde_json::json!({"seq": 1}));
            let reply = StreamReply {
                id: number.map(StreamId::Number),
                status,
                replayed,
                body: if has_body { &body } else { &[] },
            };
            let bytes = reply.encode(encoding);
            prop_assert_eq!(&StreamReply::decode(encoding, &bytes).unwrap(), &reply);
        }
    }
}
