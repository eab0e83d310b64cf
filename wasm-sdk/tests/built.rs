//! The operators that are committed built: that they become components of the world, which reach nothing but the host.

use std::path::Path;
use wit_component::{ComponentEncoder, DecodedWasm, decode};

#[test]
fn they_are_components_of_the_world() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operators/built");
    let mut checked = 0;
    for entry in std::fs::read_dir(&built).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let module = std::fs::read(&path).unwrap();
        let component = ComponentEncoder::default()
            .module(&module)
            .unwrap()
            .validate(true)
            .encode()
            .unwrap();
        let DecodedWasm::Component(resolve, world) = decode(&component).unwrap() else {
            panic!("{} is no component", path.display());
        };
        let world = &resolve.worlds[world];
        let names = |items: &mut dyn Iterator<Item = String>| {
            let mut names: Vec<String> = items.collect();
            names.sort();
            names
        };
        // The world's own types are listed too, by names without a colon; they reach nothing.
        let imports = world.imports.keys().map(|key| resolve.name_world_key(key));
        assert_eq!(
            names(&mut imports.filter(|name| name.contains(':'))),
            ["mosaik:operator/host@1.1.0", "mosaik:operator/types@1.1.0"],
            "{}",
            path.display()
        );
        assert_eq!(
            names(&mut world.exports.keys().map(|key| resolve.name_world_key(key))),
            [
                "describe", "finish", "open", "process", "restore", "resume", "snapshot", "tick"
            ],
            "{}",
            path.display()
        );
        checked += 1;
    }
    let operators = std::fs::read_dir(built.join("..")).unwrap();
    let operators = operators.filter(|entry| {
        let folder = entry.as_ref().unwrap().path();
        folder.join("config.schema.json").is_file()
    });
    assert_eq!(
        checked,
        operators.count(),
        "each operator is committed built"
    );
}
