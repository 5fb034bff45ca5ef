// The guest API for skills written in AssemblyScript. README.md is the tour.
//
// AssemblyScript has no exceptions, so what can fail answers null or false, and lastError()
// says why. Every call has an instance of its own: nothing is ever freed.

import * as abi from "./abi";
import { Json, Kind } from "./json";

export { Json, Kind };
export * from "./fs";

/** The agent's files; see fs.ts. */
export const WORKSPACE: string = "/workspace";

/** What a capability call answers, and Skill for a skill's own errors. */
export enum Status {
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

const codes = [
  "error", "denied", "invalid", "not_found", "timeout", "cancelled", "too_large", "rate_limited", "unavailable", "internal",
];

/** Why something failed. */
export class Failure {
  constructor(
    public status: Status,
    /** One sentence, safe to show. */
    public message: string,
    /** The same call may succeed later. */
    public retryable: bool = false,
  ) {}

  toString(): string {
    if (this.status == Status.Skill) return this.message;
    return this.message == "" ? codes[this.status] : codes[this.status] + ": " + this.message;
  }
}

let last = new Failure(Status.Skill, "");

/** Why the last function of this SDK that answered null or false did so. */
export function lastError(): Failure {
  return last;
}

/** Sets lastError; answers false. */
export function fail(status: Status, message: string): bool {
  last = new Failure(status, message);
  return false;
}

// ---- Tools ----

/** Says for whom a tool is called. */
export class Context {
  constructor(
    /** The tool's name in skill.toml. */
    public tool: string,
    /** Identity of the turn: the same when the turn is run again. */
    public turn: string,
    /** Identity of the agent. */
    public agent: string,
    /** The user's, an IANA name such as "Europe/Berlin". */
    public timezone: string,
  ) {}
}

/** The members of a tool's input. Arguments that do not fit are answered for the tool. */
export class Fields {
  names: string[] = [];
  kinds: Kind[] = [];
  needed: bool[] = [];

  private add(name: string, kind: Kind, needed: bool): Fields {
    this.names.push(name);
    this.kinds.push(kind);
    this.needed.push(needed);
    return this;
  }

  string(name: string): Fields {
    return this.add(name, Kind.String, true);
  }
  number(name: string): Fields {
    return this.add(name, Kind.Number, true);
  }
  bool(name: string): Fields {
    return this.add(name, Kind.Bool, true);
  }
  array(name: string): Fields {
    return this.add(name, Kind.Array, true);
  }
  object(name: string): Fields {
    return this.add(name, Kind.Object, true);
  }

  /** Makes the last one optional. */
  optional(): Fields {
    this.needed[this.needed.length - 1] = false;
    return this;
  }

  /** What is wrong with v, or "". */
  check(v: Json): string {
    if (v.kind != Kind.Object) return "want an object";
    for (let i = 0; i < this.names.length; i++) {
      const member = v.get(this.names[i]);
      if (!member || member.kind == Kind.Null) {
        if (this.needed[i]) return this.names[i] + " is missing";
      } else if (member.kind != this.kinds[i]) {
        return this.names[i] + ": want " + wanted[this.kinds[i]];
      }
    }
    return "";
  }
}

const wanted = ["null", "true or false", "a number", "a string", "an array", "an object"];

/** The input of a tool, checked against its Fields; what is not there is "", 0, false or null. */
export class Input {
  constructor(public json: Json) {}

  has(name: string): bool {
    const v = this.json.get(name);
    return v != null && v.kind != Kind.Null;
  }
  string(name: string): string {
    return this.json.str(name);
  }
  number(name: string): f64 {
    const v = this.json.get(name);
    return v && v.kind == Kind.Number ? f64.parse(v.text) : 0;
  }
  bool(name: string): bool {
    const v = this.json.get(name);
    return v != null && v.flag;
  }
  get(name: string): Json | null {
    return this.json.get(name);
  }
}

/** What a tool answers. */
export class Answer {
  constructor(public text: string, public structured: Json | null = null, public isError: bool = false) {}
}

export function text(s: string): Answer {
  return new Answer(s);
}

/** An object, as text and as structured content. */
export function object(v: Json): Answer {
  return new Answer(v.toString(), v);
}

/** An error that the model reads. */
export function error(s: string): Answer {
  return new Answer(s, null, true);
}

/** lastError as an answer: "denied: the sentence". */
export function failed(): Answer {
  return error(last.toString());
}

class Tool {
  constructor(public name: string, public fields: Fields, public call: (c: Context, input: Input) => Answer) {}
}

const tools: Tool[] = [];

/** Registers a tool that skill.toml names. Call it at the top level. */
export function tool(name: string, fields: Fields, call: (c: Context, input: Input) => Answer): void {
  tools.push(new Tool(name, fields, call));
}

function dispatch(input: string): Answer {
  const v = Json.parse(input);
  if (!v) return error("the host's call cannot be read");
  const call = v.get("call") || Json.object();
  const args = v.get("arguments") || new Json();
  const c = new Context(v.str("tool"), call.str("turn"), call.str("agent"), call.str("timezone"));
  for (let i = 0; i < tools.length; i++) {
    const t = tools[i];
    if (t.name != c.tool) continue;
    const wrong = t.fields.check(args);
    return wrong == "" ? t.call(c, new Input(args)) : error("invalid arguments: " + wrong);
  }
  return error("this skill has no tool " + c.tool);
}

/** The module's entry; index.ts of a skill says `export { nanoclaw_call } from "nanoclaw-sdk"`. */
export function nanoclaw_call(len: u32): i32 {
  const a = dispatch(abi.input(len));
  const block = Json.object().set("type", Json.string("text")).set("text", Json.string(a.text));
  const out = Json.object().set("content", Json.array([block]));
  const structured = a.structured;
  if (structured && structured.kind == Kind.Object) out.set("structuredContent", structured);
  if (a.isError) out.set("isError", Json.bool(true));
  abi.output(out.toString());
  return 0;
}

// ---- Capabilities: each takes that of its name in skill.toml ----

function read(r: abi.Result): Json | null {
  const v = Json.parse(r.body);
  if (r.status == 0) {
    if (!v) fail(Status.Internal, "the host's answer cannot be read");
    return v;
  }
  const status = r.status > Status.Internal ? Status.Internal : r.status;
  last = new Failure(status, v ? v.str("message") : "");
  if (v) {
    const retryable = v.get("retryable");
    last.retryable = retryable != null && retryable.flag;
  }
  return null;
}

/** An HTTP request. The host refuses what the role does not grant, and adds credentials itself. */
export class Request {
  headers: Json = Json.object();
  body: string = "";

