//! A request in the making: what is sent, and what its providers are told to do.

use serde_json::{Value, json};
use sluice_e2e::client;

use crate::traffic::{Booked, Does, Planned};

/// A chat whose estimate is right: 44 bytes with the role, eleven tokens.
fn chat(model: &str) -> Value {
    json!({"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "x".repeat(40)}]})
}

/// A request in the making.
pub(crate) struct Draft {
    pub(crate) planned: Planned,
    pub(crate) method: &'static str,
    path: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
    script: Value,
}

impl Draft {
    pub(crate) fn new(kind: &'static str, n: usize, consumer: &'static str, model: &str) -> Self {
        let planned = Planned {
            kind,
            consumer,
            model: model.to_owned(),
            operation: "chat",
            user: format!("user-{n}"),
            bytes: Vec::new(),
            does: Does::Read,
            booked: Booked::Reported,
        };
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("Bearer sk-{consumer}")),
        ];
        let path = "/v1/chat/completions";
        Self { planned, method: "POST", path, headers, body: chat(model), script: json!({}) }
    }

    pub(crate) fn at(&mut self, path: &'static str, operation: &'static str) -> &mut Self {
        self.path = path;
        self.planned.operation = operation;
        self
    }

    pub(crate) fn stream(mut self) -> Self {
        self.body["stream"] = json!(true);
        self
    }

    /// What every provider does.
    pub(crate) fn all(mut self, script: Value) -> Self {
        self.script = json!({"*": script});
        self
    }

    /// What the first provider does.
    pub(crate) fn first(mut self, script: Value) -> Self {
        self.script = json!({"a": script});
        self
    }

    pub(crate) fn says(mut self, text: &str) -> Self {
        self.body["messages"][0]["content"] = json!(text);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) const fn booked(mut self, booked: Booked) -> Self {
        self.planned.booked = booked;
        self
    }

    pub(crate) const fn does(mut self, does: Does) -> Self {
        self.planned.does = does;
        self
    }

    pub(crate) fn finish(mut self) -> Planned {
        self.body["user"] = json!(self.planned.user);
        // There content-guard looks for no text.
        self.body["metadata"] = json!({"x_mock": self.script});
        let body = self.body.to_string();
        self.raw(body.as_bytes())
    }

    pub(crate) fn raw(mut self, body: &[u8]) -> Planned {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.planned.bytes = client::request(self.method, self.path, &headers, body);
        self.planned
    }
}
