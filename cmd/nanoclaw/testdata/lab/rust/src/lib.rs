// The lab in Rust: what it reports is the same in every language.
use nanoclaw::{call_tool, http, kv, llm, log, Context, Error, Kind, Result, Value, WORKSPACE};
use std::fs;
use std::io::Write;

nanoclaw::record! {
    struct Input { url: String, other: Option<String> }
}

nanoclaw::tools! {
    "lab" => lab,
    "echo" => |_: &Context, v: Value| Ok(v),
    "fail" => |_: &Context, _: Value| -> Result<String> { Err("it was asked to fail".into()) },
}

fn lab(c: &Context, i: Input) -> Result<String> {
    let mut out = Vec::new();
    let mut report = |what: &str, r: Result<String>| out.push(format!("{what}: {}", r.unwrap_or_else(kind)));
    let post = |url: &str| {
        let r = http::Request::new("POST", url).header("X-Lab", "1").body("ping").send()?;
        Ok(format!("{} {} {}", r.status, r.text(), r.header("x-answer").unwrap_or("")))
    };
    report("http", post(&i.url));
    report("elsewhere", post(&i.other.unwrap_or_default()));
    report("kv", keys());
    report("no key", kv::get("never").map(|v| v.unwrap_or_else(|| "not_found".into())));
    let question = llm::Request {
        system: Some("s".into()),
        messages: vec![llm::Message::text("user", "hi")],
        ..llm::Request::default()
    };
    report("llm", llm::ask(&question).map(|a| (!a.text().is_empty()).to_string()));
    report("tool", call_tool("lab_fail", &Value::object([])).map(|o| o.outcome));
    report("fs", files());
    log::warn("a line of the log");
    out.push(format!("{} {}", c.tool, c.timezone));
    Ok(out.join("\n"))
}

fn keys() -> Result<String> {
    for k in ["a1", "a2", "b"] {
        kv::put(k, &format!("value of {k}"))?;
    }
    kv::delete("a1")?;
    Ok(format!("{} {}", kv::get("a2")?.unwrap_or_default(), kv::list("a", 5)?.join(",")))
}

fn files() -> Result<String> {
    let dir = format!("{WORKSPACE}/d");
    let file = format!("{dir}/f.txt");
    fs::create_dir(&dir)?;
    fs::write(&file, "one ")?;
    fs::OpenOptions::new().append(true).open(&file)?.write_all(b"two")?;
    let text = fs::read_to_string(&file)?;
    let names: Vec<String> = fs::read_dir(&dir)?.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let gone = fs::read(format!("{dir}/gone")).map_err(Error::from).unwrap_err();
    fs::remove_file(&file)?;
    Ok(format!("{text} {} {}", names.join(","), kind(gone)))
}

fn kind(e: Error) -> String {
    match e.kind {
        Kind::Denied => "denied".into(),
        Kind::NotFound => "not_found".into(),
        _ => e.to_string(),
    }
}
