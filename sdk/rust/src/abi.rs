//! The lowest layer: bytes in, bytes and a status out, one function for each import module.
//!
//! A capability is reached through its own function and through nothing else, so that the
//! linker drops the import of one that a skill never calls. `sdk/ABI.md` says what they mean.

use crate::{Error, Kind, Result, Value};

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "nanoclaw_core_1")]
extern "C" {
    fn input_read(dst: *mut u8, off: u32, len: u32) -> u32;
    fn output_write(src: *const u8, len: u32);
    fn result_read(dst: *mut u8, off: u32, len: u32) -> u32;
    #[link_name = "log"]
    fn log_write(level: u32, src: *const u8, len: u32);
}

#[cfg(target_arch = "wasm32")]
pub fn input(len: u32) -> Vec<u8> {
    read(len, input_read)
}

#[cfg(target_arch = "wasm32")]
pub fn output(text: &str) {
    unsafe { output_write(text.as_ptr(), text.len() as u32) }
}

#[cfg(target_arch = "wasm32")]
pub fn log(level: u32, text: &str) {
    unsafe { log_write(level, text.as_ptr(), text.len() as u32) }
}

#[cfg(not(target_arch = "wasm32"))]
pub fn log(level: u32, text: &str) {
    eprintln!("log {level}: {text}");
}

#[cfg(target_arch = "wasm32")]
fn read(len: u32, from: unsafe extern "C" fn(*mut u8, u32, u32) -> u32) -> Vec<u8> {
    let mut b = vec![0; len as usize];
    let n = unsafe { from(b.as_mut_ptr(), 0, len) };
    b.truncate(n as usize);
    b
}

macro_rules! capability {
    ($name:ident, $module:literal) => {
        pub fn $name(request: &Value) -> Result<Value> {
            #[cfg(target_arch = "wasm32")]
            {
                #[link(wasm_import_module = $module)]
                extern "C" {
                    fn call(src: *const u8, len: u32) -> u64;
                }
                let body = request.to_string();
                let answer = unsafe { call(body.as_ptr(), body.len() as u32) };
                decode((answer >> 32) as u32, read(answer as u32, result_read))
            }
            #[cfg(not(target_arch = "wasm32"))]
            {
                let _ = request;
                decode(
                    1,
                    br#"{"code":"denied","message":"there is no host outside of wasm"}"#.to_vec(),
                )
            }
        }
    };
}

capability!(http, "nanoclaw_http_1");
capability!(llm, "nanoclaw_llm_1");
capability!(kv, "nanoclaw_kv_1");
capability!(tool, "nanoclaw_tool_1");

/// The answer of a capability call, or the error in it.
fn decode(status: u32, body: Vec<u8>) -> Result<Value> {
    let value = String::from_utf8(body)
        .ok()
        .and_then(|s| Value::parse(&s).ok());
    match (status, value) {
        (0, Some(v)) => Ok(v),
        (0, None) => Err(Error::new(
            Kind::Internal,
            "the host's answer cannot be read",
        )),
        (_, v) => {
            let v = v.unwrap_or(Value::Null);
            let mut e = Error::new(
                Kind::from_status(status),
                v.get("message").and_then(Value::as_str).unwrap_or(""),
            );
            e.retryable = v.get("retryable") == Some(&Value::Bool(true));
            Err(e)
        }
    }
}