  constructor(public url: string, public method: string = "GET") {}

  header(name: string, value: string): Request {
    this.headers.set(name, Json.string(value));
    return this;
  }
}

/** Its answer, whatever its status. */
export class Response {
  status: i32 = 0;
  url: string = "";
  headers: Json = Json.object();
  body: string = "";
  /** Set instead of body when the body is not UTF-8. */
  bodyBase64: string = "";

  /** The header called name, in any case, or "". */
  header(name: string): string {
    for (let i = 0; i < this.headers.names.length; i++) {
      if (this.headers.names[i].toLowerCase() == name.toLowerCase()) return this.headers.items[i].text;
    }
    return "";
  }
}

/** Sends one request; null and lastError when it was not made. 404 is a response. */
export function http(r: Request): Response | null {
  const q = Json.object().set("method", Json.string(r.method)).set("url", Json.string(r.url));
  if (r.headers.items.length > 0) q.set("headers", r.headers);
  if (r.body != "") q.set("body", Json.string(r.body));
  const v = read(abi.http(q.toString()));
  if (!v) return null;
  const out = new Response();
  const status = v.get("status");
  if (status) out.status = I32.parseInt(status.text);
  out.url = v.str("url");
  out.headers = v.get("headers") || out.headers;
  out.body = v.str("body");
  out.bodyBase64 = v.str("body_base64");
  return out;
}

function kv(op: string, key: string, value: string | null, limit: i32): Json | null {
  const q = Json.object().set("op", Json.string(op)).set("key", Json.string(key));
  if (value) q.set("value", Json.string(value));
  if (limit > 0) q.set("limit", Json.number(limit));
  return read(abi.kv(q.toString()));
}

/** The value of key; null and lastError, with Status.NotFound when it is not there. */
export function kvGet(key: string): string | null {
  const v = kv("get", key, null, 0);
  return v ? v.str("value") : null;
}

export function kvPut(key: string, value: string): bool {
  return kv("put", key, value, 0) != null;
}

/** Removes key; that it was not there is no error. */
export function kvDelete(key: string): bool {
  return kv("delete", key, null, 0) != null;
}

/** At most limit keys that begin with prefix, in order; 0 leaves the limit to the host. */
export function kvList(prefix: string, limit: i32 = 0): string[] | null {
  const v = kv("list", prefix, null, limit);
  if (!v) return null;
  const keys = v.get("keys");
  return keys ? keys.items.map<string>((k) => k.text) : [];
}

/** Asks the model; request and answer in the Messages shape of ABI.md. */
export function llm(request: Json): Json | null {
  return read(abi.llm(request.toString()));
}

/** Asks the model one thing and gives the text of its answer. */
export function ask(system: string, question: string): string | null {
  const block = Json.object().set("type", Json.string("text")).set("text", Json.string(question));
  const message = Json.object().set("role", Json.string("user")).set("content", Json.array([block]));
  const v = llm(Json.object().set("system", Json.string(system)).set("messages", Json.array([message])));
  return v ? textOf(v.get("content")) : null;
}

/** Joins the text blocks of an array. */
export function textOf(blocks: Json | null): string {
  if (!blocks) return "";
  const texts: string[] = [];
  for (let i = 0; i < blocks.items.length; i++) {
    if (blocks.items[i].str("type") == "text") texts.push(blocks.items[i].str("text"));
  }
  return texts.join("\n");
}

/** Calls another tool of the agent by its public name and answers its outcome. */
export function callTool(name: string, args: Json): Json | null {
  const v = read(abi.tool(Json.object().set("name", Json.string(name)).set("arguments", args).toString()));
  const results = v ? v.get("results") : null;
  return results && results.items.length > 0 ? results.items[0] : null;
}

// ---- Log: for the owner, never for a model ----

export enum Level {
  Debug,
  Info,
  Warn,
  Error,
}

export function log(level: Level, text: string): void {
  abi.log(level, text);
}
