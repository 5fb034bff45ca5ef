//! The guest API for skills written in Rust, without dependencies. README.md is the tour.

mod abi;
pub mod http;
pub mod json;
pub mod kv;
pub mod llm;

pub use json::{FromJson, ToJson, Value};
use std::fmt;

/// The agent's files: read and write below it with `std::fs`. It takes the capability fs.
pub const WORKSPACE: &str = "/workspace";

/// Says for whom a tool is called.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The tool's name in skill.toml.
    pub tool: String,
    /// Identity of the turn: the same when the turn is run again.
    pub turn: String,
    /// Identity of the agent.
    pub agent: String,
    /// The user's, an IANA name such as "Europe/Berlin".
    pub timezone: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed. `"a sentence".into()` makes one of a skill's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    /// One sentence, safe to show.
    pub message: String,
    /// The same call may succeed later.
    pub retryable: bool,
}

/// Kinds of error: the skill's own, and what a capability call answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Skill,
    Denied,
    Invalid,
    NotFound,
    Timeout,
    Cancelled,
    TooLarge,
    RateLimited,
    Unavailable,
    Internal,
}

impl Kind {
    fn from_status(status: u32) -> Kind {
        use Kind::*;
        let kinds = [
            Skill,
            Denied,
            Invalid,
            NotFound,
            Timeout,
            Cancelled,
            TooLarge,
            RateLimited,
            Unavailable,
        ];
        kinds.get(status as usize).copied().unwrap_or(Internal)
    }

    fn code(self) -> &'static str {
        match self {
            Kind::Skill => "error",
            Kind::Denied => "denied",
            Kind::Invalid => "invalid",
            Kind::NotFound => "not_found",
            Kind::Timeout => "timeout",
            Kind::Cancelled => "cancelled",
            Kind::TooLarge => "too_large",
            Kind::RateLimited => "rate_limited",
            Kind::Unavailable => "unavailable",
            Kind::Internal => "internal",
        }
    }
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
            retryable: false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.message.as_str()) {
            (Kind::Skill, m) => f.write_str(m),
            (k, "") => f.write_str(k.code()),
            (k, m) => write!(f, "{}: {m}", k.code()),
        }
    }
}

impl std::error::Error for Error {}

impl From<&str> for Error {
    fn from(s: &str) -> Error {
        Error::new(Kind::Skill, s)
    }
}
impl From<String> for Error {
    fn from(s: String) -> Error {
        Error::new(Kind::Skill, s)
    }
}
impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Error {
        let text = e.to_string();
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::PermissionDenied => Kind::Denied,
            _ if text.contains("pre-opened") => Kind::Denied, // without the grant there is no directory at all
            _ => Kind::Skill,
        };
        Error::new(kind, text)
    }
}

/// What a tool answers: a String is the text; a `record!` is JSON, and structured content
/// too; a ToolResult is the answer as it stands.
pub trait Answer {
    fn answer(self) -> ToolResult;
}

/// An answer as it stands, an MCP CallToolResult.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolResult {
    pub text: String,
    /// An object, or null.
    pub structured: Value,
    pub is_error: bool,
}

impl ToolResult {
    fn to_json(&self) -> Value {
        let text = Value::object([
            ("type", "text".to_json().unwrap()),
            ("text", self.text.to_json().unwrap()),
        ]);
        json::object(vec![
            ("content", Some(Value::Array(vec![text]))),
            (
                "structuredContent",
                Some(self.structured.clone()).filter(|v| *v != Value::Null),
            ),
            ("isError", Some(Value::Bool(true)).filter(|_| self.is_error)),
        ])
    }
}

impl Answer for ToolResult {
    fn answer(self) -> ToolResult {
        self
    }
}
impl Answer for String {
    fn answer(self) -> ToolResult {
        ToolResult {
            text: self,
            ..ToolResult::default()
        }
    }
}
impl Answer for &str {
    fn answer(self) -> ToolResult {
        self.to_string().answer()
    }
}
impl Answer for Value {
    fn answer(self) -> ToolResult {
        let text = self.to_string();
        let structured = if matches!(self, Value::Object(_)) {
            self
        } else {
            Value::Null
        };
        ToolResult {
            text,
            structured,
            is_error: false,
        }
    }
}

