//! Tests which interfaces are linked, and that one grant does not imply another.

use super::probes::*;
use super::*;

#[test]
fn an_import_without_a_grant_is_refused_with_the_line_that_allows_it() {
    for (probe, covered, line) in [
        (
            environment(),
            wasi(),
            "give the operator `allow: {wasi: true}`",
        ),
        (
            random(),
            Grants {
                random: true,
                ..Grants::default()
            },
            "give the operator `allow: {random: true}`",
        ),
        (
            http("/"),
            hosts(&[("example.org", None)]),
            "give the operator `allow: {http: [example.org]}`",
        ),
        (tcp(), wasi(), "give the operator `allow: {wasi: true}`"),
    ] {
        let component = probe.guest().component();
        let error = engine()
            .load(&component, LoadLimits::default())
            .unwrap_err();
        for [interface, ..] in &probe.imports {
            assert!(
                error.to_string().contains(&format!("`{interface}`")),
                "{error}"
            );
        }
        let hint = error.hint().unwrap();
        assert!(hint.starts_with(line), "{hint}");
        engine()
            .load_granted(&component, LoadLimits::default(), covered.interfaces())
            .unwrap();
    }
}

#[test]
fn a_grant_does_not_include_other_grants() {
    let all_but_random = Grants {
        random: false,
        ..everything()
    };
    let refused = |probe: Probe, grants: &Grants| {
        let loaded = engine().load_granted(
            &probe.guest().component(),
            LoadLimits::default(),
            grants.interfaces(),
        );
        loaded.unwrap_err().hint().unwrap()
    };
    assert_eq!(
        refused(random(), &all_but_random),
        "add `random: true` to its `allow`"
    );
    assert_eq!(
        refused(seed(), &all_but_random),
        "add `random: true` to its `allow`"
    );
    let all_but_http = Grants {
        http: Vec::new(),
        ..everything()
    };
    let hint = refused(http("/"), &all_but_http);
    assert!(
        hint.starts_with("add `http: [example.org]` to its `allow`"),
        "{hint}"
    );
}

#[test]
fn code_is_shared_only_between_operators_with_equal_grants() {
    let engine = engine();
    let probe = environment();
    let component = probe.guest().component();
    let load = |grants: Grants| {
        engine
            .load_granted(&component, LoadLimits::default(), grants.interfaces())
            .unwrap()
    };
    let (first, same) = (load(wasi()), load(wasi()));
    let other = load(everything());
    assert!(Arc::ptr_eq(&first.inner, &same.inner));
    assert!(!Arc::ptr_eq(&first.inner, &other.inner));
    // An operator loaded with grants is not available to one without them.
    assert!(engine.load(&component, LoadLimits::default()).is_err());
}

#[test]
fn the_environment_has_only_the_granted_variables() {
    assert!(
        std::env::vars_os().count() > 0,
        "there is something to leak"
    );
    let probe = environment();
    assert_eq!(run(&probe.guest(), wasi(), &[b""]), [Vec::<Vec<u8>>::new()]);
    let grants = Grants {
        env: vec![
            ("REGION".into(), "eu".into()),
            ("EMPTY".into(), String::new()),
        ],
        ..Grants::default()
    };
    let seen = run(&probe.guest(), grants, &[b""]);
    assert_eq!(seen, [[&b"REGION"[..], b"eu", b"EMPTY", b""]]);
}

#[test]
fn values_of_the_environment_are_masked_in_messages_of_the_operator() {
    let probe = tells_the_environment();
    let recorder = Arc::new(Recorder::default());
    let grants = Grants {
        env: vec![("KEY".into(), "hunter2".into())],
        ..Grants::default()
    };
    let setup = Setup {
        events: Arc::clone(&recorder) as Arc<dyn Events>,
        ..setup(limits())
    };
    let mut instance = granted(&probe.guest(), grants, setup);
    let error = instance.tick().unwrap_err();
    assert_eq!(error, CallError::Refused("***".into()));
    assert_eq!(recorder.seen(), ["Warn ***", "Error ***"]);
}

#[test]
fn no_part_of_a_secret_remains_in_a_truncated_reason() {
    // Rejects the first record with its own text.
    let guest = Guest {
        process: "
            (i32.store (i32.const 1024) (i32.const 0))
            (i32.store (i32.const 1028) (i32.add (local.get $ptr) (i32.const 4)))
            (i32.store (i32.const 1032) (i32.sub (local.get $len) (i32.const 4)))
            (drop (call $nothing))
            (i32.store (i32.const 332) (i32.const 1024)) (i32.store (i32.const 336) (i32.const 1))
            (i32.const 320)",
        ..Guest::default()
    };
    let grants = Grants {
        env: vec![("KEY".into(), "hunter2".into())],
        ..Grants::default()
    };
    let short = Limits {
        reason_bytes_max: 8,
        ..limits()
    };
    let mut instance = granted(&guest, grants, setup(short));
    let processed = instance.process(0, &Frames::single(b"it is hunter2"));
    assert_eq!(processed.unwrap().rejected[0].reason, "it is **");
}

#[test]
fn random_numbers_are_random_and_bounded() {
    let grants = || Grants {
        random: true,
        ..Grants::default()
    };
    let probe = random();
    let seen = run(&probe.guest(), grants(), &[&[16], &[16], &[0]]);
    assert_eq!(
        (seen[0][0].len(), seen[1][0].len(), seen[2][0].len()),
        (16, 16, 0)
    );
    assert_ne!(seen[0], seen[1]);
    let greedy = random_without_end();
    let mut instance = granted(&greedy.guest(), grants(), setup(limits()));
    let error = instance.process(0, &batch()).unwrap_err();
    assert!(error.to_string().contains("exceeds limit"), "{error}");
}

#[test]
fn no_grant_provides_sockets_or_name_lookup() {
    for probe in [tcp(), udp(), looks_up()] {
        let seen = run(&probe.guest(), everything(), &[b"localhost"]);
        assert!(
            matches!(seen[0][0][..], [ACCESS_DENIED | PERMANENT_RESOLVER_FAILURE]),
            "{seen:?}"
        );
    }
}
