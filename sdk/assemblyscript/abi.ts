// The lowest layer: bytes in, bytes and a status out, one function for each import module.
// A capability is reached through its own function and through nothing else, so that the
// import of one that a skill never calls is not in the module. ABI.md says what they mean.

// @ts-ignore: decorator
@external("nanoclaw_core_1", "input_read")
declare function inputRead(dst: usize, off: u32, len: u32): u32;
// @ts-ignore: decorator
@external("nanoclaw_core_1", "output_write")
declare function outputWrite(src: usize, len: u32): void;
// @ts-ignore: decorator
@external("nanoclaw_core_1", "result_read")
declare function resultRead(dst: usize, off: u32, len: u32): u32;
// @ts-ignore: decorator
@external("nanoclaw_core_1", "log")
declare function logWrite(level: u32, src: usize, len: u32): void;
// @ts-ignore: decorator
@external("nanoclaw_http_1", "call")
declare function httpCall(src: usize, len: u32): u64;
// @ts-ignore: decorator
@external("nanoclaw_llm_1", "call")
declare function llmCall(src: usize, len: u32): u64;
// @ts-ignore: decorator
@external("nanoclaw_kv_1", "call")
declare function kvCall(src: usize, len: u32): u64;
// @ts-ignore: decorator
@external("nanoclaw_tool_1", "call")
declare function toolCall(src: usize, len: u32): u64;

function utf8(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

function at(b: ArrayBuffer): usize {
  return changetype<usize>(b);
}

export function input(len: u32): string {
  const b = new ArrayBuffer(len);
  return String.UTF8.decodeUnsafe(at(b), inputRead(at(b), 0, len));
}

export function output(text: string): void {
  const b = utf8(text);
  outputWrite(at(b), b.byteLength);
}

export function log(level: u32, text: string): void {
  const b = utf8(text);
  logWrite(level, at(b), b.byteLength);
}

/** The answer of a capability call. */
export class Result {
  constructor(public status: i32, public body: string) {}
}

function result(r: u64): Result {
  const len = <u32>r;
  const b = new ArrayBuffer(len);
  return new Result(<i32>(r >> 32), String.UTF8.decodeUnsafe(at(b), resultRead(at(b), 0, len)));
}

export function http(request: string): Result {
  const b = utf8(request);
  return result(httpCall(at(b), b.byteLength));
}

export function llm(request: string): Result {
  const b = utf8(request);
  return result(llmCall(at(b), b.byteLength));
}

export function kv(request: string): Result {
  const b = utf8(request);
  return result(kvCall(at(b), b.byteLength));
}

export function tool(request: string): Result {
  const b = utf8(request);
  return result(toolCall(at(b), b.byteLength));
}

/** What `abort`, failed assertions and `throw` run: `skill build` puts it in their place. */
// @ts-ignore: decorator
@global
function nanoclawAbort(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = (file ? file : "") + ":" + line.toString() + ":" + column.toString();
  log(3, (message ? message : "abort") + " (" + where + ")");
  unreachable();
}
