// The Rust guest of BenchmarkCall: reverses the string behind "data":" and answers with it.
#[link(wasm_import_module = "nanoclaw_core_1")]
extern "C" {
    fn input_read(dst: *mut u8, off: u32, len: u32) -> u32;
    fn output_write(src: *const u8, len: u32);
}

fn answer(input: &str) -> Option<String> {
    let rest = &input[input.find("\"data\":\"")? + 8..];
    let data: String = rest[..rest.find('"')?].chars().rev().collect();
    Some(format!("{{\"content\":[{{\"type\":\"text\",\"text\":\"{}\"}}]}}", data))
}

#[no_mangle]
pub extern "C" fn nanoclaw_call(len: u32) -> i32 {
    let mut input = vec![0u8; len as usize];
    let n = unsafe { input_read(input.as_mut_ptr(), 0, len) };
    input.truncate(n as usize);
    match std::str::from_utf8(&input).ok().and_then(answer) {
        Some(s) => {
            unsafe { output_write(s.as_ptr(), s.len() as u32) };
            0
        }
        None => 1,
    }
}
