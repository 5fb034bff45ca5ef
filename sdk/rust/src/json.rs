//! JSON without dependencies: a value, its text, and what Rust types say about it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// A JSON value. Numbers keep the digits they were written with; members keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Default for Value {
    fn default() -> Self {
        Value::Null
    }
}

const MAX_DEPTH: usize = 128;

impl Value {
    /// Reads one JSON value and nothing after it.
    pub fn parse(text: &str) -> Result<Value, String> {
        let mut p = Parser { s: text, at: 0 };
        let v = p.value(0)?;
        p.space();
        match p.peek() {
            None => Ok(v),
            Some(_) => Err(p.error("something stands after the value")),
        }
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
        Value::Object(
            members
                .into_iter()
                .map(|(k, v)| (k.to_string(), v))
                .collect(),
        )
    }

    /// The member called `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members
                .iter()
                .rev()
                .find(|(k, _)| k == name)
                .map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }

    fn kind(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => n.clone(),
            Value::String(_) => "a string".into(),
            Value::Array(_) => "an array".into(),
            Value::Object(_) => "an object".into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => f.write_str(if *b { "true" } else { "false" }),
            Value::Number(n) => f.write_str(n),
            Value::String(s) => quote(f, s),
            Value::Array(a) => {
                f.write_char('[')?;
                for (i, v) in a.iter().enumerate() {
                    if i > 0 {
                        f.write_char(',')?;
                    }
                    v.fmt(f)?;
                }
                f.write_char(']')
            }
            Value::Object(o) => {
                f.write_char('{')?;
                for (i, (k, v)) in o.iter().enumerate() {
                    if i > 0 {
                        f.write_char(',')?;
                    }
                    quote(f, k)?;
                    f.write_char(':')?;
                    v.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, s: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in s.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

struct Parser<'a> {
    s: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, what: &str) -> String {
        format!("not JSON at byte {}: {what}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.s.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, c: u8) -> bool {
        let found = self.peek() == Some(c);
        self.at += found as usize;
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, String> {
        for (word, v) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ] {
            if self.s[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(v);
            }
        }
        Err(self.error("want a value"))
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.error("want ':'"));
            }
            members.push((key, self.value(depth + 1)?));
            self.space();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.error("want ',' or '}'"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.error("want ',' or ']'"));
            }
        }
    }

    fn digits(&mut self) -> Result<(), String> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.error("want a digit"));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Value::Number(self.s[start..self.at].to_string()))
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.take(b'"') {
            return Err(self.error("want a string"));
        }
        let mut out = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            out.push_str(&self.s[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.error("the string does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let c = self
            .peek()
            .ok_or_else(|| self.error("the string does not end"))?;
        self.at += 1;
        Ok(match c {
            b'"' | b'\\' | b'/' => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                let mut code = high;
                if (0xd800..0xdc00).contains(&high) && self.s[self.at..].starts_with("\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    }
                }
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            _ => return Err(self.error("unknown escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self
            .s
            .get(self.at..self.at + 4)
            .filter(|d| d.bytes().all(|c| c.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(|| self.error("want four hex digits"))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|e| e.to_string())
    }
}

/// What can be read from JSON. The error names the place: `days[2].name: want a string, got 3`.
pub trait FromJson: Sized {
    fn from_json(v: &Value) -> Result<Self, String>;

    /// What a member that is not there stands for; `None` makes it required.
    fn missing() -> Option<Self> {
        None
    }
}

/// What can be written as JSON. `None` leaves a member of an object out.
pub trait ToJson {
    fn to_json(&self) -> Option<Value>;
}

/// The member called `name`, for the macro `record!`.
pub fn field<T: FromJson>(object: &Value, name: &str) -> Result<T, String> {
    let name = name.trim_start_matches("r#");
    match object.get(name) {
        Some(v) => T::from_json(v).map_err(|e| below(name, &e)),
        None => T::missing().ok_or_else(|| format!("{name} is missing")),
    }
}

fn below(place: &str, e: &str) -> String {
    match e.starts_with("want ") {
        true => format!("{place}: {e}"),
        false if e.starts_with('[') => format!("{place}{e}"),
        false => format!("{place}.{e}"),
    }
}

/// The object of these members, for the macro `record!`.
pub fn object(members: Vec<(&str, Option<Value>)>) -> Value {
    let members = members
        .into_iter()
        .filter_map(|(k, v)| Some((k.trim_start_matches("r#").to_string(), v?)));
    Value::Object(members.collect())
}

/// The error of a `record!` that is given something else.
pub fn not_an_object<T>(v: &Value) -> Result<T, String> {
    want("an object", v)
}

fn want<T>(what: &str, v: &Value) -> Result<T, String> {
    Err(format!("want {what}, got {}", v.kind()))
}

impl FromJson for Value {
    fn from_json(v: &Value) -> Result<Self, String> {
        Ok(v.clone())
    }
}
impl ToJson for Value {
    fn to_json(&self) -> Option<Value> {
        Some(self.clone())
    }
}

impl FromJson for String {
    fn from_json(v: &Value) -> Result<Self, String> {
        v.as_str()
            .map_or_else(|| want("a string", v), |s| Ok(s.to_string()))
    }
}
impl ToJson for String {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}
impl ToJson for &str {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

impl FromJson for bool {
    fn from_json(v: &Value) -> Result<Self, String> {
        match v {
            Value::Bool(b) => Ok(*b),
            _ => want("true or false", v),
        }
    }
}
impl ToJson for bool {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Bool(*self))
    }
}

macro_rules! numbers {
    ($what:literal: $($t:ty),*) => {$(
        impl FromJson for $t {
            fn from_json(v: &Value) -> Result<Self, String> {
                match v {
                    Value::Number(n) => n.parse().or_else(|_| want($what, v)),
                    _ => want($what, v),
                }
            }
        }
        impl ToJson for $t {
            fn to_json(&self) -> Option<Value> {
                Some(Value::Number(self.to_string()))
            }
        }
    )*};
}
numbers!("an integer": i32, i64, u32, u64, usize);

impl FromJson for f64 {
    fn from_json(v: &Value) -> Result<Self, String> {
        match v {
            Value::Number(n) => n.parse().or_else(|_| want("a number", v)),
            _ => want("a number", v),
        }
    }
}
impl ToJson for f64 {
    /// Infinities and NaN, which JSON does not have, become null.
    fn to_json(&self) -> Option<Value> {
        Some(if self.is_finite() {
            Value::Number(self.to_string())
        } else {
            Value::Null
        })
    }
}

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(v: &Value) -> Result<Self, String> {
        match v {
            Value::Null => Ok(None),
            _ => T::from_json(v).map(Some),
        }
    }
    fn missing() -> Option<Self> {
        Some(None)
    }
}
impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self) -> Option<Value> {
        self.as_ref().and_then(T::to_json)
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(v: &Value) -> Result<Self, String> {
        let items = v.as_array().map_or_else(|| want("an array", v), Ok)?;
        let read = |(i, item)| T::from_json(item).map_err(|e| below(&format!("[{i}]"), &e));
        items.iter().enumerate().map(read).collect()
    }
}
impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Array(
            self.iter()
                .map(|v| v.to_json().unwrap_or(Value::Null))
                .collect(),
        ))
    }
}

