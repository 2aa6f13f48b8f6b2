//! Pictures, as text and as images.

use serde_json::json;

use crate::client::Client;

fn playing() -> Client {
    let client = Client::new();
    client.put("/v1/envs/e", json!({"spec_id": "MemoryTask-v0", "seed": 1}));
    let body = json!({"spec_id": "MemoryTask-v0", "num_envs": 20});
    client.put("/v1/vector-envs/v", body);
    client.post("/v1/envs/e/reset", json!({}));
    client.post("/v1/vector-envs/v/reset", json!({}));
    client
}

#[test]
fn text_is_the_default_and_has_colours_only_when_asked() {
    let client = playing();
    let plain = client.get("/v1/envs/e/render");
    assert_eq!(plain.header("content-type"), "text/plain; charset=utf-8");
    let text = String::from_utf8(plain.body.to_vec()).unwrap();
    assert!(
        text.contains("MemoryTask-v0") && !text.contains('\x1b'),
        "{text}"
    );
    let coloured = client.get("/v1/envs/e/render?colour=true");
    assert!(String::from_utf8_lossy(&coloured.body).contains('\x1b'));
}

/// The spectator's picture shows the cue to the end, the agent's picture only while it is on
/// screen.
#[test]
fn the_agents_view_leaves_out_the_hidden_state() {
    let client = playing();
    client.post("/v1/envs/e/step", json!({"action": 0}));
    let text = |path: &str| String::from_utf8(client.get(path).body.to_vec()).unwrap();
    let agent = text("/v1/envs/e/render?as_agent=true");
    assert!(agent.contains("(?)"), "{agent}");
    assert!(!text("/v1/envs/e/render").contains("(?)"));
}

#[test]
fn an_image_is_a_png() {
    let client = playing();
    for path in [
        "/v1/envs/e/render",
        "/v1/vector-envs/v/render",
        "/v1/vector-envs/v/render?lane=19",
    ] {
        let image = client.send("GET", path, &["accept: image/png"], Vec::new());
        assert_eq!(
            (image.status, image.header("content-type")),
            (200, "image/png")
        );
        let mut reader = png::Decoder::new(std::io::Cursor::new(&image.body))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert!(frame.width > 50 && frame.height > 30, "{path}");
    }
}

#[test]
fn pictures_that_do_not_exist_are_refused() {
    let client = playing();
    for (path, accept, status) in [
        ("/v1/envs/e/render?lane=1", "*/*", 422),
        ("/v1/vector-envs/v/render?lane=20", "*/*", 422),
        ("/v1/envs/e/render?color=true", "*/*", 400),
        ("/v1/envs/e/render", "application/json", 406),
        ("/v1/envs/x/render", "*/*", 404),
    ] {
        let reply = client.send("GET", path, &[&format!("accept: {accept}")], Vec::new());
        assert_eq!(reply.problem().status, status, "{path}");
    }
}
