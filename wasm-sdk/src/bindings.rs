//! The generated bindings of the world.

wit_bindgen::generate!({
    path: "wit",
    world: "operator",
    pub_export_macro: true,
    generate_unused_types: true,
});
