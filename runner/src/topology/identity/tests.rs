//! Tests which key a node gets and when it is refused one.

use std::fs;

use super::*;

const UNNAMED: Names<'_> = Names {
    given: None,
    in_manifest: None,
};

#[test]
fn a_key_is_generated_once_per_manifest_and_node() {
    let folder = tempfile::tempdir().unwrap();
    let key = |manifest: &str, in_manifest| {
        let names = Names {
            given: None,
            in_manifest,
        };
        kept_key(folder.path(), Path::new(manifest), names)
            .unwrap()
            .public()
    };
    let first = key("a.yaml", None);
    assert_eq!(key("a.yaml", None), first);
    assert_ne!(key("b.yaml", None), first);
    assert_ne!(key("a.yaml", Some("edge-1")), first);
}

#[test]
fn named_nodes_of_one_manifest_have_separate_keys() {
    let folder = tempfile::tempdir().unwrap();
    let key = |given: &str| {
        let names = Names {
            given: Some(given),
            in_manifest: Some("edge-1"),
        };
        kept_key(folder.path(), Path::new("a.yaml"), names)
            .unwrap()
            .public()
    };
    assert_ne!(key("a"), key("b"));
    assert_eq!(key("a"), key("a"));
}

#[test]
fn a_key_under_the_manifest_name_is_reused_unless_locked() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Path::new("a.yaml");
    let in_manifest = Names {
        given: None,
        in_manifest: Some("edge-1"),
    };
    let before = kept_key(folder.path(), manifest, in_manifest).unwrap();
    let of = |given| {
        let given = Names {
            given: Some(given),
            ..in_manifest
        };
        kept_key(folder.path(), manifest, given).unwrap().public()
    };
    assert_eq!(of("a"), before.public());

    // Lock the file through a separate file description, as another process would.
    let other = tempfile::tempdir().unwrap();
    let file = fs::read_dir(folder.path().join("keys"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    fs::create_dir(other.path().join("keys")).unwrap();
    let copy = other.path().join("keys").join(file.file_name());
    fs::copy(file.path(), &copy).unwrap();
    let lock = File::open(&copy).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let named = Names {
        given: Some("b"),
        ..in_manifest
    };
    let own = kept_key(other.path(), manifest, named).unwrap();
    assert_ne!(own.public(), before.public());
    let refused = kept_key(other.path(), manifest, in_manifest).unwrap_err();
    assert!(matches!(refused, IdentityError::InUse { .. }), "{refused}");
    drop(lock);
    let again = kept_key(other.path(), manifest, in_manifest).unwrap();
    assert_eq!(again.public(), before.public());
    assert_eq!(
        kept_key(other.path(), manifest, named).unwrap().public(),
        own.public()
    );
}

#[test]
fn a_key_is_stored_atomically() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let manifest = Path::new("a.yaml");
    fs::write(&state, "").unwrap();
    let below_a_file = kept_key(&state, manifest, UNNAMED).unwrap_err();
    assert!(below_a_file.is_about_the_folder(), "{below_a_file}");
    fs::remove_file(&state).unwrap();
    let key = kept_key(&state, manifest, UNNAMED).unwrap();
    let files: Vec<_> = fs::read_dir(state.join("keys")).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(
        kept_key(&state, manifest, UNNAMED).unwrap().public(),
        key.public()
    );
}

#[test]
fn a_readable_or_invalid_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Path::new("a.yaml");
    kept_key(folder.path(), manifest, UNNAMED).unwrap();
    let file = fs::read_dir(folder.path().join("keys"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        kept_key(folder.path(), manifest, UNNAMED),
        Err(IdentityError::Exposed { .. })
    ));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for torn in ["", "secret", &"0".repeat(2000)] {
        fs::write(&file, torn).unwrap();
        let refused = kept_key(folder.path(), manifest, UNNAMED).unwrap_err();
        assert!(matches!(refused, IdentityError::NotAKey { .. }));
        assert!(refused.to_string().contains("delete it for a new identity"));
    }
}
