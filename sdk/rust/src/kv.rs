//! Keys and values that outlive turns: the agent's own for this skill. They take the
//! capability kv.

use crate::{abi, json, Kind, Result, ToJson, Value};

/// The value of key, if it is there.
pub fn get(key: &str) -> Result<Option<String>> {
    match call("get", key, None, None) {
        Ok(v) => Ok(Some(
            v.get("value")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_string(),
        )),
        Err(e) if e.kind == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub fn put(key: &str, value: &str) -> Result<()> {
    call("put", key, value.to_json(), None).map(drop)
}

/// Removes key; that it was not there is no error.
pub fn delete(key: &str) -> Result<()> {
    call("delete", key, None, None).map(drop)
}

/// At most limit keys that begin with prefix, in order; 0 leaves the limit to the host.
pub fn list(prefix: &str, limit: u32) -> Result<Vec<String>> {
    let v = call("list", prefix, None, limit.to_json())?;
    let keys: Option<Vec<String>> = json::field(&v, "keys")?;
    Ok(keys.unwrap_or_default())
}

fn call(op: &str, key: &str, value: Option<Value>, limit: Option<Value>) -> Result<Value> {
    abi::kv(&json::object(vec![
        ("op", op.to_json()),
        ("key", key.to_json()),
        ("value", value),
        ("limit", limit),
    ]))
}
