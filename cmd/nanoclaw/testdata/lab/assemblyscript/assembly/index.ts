// The lab in AssemblyScript: what it reports is the same in every language.
import {
  Answer, Context, Fields, Input, Json, Level, Request, Status, WORKSPACE, appendFile, ask, callTool, error, http, kvDelete,
  kvGet, kvList, kvPut, lastError, log, makeDirectory, object, readDirectory, readFile, removeFile, text, tool, writeFile,
} from "nanoclaw-sdk";
export { nanoclaw_call } from "nanoclaw-sdk";

tool("lab", new Fields().string("url").string("other").optional(), lab);
tool("echo", new Fields(), (c, input) => object(input.json));
tool("fail", new Fields(), (c, input) => error("it was asked to fail"));

function lab(c: Context, input: Input): Answer {
  const out = [
    "http: " + post(input.string("url")),
    "elsewhere: " + post(input.string("other")),
    "kv: " + keys(),
    "no key: " + or(kvGet("never")),
    "llm: " + model(),
    "tool: " + other(),
    "fs: " + files(),
    c.tool + " " + c.timezone,
  ];
  log(Level.Warn, "a line of the log");
  return text(out.join("\n"));
}

function kind(): string {
  const e = lastError();
  return e.status == Status.Denied ? "denied" : e.status == Status.NotFound ? "not_found" : e.message;
}

function or(s: string | null): string {
  return s != null ? s : kind();
}

function post(url: string): string {
  const r = new Request(url, "POST").header("X-Lab", "1");
  r.body = "ping";
  const a = http(r);
  return a ? a.status.toString() + " " + a.body + " " + a.header("x-answer") : kind();
}

function keys(): string {
  const all = ["a1", "a2", "b"];
  for (let i = 0; i < all.length; i++) if (!kvPut(all[i], "value of " + all[i])) return kind();
  if (!kvDelete("a1")) return kind();
  const v = kvGet("a2");
  const list = kvList("a", 5);
  return v != null && list ? v + " " + list.join(",") : kind();
}

function model(): string {
  const a = ask("s", "hi");
  return a != null ? (a != "").toString() : kind();
}

function other(): string {
  const o = callTool("lab_fail", Json.object());
  return o ? o.str("outcome") : kind();
}

function files(): string {
  const dir = WORKSPACE + "/d";
  const file = dir + "/f.txt";
  if (!makeDirectory(dir) || !writeFile(file, "one ") || !appendFile(file, "two")) return kind();
  const got = readFile(file);
  const names = readDirectory(dir);
  const gone = or(readFile(dir + "/gone"));
  return got != null && names && removeFile(file) ? got + " " + names.join(",") + " " + gone : kind();
}