impl<T: FromJson> FromJson for BTreeMap<String, T> {
    fn from_json(v: &Value) -> Result<Self, String> {
        match v {
            Value::Object(members) => {
                let read = |(k, v): &(String, Value)| {
                    Ok((k.clone(), T::from_json(v).map_err(|e| below(k, &e))?))
                };
                members.iter().map(read).collect()
            }
            _ => want("an object", v),
        }
    }
}
impl<T: ToJson> ToJson for BTreeMap<String, T> {
    fn to_json(&self) -> Option<Value> {
        let members = self
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), v.to_json()?)));
        Some(Value::Object(members.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in [
            "null",
            "true",
            "-0.5e+10",
            r#""a\"b\\\n\u0001é😀""#,
            "[]",
            "{}",
            r#"{"a":[1,{"b":null}],"c":"d"}"#,
            "12345678901234567890",
        ] {
            assert_eq!(Value::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Value::parse(r#" "\ud83d\ude00\ud800\/" "#)
                .unwrap()
                .as_str(),
            Some("😀\u{fffd}/")
        );
    }

    #[test]
    fn refused() {
        let deep = "[".repeat(200);
        for text in [
            "",
            "nul",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "1 2",
            "\"\n\"",
            &deep,
            "\"\\ué0\"",
        ] {
            assert!(Value::parse(text).is_err(), "{text}");
        }
    }

    crate::record! {
        struct Day { name: String, r#type: Option<i64> }
    }
    crate::record! {
        struct Week { days: Vec<Day>, high: Option<f64> }
    }

    #[test]
    fn records() {
        let read = |text| Week::from_json(&Value::parse(text).unwrap());
        let text = r#"{"days":[{"name":"Mon","type":3}],"high":1.5}"#;
        assert_eq!(read(text).unwrap().to_json().unwrap().to_string(), text);
        for (text, why) in [
            ("[]", "want an object, got an array"),
            ("{}", "days is missing"),
            (
                r#"{"days":[{"name":3}]}"#,
                "days[0].name: want a string, got 3",
            ),
            (
                r#"{"days":[{"name":"a","type":1.5}]}"#,
                "days[0].type: want an integer, got 1.5",
            ),
            (r#"{"days":[{}]}"#, "days[0].name is missing"),
            (
                r#"{"days":[],"high":"x"}"#,
                "high: want a number, got a string",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), why);
        }
    }
}
