//! Files that become part of an operator's `config`: their content, their limits, and the swap that a change causes.

use std::path::Path;

use super::*;

fn load_in(folder: &Path, files: &str) -> Result<Graph, String> {
    let file = folder.join("mosaik.yaml");
    let text = format!(
        "mosaik: v1\nstreams: {{a: {{}}, b: {{}}}}\nproducers: {{p: {{from: {{stdin: {{}}}}, to: a}}}}\n\
         operators: {{o: {{wasm: 'builtin:x', from: a, to: b, {files}}}}}\n\
         consumers: {{c: {{from: b, to: {{stdout: {{}}}}}}}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let loaded = load(&file, &BTreeMap::new(), &Described);
    loaded
        .map(|loaded| loaded.graph)
        .map_err(|wrong| wrong.to_string())
}

fn operator(graph: &Graph) -> &OperatorStage {
    match &graph.stage(&key(Role::Operator, "o")).unwrap().kind {
        StageKind::Operator(operator) => operator,
        _ => panic!(),
    }
}

#[test]
fn an_operator_is_swapped_when_a_data_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let with = |table: &str| {
        std::fs::write(folder.path().join("t.json"), table).unwrap();
        load_in(folder.path(), "files: {table: t.json}").unwrap()
    };
    let plan = |new| {
        let lines = Diff::between(&with("[1]"), &with(new)).to_string();
        let changed = lines.lines().filter(|line| !line.starts_with("keep"));
        changed.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(plan("[1]"), [""; 0]);
    assert_eq!(plan("[2]"), ["swap     operator o (files)"]);
}

#[test]
fn the_content_of_data_files_is_added_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("t.json", r#"["t.json"]"#), ("more.txt", "n\n1\n")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let files = "files: {table: t.json, more: {path: more.txt, format: csv}}, config: {by: k}";
    let graph = load_in(folder.path(), files).unwrap();
    let operator = operator(&graph);
    assert_eq!(*operator.config, serde_json::json!({"by": "k"}));
    let found: Vec<_> = operator
        .files
        .iter()
        .map(|file| (&*file.name, &*file.json))
        .collect();
    assert_eq!(
        found,
        [("table", r#"["t.json"]"#), ("more", r#"[{"n":1}]"#)]
    );
}

#[test]
fn data_files_without_a_place_in_the_configuration_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dir.json")).unwrap();
    let many: Vec<_> = (0..17).map(|n| format!("f{n}: t.json")).collect();
    let many = format!("files: {{{}}}", many.join(", "));
    for (files, expected) in [
        (&*many, "`files` has 17 files"),
        (
            "files: {t: t.json}, config: [1]",
            "`files` require a `config` that is a mapping",
        ),
        (
            "files: {t: dir.json}",
            "the file for `t` cannot be read: it is a folder",
        ),
        (
            "files: {t: none.json}",
            "the file for `t` cannot be read: no such file",
        ),
    ] {
        let wrong = load_in(folder.path(), files).unwrap_err();
        assert!(wrong.contains(expected), "{files}\n{wrong}");
    }
}

#[test]
fn data_files_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = vec![b' '; MAX_DATA_FILE_BYTES];
    text[0] = b'[';
    text[MAX_DATA_FILE_BYTES - 1] = b']';
    let table = folder.path().join("t.json");
    std::fs::write(&table, &text).unwrap();
    let graph = load_in(folder.path(), "files: {t: t.json}").unwrap();
    assert_eq!(operator(&graph).files[0].json.len(), MAX_DATA_FILE_BYTES);
    text.push(b'\n');
    std::fs::write(&table, &text).unwrap();
    let wrong = load_in(folder.path(), "files: {t: t.json}").unwrap_err();
    assert!(
        wrong.contains("the file for `t` cannot be read: it is larger than 8MiB"),
        "{wrong}"
    );
}
