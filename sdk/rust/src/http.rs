//! Requests to the web. They take the capability http. The host refuses what the role does
//! not grant, and adds credentials by itself: a skill never holds one.

use crate::{abi, json, Error, Kind, Result, ToJson, Value};

/// One request; `send` sends it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Its answer, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u32,
    /// After redirects.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Gets a page. An answer such as 404 is a Response, not an error.
pub fn get(url: &str) -> Result<Response> {
    Request::new("GET", url).send()
}

impl Request {
    pub fn new(method: &str, url: &str) -> Request {
        Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    pub fn send(&self) -> Result<Response> {
        let headers = self
            .headers
            .iter()
            .map(|(k, v)| (k.clone(), Value::String(v.clone())))
            .collect();
        let (name, body) = match std::str::from_utf8(&self.body) {
            Ok(text) => ("body", text.to_string()),
            Err(_) => ("body_base64", encode(&self.body)),
        };
        let answer = abi::http(&json::object(vec![
            ("method", self.method.to_json()),
            ("url", self.url.to_json()),
            (
                "headers",
                Some(Value::Object(headers)).filter(|_| !self.headers.is_empty()),
            ),
            (name, body.to_json().filter(|_| !body.is_empty())),
        ]))?;
        Response::read(&answer)
            .ok_or_else(|| Error::new(Kind::Internal, "the host's answer cannot be read"))
    }
}

impl Response {
    fn read(v: &Value) -> Option<Response> {
        let text = |name| v.get(name).and_then(Value::as_str).unwrap_or("");
        let headers = match v.get("headers") {
            Some(Value::Object(members)) => members.clone(),
            _ => Vec::new(),
        };
        Some(Response {
            status: json::field(v, "status").ok()?,
            url: text("url").into(),
            headers: headers
                .into_iter()
                .map(|(k, v)| (k, v.as_str().unwrap_or("").into()))
                .collect(),
            body: match text("body_base64") {
                "" => text("body").into(),
                b => decode(b)?,
            },
        })
    }

    /// The header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The body; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        Value::parse(&self.text()).map_err(Error::from)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = (0..3).fold(0, |n, i| n << 8 | *chunk.get(i).unwrap_or(&0) as usize);
        for i in 0..4 {
            let c = if i > chunk.len() {
                b'='
            } else {
                ALPHABET[n >> (18 - 6 * i) & 63]
            };
            out.push(c as char);
        }
    }
    out
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let text = text.trim_end_matches('=');
    for chunk in text.as_bytes().chunks(4) {
        let mut n = 0;
        for i in 0..4 {
            let digit = match chunk.get(i) {
                Some(c) => ALPHABET.iter().position(|a| a == c)?,
                None => 0,
            };
            n = n << 6 | digit;
        }
        let bytes = [(n >> 16) as u8, (n >> 8) as u8, n as u8];
        out.extend_from_slice(&bytes[..chunk.len().checked_sub(1)?]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(
            decode(&encode(&[0xff, 0xfe, 0x00])).unwrap(),
            [0xff, 0xfe, 0x00]
        );
        assert_eq!(decode("a!"), None);
    }

    #[test]
    fn response() {
        let v = Value::parse(
            r#"{"status":404,"url":"u","headers":{"Content-Type":"text/plain"},"body_base64":"/w=="}"#,
        );
        let r = Response::read(&v.unwrap()).unwrap();
        assert_eq!(
            (r.status, r.header("content-type"), &r.body[..]),
            (404, Some("text/plain"), &[0xff][..])
        );
    }
}
