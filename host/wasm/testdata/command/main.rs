// A plain WASI command, the same as main.go and main.c.
use std::io::Read;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut text = String::new();
    if args.len() == 3 && args[1] == "cat" {
        match std::fs::read_to_string(&args[2]) {
            Ok(s) => text = s,
            Err(_) => {
                eprintln!("looking\ncannot read {}", args[2]);
                std::process::exit(3);
            }
        }
    } else {
        std::io::stdin().read_to_string(&mut text).unwrap();
    }
    print!("{}: {}", args.join("|"), text);
}
