//! The effect of changing each key of the manifest, as a table for the documentation and for tests of [`Diff`].
//!
//! [`Diff`]: super::Diff

use crate::declare::{Reload, Section, Shape};
use crate::manifest::MANIFEST;

/// A key of a manifest that has an effect of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The path of the key, written with dots; `*` stands for any name.
    pub path: String,
    /// The effect of changing it.
    pub reload: Reload,
    /// Whether [`Diff`](super::Diff) compares the values itself, since they are resolved in the graph.
    pub in_graph: bool,
}

/// Returns the keys of a manifest that have an effect of their own.
///
/// Keys below a listed key, and items of lists, have the effect of that key unless they are listed themselves.
pub fn classes() -> Vec<Class> {
    let mut found = Vec::new();
    of_section(MANIFEST, "", &mut found);
    found
}

fn of_section(section: &'static Section, prefix: &str, found: &mut Vec<Class>) {
    for key in section.all_keys() {
        let path = format!("{prefix}{}", key.name);
        if let Some(reload) = key.reload
            && !found.iter().any(|known| known.path == path)
        {
            found.push(Class {
                path: path.clone(),
                reload,
                in_graph: key.in_graph,
            });
        }
        of_shape(&(key.shape)(), &path, found);
    }
}

fn of_shape(shape: &Shape, path: &str, found: &mut Vec<Class>) {
    match shape {
        Shape::Of(section) => of_section(section, &format!("{path}."), found),
        // An edge by port has the same keys as an edge.
        Shape::Map(value) if path.rsplit('.').next() == Some("from") => {
            of_shape(value, path, found);
        }
        Shape::Map(value) => of_shape(value, &format!("{path}.*"), found),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| of_shape(shape, path, found)),
        _ => {}
    }
}
