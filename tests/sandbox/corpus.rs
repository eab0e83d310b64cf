//! Reads the corpus: one component per file, each with a single purpose that its first line states.
//!
//! A file that starts with `(component` or `(module` is used as it is. Any other file replaces
//! parts of a well-behaved operator: after a line `;;@process` comes the body of `process`, after
//! `;;@memory` the pages of memory, after `;;@fields` more fields of the module, and so on.
//! `;;@process*1000` repeats the body 1000 times, with its number in place of `{i}`. `;;@beside 20`
//! adds 20 instances of the following module beside the operator, within its component.

use std::collections::BTreeMap;

use wasmparser::{Encoding, Parser, Payload};

use super::guest::{Guest, with_type};

/// Returns the binary that a file describes.
pub(crate) fn assemble(text: &str) -> Vec<u8> {
    let code = text
        .lines()
        .filter(|line| !line.starts_with(";;"))
        .collect::<Vec<_>>()
        .join("\n");
    if code.starts_with("(component") {
        return wat::parse_str(code).unwrap();
    }
    if code.starts_with("(module") && !text.contains(";;@") {
        return with_type(&code, &[]);
    }
    let (parts, beside) = parts(text);
    let mut guest = Guest::default();
    for (name, body) in &parts {
        let part = match name.as_str() {
            "describe" => &mut guest.describe,
            "open" => &mut guest.open,
            "process" => &mut guest.process,
            "resume" => &mut guest.resume,
            "tick" => &mut guest.tick,
            "finish" => &mut guest.finish,
            "snapshot" => &mut guest.snapshot,
            "restore" => &mut guest.restore,
            "realloc" => &mut guest.realloc,
            "memory" => &mut guest.memory,
            "fields" => &mut guest.fields,
            other => panic!("there is no part `{other}`"),
        };
        *part = body;
    }
    match beside {
        None => guest.module(),
        Some((count, module)) => with_beside(guest.component(), &module, count),
    }
}

type Parts = (BTreeMap<String, String>, Option<(u32, String)>);

fn parts(text: &str) -> Parts {
    let (mut parts, mut beside) = (BTreeMap::<String, String>::new(), None);
    for section in text.split(";;@").skip(1) {
        let (head, body) = section.split_once('\n').unwrap();
        if let Some(count) = head.strip_prefix("beside ") {
            beside = Some((count.parse().unwrap(), body.to_owned()));
            continue;
        }
        let (name, times) = head.split_once('*').unwrap_or((head, "1"));
        let part = parts.entry(name.to_owned()).or_default();
        for index in 0..times.parse::<u32>().unwrap() {
            part.push_str(&body.replace("{i}", &index.to_string()));
        }
    }
    (parts, beside)
}

/// Adds a module and instances of it to a component. Sections may come in any order.
fn with_beside(mut component: Vec<u8>, module: &str, count: u32) -> Vec<u8> {
    let mut depth = 0;
    let mut modules = 0_u32;
    for payload in Parser::new(0).parse_all(&component) {
        match payload.unwrap() {
            Payload::Version { encoding, .. } => {
                if depth == 1 && encoding == Encoding::Module {
                    modules += 1;
                }
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    section(&mut component, 1, &wat::parse_str(module).unwrap());
    let mut instances = leb(count);
    for _ in 0..count {
        instances.push(0);
        instances.extend(leb(modules));
        instances.push(0);
    }
    section(&mut component, 2, &instances);
    component
}

fn section(into: &mut Vec<u8>, id: u8, content: &[u8]) {
    into.push(id);
    into.extend(leb(content.len() as u32));
    into.extend(content);
}

fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
