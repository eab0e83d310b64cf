//! Tests that compiled code is found again, and that only files written by this user's processes
//! are run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::guest::Guest;
use super::*;

fn engine_in(dir: &Path) -> Engine {
    Engine::new(EngineConfig {
        cache_dir: Some(dir.to_owned()),
    })
    .unwrap()
}

/// Modifies an artefact and its note.
type Tamper<'a> = &'a dyn Fn(&Path, &Path);

/// Returns the files with this extension.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// Loads and runs an operator with a new engine. Returns the artefact's inode, which changes when
/// the artefact is written again.
#[track_caller]
fn load(dir: &Path) -> u64 {
    let engine = engine_in(dir);
    assert_engine_works(&engine);
    let artefacts = files(dir, "cwasm");
    assert_eq!(artefacts.len(), 1);
    fs::metadata(&artefacts[0]).unwrap().ino()
}

#[test]
fn the_second_load_uses_the_cache_of_the_first() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("made/by/us");
    let first = load(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&dir), 0o700);
    for path in [
        files(&dir, "cwasm"),
        files(&dir, "json"),
        vec![dir.join("key")],
    ]
    .concat()
    {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    // A second `describe` or compilation would have replaced the artefact.
    assert_eq!(load(&dir), first);
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        3,
        "nothing temporary is left"
    );
}

#[test]
fn a_description_comes_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let module = Guest::default().module();
    let asked = engine_in(dir.path())
        .load(&module, LoadLimits::default())
        .unwrap();
    // Without any memory, it cannot be described again.
    let unasked = LoadLimits {
        memory_bytes_max: 0,
        ..LoadLimits::default()
    };
    let cached = engine_in(dir.path()).load(&module, unasked).unwrap();
    assert_eq!(cached.description(), asked.description());
    assert_eq!(cached.imports(), asked.imports());
    assert!(engine().load(&module, unasked).is_err());
}

#[test]
fn tampered_code_is_recompiled() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    load(dir);
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cut = |path: &Path| {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(4096)
            .unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let tampers: [(&str, Tamper<'_>); 8] = [
        ("the artefact changed", &|artefact, _| flip(artefact, 5000)),
        ("the artefact cut", &|artefact, _| cut(artefact)),
        ("the artefact gone", &|artefact, _| remove(artefact)),
        ("the note's hash changed", &|_, note| flip(note, 3)),
        ("the note's text changed", &|_, note| flip(note, 80)),
        ("the note cut", &|_, note| {
            fs::write(note, b"0123").unwrap();
        }),
        ("the note gone", &|_, note| remove(note)),
        ("both gone", &|artefact, note| {
            remove(artefact);
            remove(note);
        }),
    ];
    let good =
        [&files(dir, "cwasm")[0], &files(dir, "json")[0]].map(|path| fs::read(path).unwrap());
    for (what, tamper) in tampers {
        let (artefact, note) = (files(dir, "cwasm").remove(0), files(dir, "json").remove(0));
        tamper(&artefact, &note);
        load(dir);
        assert_eq!(
            [&artefact, &note].map(|path| fs::read(path).unwrap()),
            good,
            "after {what}"
        );
    }
}

#[test]
fn code_signed_with_another_key_is_recompiled() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    load(ours.path());
    load(theirs.path());
    let artefact = files(ours.path(), "cwasm").remove(0);
    let note = artefact.with_extension("json");
    let foreign = theirs.path().join(note.file_name().unwrap());
    let before = fs::read(&note).unwrap();
    fs::copy(&foreign, &note).unwrap();
    load(ours.path());
    assert_eq!(
        fs::read(&note).unwrap(),
        before,
        "written again with our key"
    );
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = Engine::new(EngineConfig {
        cache_dir: Some(dir.path().to_owned()),
    })
    .unwrap_err();
    assert!(
        matches!(error, EngineError::Cache(CacheError::Untrusted { .. })),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .ends_with("has the mode 770, which gives other users access"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing was put there"
    );
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let us = rustix::process::geteuid();
    // Root owns `/`; when run as root, the test gives a folder to another user.
    let given = tempfile::tempdir().unwrap();
    let folder = if us.is_root() {
        rustix::fs::chown(given.path(), Some(rustix::fs::Uid::from_raw(65534)), None).unwrap();
        given.path()
    } else {
        Path::new("/")
    };
    let error = Engine::new(EngineConfig {
        cache_dir: Some(folder.to_owned()),
    })
    .unwrap_err();
    assert!(error.to_string().contains("belongs to user"), "{error}");
}

#[test]
fn a_readable_or_invalid_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path());
    let key = dir.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Engine::new(EngineConfig {
        cache_dir: Some(dir.path().to_owned()),
    })
    .unwrap_err();
    assert!(error.to_string().contains("has the mode 644"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, b"short").unwrap();
    let error = Engine::new(EngineConfig {
        cache_dir: Some(dir.path().to_owned()),
    })
    .unwrap_err();
    assert!(
        error.to_string().contains("is not a key of 32 bytes"),
        "{error}"
    );
}

#[test]
fn an_impossible_folder_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Engine::new(EngineConfig {
        cache_dir: Some(file.path().join("below")),
    })
    .unwrap_err();
    assert!(
        matches!(error, EngineError::Cache(CacheError::Io { .. })),
        "{error:?}"
    );
}
