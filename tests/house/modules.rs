//! Reads the modules of a crate, what each defines, and what each uses of the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path as FilePath, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, UseTree, Visibility,
    visit::{self, Visit},
};

/// A module's names from the crate's root on; empty for the root.
pub(super) type Path = Vec<String>;

/// The modules of a crate, without tests.
pub(super) struct Crate {
    modules: BTreeMap<Path, Module>,
    edges: BTreeSet<(Path, Path)>,
}

#[derive(Default)]
struct Module {
    /// Relative to the crate's folder of sources.
    file: String,
    /// Names of what it defines.
    items: BTreeSet<String>,
    /// Names that it imports, and from where.
    imports: Vec<(String, Path)>,
    /// Where it imports everything from.
    globs: Vec<Path>,
    /// Paths that it uses, besides re-exports of its own children.
    used: BTreeSet<Path>,
}

impl Crate {
    pub(super) fn read(folder: &FilePath) -> Self {
        let mut modules = BTreeMap::new();
        read_file(folder, &folder.join("lib.rs"), &Vec::new(), &mut modules);
        let mut this = Self {
            modules,
            edges: BTreeSet::new(),
        };
        let mut edges = BTreeSet::new();
        for (path, module) in &this.modules {
            for used in &module.used {
                if let Some(target) = this.resolve(path, used, 0)
                    && this.file(path) != this.file(&target)
                {
                    edges.insert((path.clone(), target));
                }
            }
        }
        this.edges = edges;
        this
    }

    pub(super) fn file(&self, module: &[String]) -> &str {
        &self.modules[module].file
    }

    pub(super) fn has_children(&self, module: &Path) -> bool {
        let is_child = |path: &Path| path.len() > module.len() && path.starts_with(module);
        self.modules.keys().any(is_child)
    }

    /// Which module uses which, between files.
    pub(super) fn edges(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.edges.iter().map(|(from, to)| (from, to))
    }

    /// The module that defines what a path names; `None` outside of the crate.
    fn resolve(&self, from: &Path, path: &[String], depth: usize) -> Option<Path> {
        if depth > 16 {
            return None;
        }
        let mut at = from.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let mut child = at.clone();
                child.push(first.to_owned());
                let module = &self.modules[&at];
                let is_known = self.modules.contains_key(&child)
                    || module.imports.iter().any(|(name, _)| name == first);
                if !is_known {
                    return None;
                }
            }
        }
        while let Some((name, others)) = rest.split_first() {
            let mut child = at.clone();
            child.push(name.clone());
            if self.modules.contains_key(&child) {
                at = child;
                rest = others;
                continue;
            }
            let module = &self.modules[&at];
            if module.items.contains(name) {
                return Some(at);
            }
            let import = module
                .imports
                .iter()
                .find(|(alias, path)| alias == name && !(path.len() == 1 && path[0] == *name));
            if let Some((_, path)) = import {
                let mut path = path.clone();
                path.extend_from_slice(others);
                return self.resolve(&at, &path, depth + 1);
            }
            for glob in &module.globs {
                let mut path = glob.clone();
                path.extend_from_slice(rest);
                if let Some(found) = self.resolve(&at, &path, depth + 1) {
                    return Some(found);
                }
            }
            return Some(at);
        }
        Some(at)
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|meta| match meta {
                    syn::Meta::Path(path) => path.is_ident("test") || path.is_ident("doctest"),
                    syn::Meta::NameValue(_) | syn::Meta::List(_) => false,
                })
    })
}

fn read_file(
    folder: &FilePath,
    file: &FilePath,
    path: &Path,
    modules: &mut BTreeMap<Path, Module>,
) {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed =
        syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let name = file.strip_prefix(folder).expect("it lies in the folder");
    read_items(
        folder,
        file,
        &name.display().to_string(),
        &parsed.items,
        path,
        modules,
    );
}

fn read_items(
    folder: &FilePath,
    file: &FilePath,
    name: &str,
    items: &[Item],
    path: &Path,
    modules: &mut BTreeMap<Path, Module>,
) {
    let mut module = Module {
        file: name.to_owned(),
        ..Module::default()
    };
    for item in items {
        match item {
            Item::Mod(child) if !is_test(&child.attrs) => {
                let mut path = path.clone();
                path.push(child.ident.to_string());
                match &child.content {
                    Some((_, items)) => read_items(folder, file, name, items, &path, modules),
                    None => read_file(folder, &file_of(file, child), &path, modules),
                }
            }
            Item::Mod(_) => {}
            Item::Use(import) if !is_test(&import.attrs) => {
                let is_reexport = !matches!(import.vis, Visibility::Inherited);
                flatten(&import.tree, &mut Vec::new(), &mut |path, alias| {
                    match alias {
                        Some(alias) => module.imports.push((alias, path.clone())),
                        None => module.globs.push(path.clone()),
                    }
                    if !is_reexport {
                        module.used.insert(path);
                    }
                });
            }
            Item::Use(_) => {}
            item => {
                if let Some(name) = name_of(item) {
                    module.items.insert(name);
                }
                let mut paths = Paths(&mut module.used);
                paths.visit_item(item);
            }
        }
    }
    modules.insert(path.clone(), module);
}

/// The file of a module that is declared in another.
fn file_of(parent: &FilePath, module: &ItemMod) -> PathBuf {
    let folder = parent.parent().expect("a file has a folder");
    let stem = parent.file_stem().and_then(|stem| stem.to_str());
    let inside = match stem {
        Some("lib" | "main" | "mod") | None => folder.to_owned(),
        Some(stem) => folder.join(stem),
    };
    let flat = inside.join(format!("{}.rs", module.ident));
    if flat.exists() {
        flat
    } else {
        inside.join(module.ident.to_string()).join("mod.rs")
    }
}

fn flatten(tree: &UseTree, path: &mut Path, take: &mut impl FnMut(Path, Option<String>)) {
    match tree {
        UseTree::Path(part) => {
            path.push(part.ident.to_string());
            flatten(&part.tree, path, take);
            path.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            let alias = path.last().cloned();
            take(path.clone(), alias);
        }
        UseTree::Name(name) => {
            let mut whole = path.clone();
            whole.push(name.ident.to_string());
            take(whole, Some(name.ident.to_string()));
        }
        UseTree::Rename(rename) => {
            let mut whole = path.clone();
            if rename.ident != "self" {
                whole.push(rename.ident.to_string());
            }
            take(whole, Some(rename.rename.to_string()));
        }
        UseTree::Glob(_) => take(path.clone(), None),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, path, take);
            }
        }
    }
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Collects paths of more than one segment, and paths of imports within functions.
struct Paths<'a>(&'a mut BTreeSet<Path>);

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let names = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string());
            self.0.insert(names.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        flatten(&import.tree, &mut Vec::new(), &mut |path, _| {
            self.0.insert(path);
        });
    }
}