fn failure(e: impl fmt::Display) -> ToolResult {
    ToolResult {
        is_error: true,
        ..e.to_string().answer()
    }
}

/// Calls f with arguments of its own type; `tools!` uses it.
pub fn call<I, O, F>(f: F, c: &Context, args: &Value) -> ToolResult
where
    I: FromJson,
    O: Answer,
    F: Fn(&Context, I) -> Result<O>,
{
    match I::from_json(args) {
        Err(e) => failure(format_args!("invalid arguments: {e}")),
        Ok(input) => f(c, input).map_or_else(failure, Answer::answer),
    }
}

/// Answers one call, both as JSON; what the export nanoclaw_call runs.
pub fn dispatch(
    input: &str,
    find: impl Fn(&str, &Context, &Value) -> Option<ToolResult>,
) -> String {
    let v = Value::parse(input).unwrap_or(Value::Null);
    let text = |v: Option<&Value>, name| {
        v.and_then(|v| v.get(name))
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_string()
    };
    let info = v.get("call");
    let c = Context {
        tool: text(Some(&v), "tool"),
        turn: text(info, "turn"),
        agent: text(info, "agent"),
        timezone: text(info, "timezone"),
    };
    let args = v.get("arguments").unwrap_or(&Value::Null);
    let answer = find(&c.tool, &c, args);
    answer
        .unwrap_or_else(|| failure(format_args!("this skill has no tool {}", c.tool)))
        .to_json()
        .to_string()
}

/// The whole of nanoclaw_call; `tools!` uses it.
#[cfg(target_arch = "wasm32")]
pub fn serve(len: u32, find: impl Fn(&str, &Context, &Value) -> Option<ToolResult>) -> i32 {
    match String::from_utf8(abi::input(len)) {
        Ok(input) => abi::output(&dispatch(&input, find)),
        Err(_) => abi::output(
            &failure("the host's call cannot be read")
                .to_json()
                .to_string(),
        ),
    }
    0
}

#[cfg(not(target_arch = "wasm32"))]
pub fn serve(_: u32, _: impl Fn(&str, &Context, &Value) -> Option<ToolResult>) -> i32 {
    1
}

/// Declares the tools of a skill, each with its function:
/// `tools! { "forecast" => forecast }`, where
/// `fn forecast(c: &Context, input: Input) -> Result<impl Answer>`.
#[macro_export]
macro_rules! tools {
    ($($name:literal => $f:expr),+ $(,)?) => {
        /// The module's entry: len is the length of the input.
        #[no_mangle]
        pub extern "C" fn nanoclaw_call(len: u32) -> i32 {
            $crate::serve(len, |name, c, args| match name {
                $($name => Some($crate::call($f, c, args)),)+
                _ => None,
            })
        }
    };
}

/// Declares the brain of roles that name this skill, `fn(&Context, llm::Turn) -> Result<String>`.
/// skill.toml says kind = "agent".
#[macro_export]
macro_rules! agent {
    ($f:expr) => {
        $crate::tools! { "turn" => $f }
    };
}

