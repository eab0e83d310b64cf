use super::*;

fn images(position: u64, instances: &[&str]) -> BTreeMap<StageId, StageImage> {
    let instances = instances.iter().map(|value| InstanceImage {
        version: 3,
        kept: 2,
        entries: vec![
            (Some(b"k".to_vec()), value.as_bytes().to_vec()),
            (None, Vec::new()),
        ],
    });
    BTreeMap::from([
        (
            StageId::new("producer in"),
            StageImage::Source {
                position: Some(serde_json::json!({ "offset": position })),
                sent: 3,
                ended: false,
            },
        ),
        (
            StageId::new("operator count"),
            StageImage::Operator {
                read: Vec::new(),
                ended_ports: vec![1],
                key: Some(vec!["id".to_owned()]),
                component: "ab".to_owned(),
                instances: instances.collect(),
                ended: false,
            },
        ),
        (
            StageId::new("consumer out"),
            StageImage::Sink {
                read: Vec::new(),
                token: None,
                ended: true,
            },
        ),
    ])
}

#[test]
fn the_last_checkpoint_is_there_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, last) = Ledger::open(folder.path()).unwrap();
    assert_eq!((last, ledger.generation(), ledger.number()), (None, 1, 0));
    ledger.commit(1, &images(10, &["a", "b"])).unwrap();
    ledger.commit(2, &images(20, &["a", "c"])).unwrap();
    drop(ledger);

    let (mut ledger, last) = Ledger::open(folder.path()).unwrap();
    let last = last.unwrap();
    assert_eq!((last.number, last.generation), (2, 1));
    assert_eq!(last.stages, images(20, &["a", "c"]));
    assert_eq!((ledger.generation(), ledger.number()), (2, 2));
    // With fewer instances, the state of the others goes.
    ledger.commit(3, &images(30, &["a"])).unwrap();
    assert_eq!(ledger.content().unwrap().unwrap().1.len(), 1);
    ledger.clear().unwrap();
    drop(ledger);
    let (ledger, last) = Ledger::open(folder.path()).unwrap();
    assert_eq!((last, ledger.generation()), (None, 3));
}

#[test]
fn a_start_without_a_checkpoint_of_its_own_keeps_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(folder.path()).unwrap();
    ledger.commit(1, &images(10, &["a"])).unwrap();
    drop(ledger);
    for generation in 2..5 {
        let (ledger, last) = Ledger::open(folder.path()).unwrap();
        assert_eq!(ledger.generation(), generation);
        assert_eq!(last.unwrap().stages, images(10, &["a"]));
    }
}

#[test]
fn stages_that_are_added_change_neither_the_others_nor_the_origin() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(folder.path()).unwrap();
    ledger.commit(7, &images(10, &["a"])).unwrap();
    drop(ledger);
    let (mut ledger, before) = Ledger::open(folder.path()).unwrap();
    let before = before.unwrap();
    let new = StageImage::Sink {
        read: Vec::new(),
        token: None,
        ended: false,
    };
    let mut added = images(99, &["z"]);
    ledger.add(added.clone(), Stages::new()).unwrap();
    added.insert(StageId::new("consumer new"), new.clone());
    ledger.add(added, Stages::new()).unwrap();
    drop(ledger);
    let after = Ledger::read(folder.path()).unwrap().unwrap();
    let mut stages = before.stages;
    stages.insert(StageId::new("consumer new"), new);
    assert_eq!(after.stages, stages);
    let origin = |image: &Image| (image.number, image.generation, image.taken);
    assert_eq!(origin(&after), (7, 1, before.taken));

    // Stages that are others than before under the same name.
    let (mut ledger, _) = Ledger::open(folder.path()).unwrap();
    let source = StageId::new("producer in");
    let other = images(3, &[])[&source].clone();
    let replaced = Stages::from([(source.clone(), other.clone())]);
    ledger.add(Stages::new(), replaced).unwrap();
    drop(ledger);
    let after = Ledger::read(folder.path()).unwrap().unwrap();
    stages.insert(source, other);
    assert_eq!(after.stages, stages);
}

#[test]
fn a_second_process_and_another_format_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let second = Ledger::open(folder.path());
    assert!(
        matches!(second, Err(LedgerError::InUse { .. })),
        "{second:?}"
    );
    let transaction = ledger.database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(CHECKPOINT).unwrap();
        table.insert(LAST, br#"{"format":9}"#.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(ledger);
    let other = Ledger::open(folder.path());
    assert!(
        matches!(other, Err(LedgerError::Format { found: 9, .. })),
        "{other:?}"
    );
    // It was not changed.
    let other = Ledger::open(folder.path());
    assert!(
        matches!(other, Err(LedgerError::Format { found: 9, .. })),
        "{other:?}"
    );
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    std::fs::write(&path, "a note of mine\n".repeat(1000)).unwrap();
    let opened = Ledger::open(folder.path());
    assert!(
        matches!(opened, Err(LedgerError::Damaged { .. })),
        "{opened:?}"
    );
    assert_eq!(
        std::fs::read(&path).unwrap(),
        "a note of mine\n".repeat(1000).as_bytes()
    );
}
