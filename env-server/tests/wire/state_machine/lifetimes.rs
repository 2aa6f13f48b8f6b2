//! Creation and end of environments, and checks of all of them.

use env_protocol::{AutoresetMode, Encoding};
use serde_json::json;

use super::model::{Model, Saved};
use super::requests::PutChoice;
use super::wire::{TTL_S, collection, creation, path, send, success, trajectory};
use super::world::{Life, Open, World};
use crate::client::Client;

impl World {
    pub(super) fn put(&mut self, id: &str, choice: PutChoice) {
        self.notice(id);
        let mode = self.mode;
        let body = creation(mode, choice);
        let reply = self.client.put(&path(mode, id), body.clone());
        let refused = match (self.lives.get(id), choice) {
            (Some(Life::Open(open)), _) if !open.is_fork && open.creation == body => {
                assert_eq!(reply.status, 200);
                assert_eq!(reply.json()["seq"], open.model.seq);
                return;
            }
            (Some(Life::Open(_)), _) => (409, "env-exists"),
            (Some(Life::Ended { code, .. }), _) => (410, *code),
            (_, PutChoice::UnknownSpec) => (404, "unknown-spec"),
            (_, PutChoice::BadKwargs) => (422, "invalid-kwargs"),
            (_, PutChoice::BadTtl) => (422, "invalid-ttl"),
            (_, PutChoice::Usual | PutChoice::Other) => {
                assert_eq!(reply.status, 201);
                let snapshot = self
                    .client
                    .get(&format!("{}/snapshot", path(mode, id)))
                    .json();
                let open = Open {
                    model: Model::new(mode, TTL_S, self.now_s),
                    creation: body,
                    is_fork: false,
                    snapshot,
                    log: Vec::new(),
                    num_inherited: 0,
                };
                self.lives.insert(id.to_owned(), Life::Open(Box::new(open)));
                return;
            }
        };
        assert_eq!(reply.failure(), (refused.0, refused.1.to_owned()));
    }

    pub(super) fn renew(&mut self, id: &str, ttl_s: Option<u64>) {
        let absence = self.absence(id);
        let body = ttl_s.map_or(json!({}), |ttl_s| json!({"ttl_s": ttl_s}));
        let reply = self
            .client
            .post(&format!("{}/lease", path(self.mode, id)), body);
        let now_s = self.now_s;
        match (absence, ttl_s) {
            (Some(absence), _) => assert_eq!(reply.failure(), absence),
            (None, Some(0)) => assert_eq!(reply.failure(), (422, "invalid-ttl".to_owned())),
            (None, _) => {
                let model = &mut self.open(id).expect("open").model;
                model.ttl_s = ttl_s.unwrap_or(model.ttl_s);
                model.renew(now_s);
                assert_eq!(reply.json()["ttl_s"], model.ttl_s);
            }
        }
    }

    pub(super) fn close(&mut self, id: &str) {
        let reply = self.client.delete(&path(self.mode, id));
        let now_s = self.now_s;
        match self.open(id) {
            // The same if its lease has expired unnoticed.
            Some(open) => {
                let (code, until_s) = ("env-closed", now_s + open.model.ttl_s);
                self.lives
                    .insert(id.to_owned(), Life::Ended { code, until_s });
                assert_eq!(reply.status, 204);
            }
            None => match self.absence(id) {
                Some((410, _)) => assert_eq!(reply.status, 204),
                absence => assert_eq!(Some(reply.failure()), absence),
            },
        }
    }

    pub(super) fn save(&mut self, id: &str) {
        if self.absence(id).is_none() {
            let open = self.open(id).expect("open");
            self.saved = Saved {
                snapshot: open.snapshot.clone(),
                lanes: open.model.lanes.clone(),
                is_damaged: false,
            };
        }
    }

    /// Checks that everything is as the models say, whatever was done to one of them.
    pub(super) fn look(&mut self) {
        let mode = self.mode;
        let ids: Vec<String> = self.lives.keys().cloned().collect();
        let mut listed = Vec::new();
        for id in ids {
            let described = self.client.get(&path(mode, &id));
            if let Some(absence) = self.absence(&id) {
                assert_eq!(described.failure(), absence);
                continue;
            }
            let snapshot = self
                .client
                .get(&format!("{}/snapshot", path(mode, &id)))
                .json();
            let other_kind = match mode {
                None => Some(AutoresetMode::NextStep),
                Some(_) => None,
            };
            let elsewhere = self.client.get(&path(other_kind, &id));
            assert_eq!(elsewhere.failure(), (404, "unknown-env".to_owned()));
            let open = self.open(&id).expect("open");
            let described = described.json();
            assert_eq!(described["seq"], open.model.seq);
            assert_eq!(described["ttl_s"], open.model.ttl_s);
            assert_eq!(snapshot, open.snapshot);
            listed.push(id);
        }
        let list = self.client.get(collection(mode)).json();
        let key = mode.map_or("envs", |_| "vector_envs");
        let found = list[key].as_array().expect("a list").iter();
        let found: Vec<_> = found
            .map(|env| env["env_id"].as_str().expect("an id"))
            .collect();
        assert_eq!(found, listed);
    }

    /// Checks that an undisturbed environment with the same operations has the same trajectory and
    /// ends in the same state.
    pub(super) fn compare_with_twin(&mut self, id: &str) {
        if self.absence(id).is_some() {
            return;
        }
        let mode = self.mode;
        let told = trajectory(&self.client, mode, id, 0);
        let open = self.open(id).expect("open");
        let twin = Client::new();
        let twins = path(mode, "twin");
        assert_eq!(twin.put(&twins, open.creation.clone()).status, 201);
        for body in &open.log {
            let reply = send(&twin, mode, "twin", body, None, Encoding::Json);
            success(mode, body, &reply);
        }
        assert_eq!(trajectory(&twin, mode, "twin", open.num_inherited), told);
        assert_eq!(twin.get(&format!("{twins}/snapshot")).json(), open.snapshot);
    }
}
