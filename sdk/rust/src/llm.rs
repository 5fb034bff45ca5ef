//! The language model, which takes the capability llm, and the turns of skill agents.

use crate::{abi, json, record, Error, FromJson, Kind, Result, ToJson, Value};

record! {
    /// A question to the model. Blocks and tools are in the Messages shape of sdk/ABI.md.
    pub struct Request {
        pub model: Option<String>,
        pub system: Option<String>,
        pub messages: Vec<Message>,
        pub tools: Option<Vec<Value>>,
        pub max_tokens: Option<u32>,
    }
}

record! {
    /// One message of the conversation; role is "user" or "assistant".
    pub struct Message { pub role: String, pub content: Vec<Value> }
}

record! {
    /// The model's answer.
    pub struct Response { pub content: Vec<Value>, pub stop_reason: String, pub usage: Option<Value> }
}

/// Asks the model.
pub fn ask(request: &Request) -> Result<Response> {
    let answer = abi::llm(&request.to_json().unwrap_or_default())?;
    Response::from_json(&answer).map_err(|e| Error::new(Kind::Internal, e))
}

impl Message {
    /// A message of one text.
    pub fn text(role: &str, text: &str) -> Message {
        let block = json::object(vec![("type", "text".to_json()), ("text", text.to_json())]);
        Message {
            role: role.into(),
            content: vec![block],
        }
    }
}

impl Response {
    /// The text blocks.
    pub fn text(&self) -> String {
        text_of(&Value::Array(self.content.clone()))
    }
}

/// Joins the text blocks of an array.
pub(crate) fn text_of(blocks: &Value) -> String {
    let texts = blocks
        .as_array()
        .unwrap_or(&[])
        .iter()
        .filter(|b| b.get("type").and_then(Value::as_str) == Some("text"));
    texts
        .filter_map(|b| b.get("text").and_then(Value::as_str))
        .collect::<Vec<_>>()
        .join("\n")
}

record! {
    /// One input to an agent.
    pub struct Turn {
        pub turn: String,
        pub system: String,
        pub memory: Option<String>,
        pub history: Option<Vec<ChatMessage>>,
        pub messages: Vec<ChatMessage>,
        pub tools: Option<Vec<Value>>,
        pub max_steps: Option<u32>,
        pub deadline_ms: Option<u64>,
    }
}

record! {
    /// One line of a chat; role is "user" or "assistant".
    pub struct ChatMessage { pub role: String, pub sender: Option<String>, pub text: String, pub time: Option<String> }
}

impl Turn {
    /// The question that this turn is: prompt and memory, history and new messages. Roles
    /// alternate, the user begins, empty messages are left out.
    pub fn request(&self) -> Request {
        let mut messages: Vec<Message> = Vec::new();
        for m in self.history.iter().flatten().chain(&self.messages) {
            if m.text.is_empty() || messages.is_empty() && m.role == "assistant" {
                continue;
            }
            let next = Message::text(&m.role, &m.text);
            match messages.last_mut() {
                Some(last) if last.role == m.role => last.content.extend(next.content),
                _ => messages.push(next),
            }
        }
        let system = match self.memory.as_deref() {
            None | Some("") => self.system.clone(),
            Some(memory) => format!("{}\n\n# Memory\n\n{memory}", self.system),
        };
        Request {
            system: Some(system),
            messages,
            ..Request::default()
        }
    }
}
