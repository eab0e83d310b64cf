//! Tests the structure of the source: the dependencies between modules, read from the imports and
//! paths of every crate.

mod modules;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::{algo::tarjan_scc, graph::DiGraph};

use self::modules::{Crate, Path};
use crate::support::root;

const CRATES: [&str; 8] = [
    "streams/datum/src",
    "streams/gossip/src",
    "streams/log/src",
    "streams/src",
    "runner/src",
    "wasm-sdk/src",
    "operators/common/src",
    "operators/jq/src",
];

/// Returns the groups of nodes that all reach each other.
fn circles<'a>(edges: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<BTreeSet<String>> {
    let mut graph = DiGraph::<&str, ()>::new();
    let mut nodes = BTreeMap::new();
    for (from, to) in edges {
        let mut node = |name| *nodes.entry(name).or_insert_with(|| graph.add_node(name));
        let (from, to) = (node(from), node(to));
        graph.add_edge(from, to, ());
    }
    let groups = tarjan_scc(&graph).into_iter();
    groups
        .filter(|group| group.len() > 1)
        .map(|group| {
            group
                .into_iter()
                .map(|node| graph[node].to_owned())
                .collect()
        })
        .collect()
}

/// Returns the cycles between files. A module may use its own children, and these may use items
/// that it defines for them.
fn file_circles(source: &Crate) -> Vec<BTreeSet<String>> {
    circles(
        source
            .edges()
            .filter(|(from, to)| !to.starts_with(from))
            .map(|(from, to)| (source.file(from), source.file(to))),
    )
}

/// Returns, for each module with child modules, the cycles among the children that are folders.
fn folder_circles(source: &Crate) -> BTreeMap<String, Vec<BTreeSet<String>>> {
    let mut by_parent: BTreeMap<Path, BTreeSet<(String, String)>> = BTreeMap::new();
    for (from, to) in source.edges() {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
            let parent = from[..shared].to_vec();
            let is_folder = |name: &String| {
                let mut path = parent.clone();
                path.push(name.clone());
                source.has_children(&path)
            };
            if is_folder(a) && is_folder(b) {
                by_parent
                    .entry(parent)
                    .or_default()
                    .insert((a.clone(), b.clone()));
            }
        }
    }
    by_parent
        .into_iter()
        .map(|(parent, edges)| {
            let edges = edges.iter().map(|(a, b)| (a.as_str(), b.as_str()));
            (parent.join("::"), circles(edges))
        })
        .filter(|(_, circles)| !circles.is_empty())
        .collect()
}

#[test]
fn no_folder_uses_another_that_uses_it() {
    for folder in CRATES {
        let source = Crate::read(&root().join(folder));
        let found: BTreeSet<String> = folder_circles(&source)
            .into_values()
            .flatten()
            .map(|circle| circle.into_iter().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            found,
            BTreeSet::new(),
            "folders of {folder} that go in circles"
        );
    }
}

#[test]
#[ignore = "it prints which files go in circles, and by which imports"]
fn files_that_go_in_circles() {
    for folder in CRATES {
        let source = Crate::read(&root().join(folder));
        for circle in file_circles(&source) {
            println!(
                "{folder}: {}",
                circle.iter().cloned().collect::<Vec<_>>().join(" ")
            );
            for (from, to) in source.edges() {
                let (from, to) = (source.file(from), source.file(to));
                if circle.contains(from) && circle.contains(to) {
                    println!("    {from} -> {to}");
                }
            }
        }
    }
}
