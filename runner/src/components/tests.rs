//! The code that is checked is the code that runs.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::*;
use crate::{
    graph::{
        ComponentInfo, Components, Grants, Graph, OpenRefusal, OperatorLimits, OperatorStage,
        Stage, Unusable, load,
    },
    operator::{Engine, EngineConfig},
};

fn built(name: &str) -> &'static [u8] {
    let found = BUILTINS.iter().find(|(builtin, _)| *builtin == name);
    found.unwrap().1
}

/// Replaces the file of a component as soon as its digest was compared.
struct Swapped<'l> {
    library: &'l Library,
    file: PathBuf,
}

impl Components for Swapped<'_> {
    fn describe(
        &self,
        code: &Code,
        limits: &OperatorLimits,
        grants: &Grants,
    ) -> Result<ComponentInfo, Unusable> {
        fs::write(&self.file, built("dedupe")).unwrap();
        self.library.describe(code, limits, grants)
    }

    fn builtins(&self) -> Vec<&str> {
        self.library.builtins()
    }

    fn builtin(&self, name: &str) -> Result<Code, Unusable> {
        self.library.builtin(name)
    }

    fn open(
        &self,
        graph: &Graph,
        stage: &Stage,
        operator: &OperatorStage,
    ) -> Result<(), OpenRefusal> {
        self.library.open(graph, stage, operator)
    }
}

#[test]
fn pinned_code_runs_although_its_file_changes_during_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, file) = (folder.path().join("m.yaml"), folder.path().join("op.wasm"));
    fs::write(&file, built("sample")).unwrap();
    let pinned = blake3::hash(built("sample")).to_hex();
    let text = format!(
        "mosaik: v1\nstreams: {{a: {{}}, b: {{}}}}\n\
         producers: {{p: {{from: {{generate: {{rate: 1}}}}, to: a}}}}\n\
         operators:\n  o: {{wasm: op.wasm, digest: 'blake3:{pinned}', from: a, to: b, config: {{every: 2}}}}\n\
         consumers: {{s: {{from: b, to: {{stdout: {{}}}}}}}}\n"
    );
    fs::write(&manifest, text).unwrap();
    let library = Library::new(Engine::new(EngineConfig::default()).unwrap());
    let components = Swapped {
        library: &library,
        file: file.clone(),
    };
    let environment = BTreeMap::<String, String>::new();
    let loaded = load(&manifest, &environment, &components);
    let graph = loaded.unwrap_or_else(|wrong| panic!("{wrong:?}")).graph;
    assert_eq!(fs::read(&file).unwrap(), built("dedupe"), "it was replaced");
    assert_eq!(graph.component_hashes(), [pinned.as_str()]);
    let runs = library.get(&pinned, &Grants::default()).unwrap();
    assert_eq!(runs.hash(), pinned.as_str());

    // The next check reads the replaced file, and refuses it.
    let refused = load(&manifest, &environment, &library).unwrap_err();
    let refused = refused.render(false);
    assert!(refused.contains("does not match its digest"), "{refused}");
}
