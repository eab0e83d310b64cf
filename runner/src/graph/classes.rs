//! The effect of changing each key of the manifest, as a table for the documentation and for tests of [`Diff`].
//!
//! [`Diff`]: super::Diff

use crate::manifest::{MANIFEST, Reload, Section, Shape};

/// Returns the keys of a manifest that have an effect of their own, written with dots; `*` stands for any name.
///
/// Keys below a listed key, and items of lists, have the effect of that key unless they are listed themselves.
pub fn classes() -> Vec<(String, Reload)> {
    let mut found = Vec::new();
    of_section(MANIFEST, "", &mut found);
    found
}

fn of_section(section: &'static Section, prefix: &str, found: &mut Vec<(String, Reload)>) {
    for key in section.all_keys() {
        let path = format!("{prefix}{}", key.name);
        if let Some(reload) = key.reload
            && !found.iter().any(|(known, _)| *known == path)
        {
            found.push((path.clone(), reload));
        }
        of_shape(&(key.shape)(), &path, found);
    }
}

fn of_shape(shape: &Shape, path: &str, found: &mut Vec<(String, Reload)>) {
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