/// Declares a struct that is read from and written to JSON. A member that may be left out
/// is an Option.
#[macro_export]
macro_rules! record {
    ($(#[$m:meta])* $v:vis struct $name:ident { $($(#[$fm:meta])* $fv:vis $f:ident : $t:ty),* $(,)? }) => {
        $(#[$m])*
        #[derive(Debug, Clone, Default, PartialEq)]
        $v struct $name { $($(#[$fm])* $fv $f: $t),* }

        impl $crate::FromJson for $name {
            fn from_json(v: &$crate::Value) -> ::std::result::Result<Self, String> {
                if !matches!(v, $crate::Value::Object(_)) {
                    return $crate::json::not_an_object(v);
                }
                Ok($name { $($f: $crate::json::field(v, stringify!($f))?),* })
            }
        }
        impl $crate::ToJson for $name {
            fn to_json(&self) -> Option<$crate::Value> {
                Some($crate::json::object(vec![$((stringify!($f), $crate::ToJson::to_json(&self.$f))),*]))
            }
        }
        impl $crate::Answer for $name {
            fn answer(self) -> $crate::ToolResult {
                $crate::Answer::answer($crate::ToJson::to_json(&self).unwrap_or_default())
            }
        }
    };
}

/// Lines of the host's log, for the owner and never for a model.
pub mod log {
    pub fn debug(text: &str) {
        crate::abi::log(0, text)
    }
    pub fn info(text: &str) {
        crate::abi::log(1, text)
    }
    pub fn warn(text: &str) {
        crate::abi::log(2, text)
    }
    pub fn error(text: &str) {
        crate::abi::log(3, text)
    }
}

record! {
    /// What came of a call to another tool; `outcome` is "ok" when it answered.
    pub struct Outcome { pub outcome: String, pub message: Option<String>, pub result: Option<Value> }
}

impl Outcome {
    /// The text blocks of the result.
    pub fn text(&self) -> String {
        self.result
            .as_ref()
            .and_then(|r| r.get("content"))
            .map_or_else(String::new, llm::text_of)
    }
}

/// Calls another tool of the agent by its public name. It takes the capability tool. A call
/// that failed is an outcome, not an error.
pub fn call_tool(name: &str, args: &impl ToJson) -> Result<Outcome> {
    let request = json::object(vec![
        ("name", name.to_json()),
        ("arguments", args.to_json()),
    ]);
    let answer = abi::tool(&request)?;
    let first = answer
        .get("results")
        .and_then(Value::as_array)
        .and_then(|r| r.first())
        .unwrap_or(&Value::Null);
    Outcome::from_json(first).map_err(|e| Error::new(Kind::Internal, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        struct Input { name: String }
    }

    fn hello(c: &Context, i: Input) -> Result<String> {
        match i.name.as_str() {
            "" => Err("who?".into()),
            name => Ok(format!("Hello, {name}, in {}!", c.timezone)),
        }
    }

    fn find(name: &str, c: &Context, args: &Value) -> Option<ToolResult> {
        match name {
            "hello" => Some(call(hello, c, args)),
            "echo" => Some(call(|_, i: Input| Ok(i), c, args)),
            "web" => Some(call(
                |_, _: Value| http::get("https://x/").map(|r| r.text()),
                c,
                args,
            )),
            _ => None,
        }
    }

    #[test]
    fn answers() {
        for (input, want) in [
            (
                r#"{"tool":"hello","arguments":{"name":"Ada"},"call":{"timezone":"UTC"}}"#,
                r#"{"content":[{"type":"text","text":"Hello, Ada, in UTC!"}]}"#,
            ),
            (
                r#"{"tool":"hello","arguments":{"name":""}}"#,
                r#"{"content":[{"type":"text","text":"who?"}],"isError":true}"#,
            ),
            (
                r#"{"tool":"hello","arguments":{}}"#,
                r#"{"content":[{"type":"text","text":"invalid arguments: name is missing"}],"isError":true}"#,
            ),
            (
                r#"{"tool":"echo","arguments":{"name":"é"}}"#,
                r#"{"content":[{"type":"text","text":"{\"name\":\"é\"}"}],"structuredContent":{"name":"é"}}"#,
            ),
            (
                r#"{"tool":"web","arguments":{}}"#,
                r#"{"content":[{"type":"text","text":"denied: there is no host outside of wasm"}],"isError":true}"#,
            ),
            (
                "",
                r#"{"content":[{"type":"text","text":"this skill has no tool "}],"isError":true}"#,
            ),
        ] {
            assert_eq!(dispatch(input, find), want);
        }
    }
}
