// JSON without dependencies.

export enum Kind {
  Null,
  Bool,
  Number,
  String,
  Array,
  Object,
}

/** A JSON value. Numbers keep the digits they were written with. */
export class Json {
  kind: Kind = Kind.Null;
  flag: bool = false;
  /** Of a string; the digits of a number. */
  text: string = "";
  items: Json[] = [];
  /** Names of the items of an object. */
  names: string[] = [];

  static string(s: string): Json {
    const v = new Json();
    v.kind = Kind.String;
    v.text = s;
    return v;
  }

  static number(n: f64): Json {
    const v = new Json();
    if (!isFinite(n)) return v; // null, as JSON has neither NaN nor infinities
    v.kind = Kind.Number;
    v.text = n == Math.trunc(n) && Math.abs(n) < 1e15 ? (<i64>n).toString() : n.toString();
    return v;
  }

  static bool(b: bool): Json {
    const v = new Json();
    v.kind = Kind.Bool;
    v.flag = b;
    return v;
  }

  static array(items: Json[] = []): Json {
    const v = new Json();
    v.kind = Kind.Array;
    v.items = items;
    return v;
  }

  static object(): Json {
    const v = new Json();
    v.kind = Kind.Object;
    return v;
  }

  /** Reads one value and nothing after it; null when it is not JSON. */
  static parse(text: string): Json | null {
    const r = new Reader(text);
    const v = r.value(0);
    r.space();
    return r.failed || r.at < text.length ? null : v;
  }

  /** The member of an object, or null. */
  get(name: string): Json | null {
    if (this.kind != Kind.Object) return null;
    const i = this.names.lastIndexOf(name);
    return i < 0 ? null : this.items[i];
  }

  /** The text of a string member, or "". */
  str(name: string): string {
    const v = this.get(name);
    return v && v.kind == Kind.String ? v.text : "";
  }

  /** Adds a member to an object. */
  set(name: string, v: Json): Json {
    this.names.push(name);
    this.items.push(v);
    return this;
  }

  toString(): string {
    switch (this.kind) {
      case Kind.Null:
        return "null";
      case Kind.Bool:
        return this.flag ? "true" : "false";
      case Kind.Number:
        return this.text;
      case Kind.String:
        return quote(this.text);
    }
    const parts: string[] = [];
    for (let i = 0; i < this.items.length; i++) {
      const v = this.items[i].toString();
      parts.push(this.kind == Kind.Object ? quote(this.names[i]) + ":" + v : v);
    }
    return this.kind == Kind.Object ? "{" + parts.join(",") + "}" : "[" + parts.join(",") + "]";
  }
}

function quote(s: string): string {
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c >= 32 && c != 34 && c != 92) continue;
    parts.push(s.substring(start, i));
    start = i + 1;
    if (c >= 32) parts.push("\\" + String.fromCharCode(c));
    else if (c == 10) parts.push("\\n");
    else parts.push("\\u00" + (c < 16 ? "0" : "") + c.toString(16));
  }
  parts.push(s.substring(start));
  return '"' + parts.join("") + '"';
}

const maxDepth = 128;

class Reader {
  at: i32 = 0;
  failed: bool = false;

  constructor(private s: string) {}

  private peek(): i32 {
    return this.at < this.s.length ? this.s.charCodeAt(this.at) : -1;
  }

  private take(c: i32): bool {
    if (this.peek() != c) return false;
    this.at++;
    return true;
  }

  private fail(): Json {
    this.failed = true;
    return new Json();
  }

  space(): void {
    while (true) {
      const c = this.peek();
      if (c != 32 && c != 9 && c != 10 && c != 13) return;
      this.at++;
    }
  }

  private word(w: string, v: Json): Json {
    if (!this.s.startsWith(w, this.at)) return this.fail();
    this.at += w.length;
    return v;
  }

  value(depth: i32): Json {
    if (depth > maxDepth) return this.fail();
    this.space();
    switch (this.peek()) {
      case 123: // {
        return this.members(Json.object(), 125, depth);
      case 91: // [
        return this.members(Json.array(), 93, depth);
      case 34:
        return Json.string(this.string());
      case 110:
        return this.word("null", new Json());
      case 116:
        return this.word("true", Json.bool(true));
      case 102:
        return this.word("false", Json.bool(false));
    }
    return this.number();
  }

  private members(v: Json, close: i32, depth: i32): Json {
    this.at++;
    this.space();
    if (this.take(close)) return v;
    do {
      if (v.kind == Kind.Object) {
        this.space();
        v.names.push(this.string());
        this.space();
        if (!this.take(58)) return this.fail();
      }
      v.items.push(this.value(depth + 1));
      if (this.failed) return v;
      this.space();
    } while (this.take(44));
    return this.take(close) ? v : this.fail();
  }

  private digits(): bool {
    const start = this.at;
    while (this.peek() >= 48 && this.peek() <= 57) this.at++;
    return this.at > start;
  }

  private number(): Json {
    const start = this.at;
    this.take(45);
    if (!this.take(48) && !this.digits()) return this.fail();
    if (this.take(46) && !this.digits()) return this.fail();
    if (this.take(101) || this.take(69)) {
      if (!this.take(43)) this.take(45);
      if (!this.digits()) return this.fail();
    }
    const v = new Json();
    v.kind = Kind.Number;
    v.text = this.s.substring(start, this.at);
    return v;
  }

  private string(): string {
    if (!this.take(34)) {
      this.failed = true;
      return "";
    }
    const parts: string[] = [];
    while (true) {
      const start = this.at;
      let c = this.peek();
      while (c >= 32 && c != 34 && c != 92) {
        this.at++;
        c = this.peek();
      }
      parts.push(this.s.substring(start, this.at));
      if (this.take(34)) return parts.join("");
      if (!this.take(92)) {
        this.failed = true;
        return "";
      }
      parts.push(this.escape());
      if (this.failed) return "";
    }
  }

  private escape(): string {
    const c = this.peek();
    this.at++;
    switch (c) {
      case 34:
      case 92:
      case 47:
        return String.fromCharCode(c);
      case 98:
        return "\b";
      case 102:
        return "\f";
      case 110:
        return "\n";
      case 114:
        return "\r";
      case 116:
        return "\t";
      case 117:
        return String.fromCharCode(this.hex()); // a pair of surrogates is two of these
    }
    this.failed = true;
    return "";
  }

  private hex(): i32 {
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const c = this.peek();
      const low = c | 32;
      this.at++;
      if (c >= 48 && c <= 57) code = (code << 4) | (c - 48);
      else if (low >= 97 && low <= 102) code = (code << 4) | (low - 87);
      else this.failed = true;
    }
    return code;
  }
}
