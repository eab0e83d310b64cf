//! Tests that operators reach the granted contents of folders, and nothing outside.

use super::probes::*;
use super::*;

#[test]
fn a_folder_that_is_read_only_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "inside").unwrap();
    let reads = reads();
    let seen = run(&reads.guest(), dir(folder.path(), false), &[b"a", b"b"]);
    assert_eq!(seen, [vec![b"inside".to_vec()], vec![vec![NO_ENTRY]]]);
    for probe in [writes(), makes_folders(), deletes(), links("a")] {
        let seen = run(&probe.guest(), dir(folder.path(), false), &[b"a", b"new"]);
        for answer in seen.concat() {
            assert!(
                matches!(answer[..], [NOT_PERMITTED | READ_ONLY]),
                "{answer:?}"
            );
        }
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"inside");
}

#[test]
fn a_writable_folder_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let probe = writes();
    let seen = run(&probe.guest(), dir(folder.path(), true), &[b"new"]);
    assert_eq!(seen, [[b"fine"]]);
    assert_eq!(std::fs::read(folder.path().join("new")).unwrap(), b"hello");
}

#[test]
fn nothing_outside_of_a_folder_is_reached() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "outside").unwrap();
    let folder = outside.path().join("granted");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("in"), "inside").unwrap();
    std::os::unix::fs::symlink("in", folder.join("fine")).unwrap();
    std::os::unix::fs::symlink(&secret, folder.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../secret", folder.join("relative")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
    std::os::unix::fs::symlink("/", folder.join("root")).unwrap();
    let absolute = secret.to_str().unwrap().to_owned();
    let below_root = format!("root{absolute}");
    let paths: Vec<&[u8]> = [
        "../secret",
        "./../secret",
        "up/secret",
        "absolute",
        "relative",
        &absolute,
        &below_root,
        "in/../../secret",
        "/proc/self/environ",
        "..",
    ]
    .iter()
    .map(|path| path.as_bytes())
    .collect();
    for (probe, write) in [(reads(), false), (reads(), true), (writes(), true)] {
        for (path, answer) in paths
            .iter()
            .zip(run(&probe.guest(), dir(&folder, write), &paths))
        {
            let path = String::from_utf8_lossy(path);
            assert!(
                matches!(&answer[..], [code] if code.len() == 1),
                "{path}: {answer:?}"
            );
        }
    }
    let leading_out: [&[u8]; 3] = [b"../secret", b"up/secret", absolute.as_bytes()];
    for answer in run(&deletes().guest(), dir(&folder, true), &leading_out).concat() {
        assert_eq!(answer.len(), 1, "{answer:?}");
    }
    assert_eq!(
        run(&reads().guest(), dir(&folder, false), &[b"fine"]),
        [[b"inside"]]
    );
    // Not even through a link that the guest creates.
    let probe = links(&absolute);
    let made = run(&probe.guest(), dir(&folder, true), &[b"own"]);
    let seen = run(&reads().guest(), dir(&folder, true), &[b"own"]);
    assert!(seen[0][0].len() == 1, "{made:?} {seen:?}");
    assert_eq!(std::fs::read(&secret).unwrap(), b"outside");
}

#[test]
fn without_a_folder_there_is_no_file_system() {
    let probe = reads();
    let seen = run(&probe.guest(), wasi(), &[b"/etc/passwd"]);
    assert_eq!(seen, [[b"no folder"]]);
}

#[test]
fn a_missing_folder_is_reported_before_anything_runs() {
    let probe = reads();
    let grants = dir(Path::new("/nonexistent/mosaik"), false);
    let component = engine()
        .load_granted(
            &probe.guest().component(),
            LoadLimits::default(),
            grants.interfaces(),
        )
        .unwrap();
    let error = component
        .instantiate(Setup {
            grants,
            ..setup(limits())
        })
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("its folder /nonexistent/mosaik cannot be opened: "),
        "{error}"
    );
}

#[test]
fn an_unresponsive_file_is_abandoned_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let probe = reads();
    ends_in_time(&probe.guest(), dir(folder.path(), false), b"fifo");
    // Releases the thread that is still opening it.
    drop(
        std::fs::File::options()
            .read(true)
            .write(true)
            .open(&fifo)
            .unwrap(),
    );
}
