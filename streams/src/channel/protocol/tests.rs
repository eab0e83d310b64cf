//! Tests the bytes of handshakes.

use super::*;
use crate::Encoding;

fn hello(criteria: Criteria, id: Option<SubscriberId>) -> Hello {
    Hello {
        network: "net".into(),
        stream: "prices".into(),
        criteria,
        id,
        format: None,
        offer: None,
        consumers: 1,
    }
}

#[test]
fn plain_handshakes_are_the_two_ids_alone() {
    let plain = hello(Criteria::default(), None);
    let bytes = plain.encode();
    assert_eq!(
        bytes,
        [
            *NetworkId::from("net").as_bytes(),
            *StreamId::from("prices").as_bytes()
        ]
        .concat()
    );
    assert_eq!(Hello::decode(&bytes), Ok(plain));
    let start = Start {
        network: "net".into(),
        stream: "prices".into(),
        selects: false,
        position: None,
        format: None,
        kept: None,
        log: None,
    };
    assert_eq!(start.encode(), bytes);
    assert_eq!(Start::decode(&bytes), Ok(start));
}

#[test]
fn what_we_add_comes_back() {
    let id = SubscriberId {
        process: [1; 16],
        consumer: [2; 16],
    };
    let format = Some(Format::from(&Encoding::Text));
    let mut ours = Hello {
        format,
        consumers: 2,
        ..hello(Criteria::field("price").gte(100), Some(id))
    };
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let starts = [
        StartAt::Latest,
        StartAt::Earliest,
        StartAt::Time(time),
        StartAt::Position(1 << 40),
    ];
    for start in starts {
        for received in [None, Some((Epoch([4; 16]), 1 << 50))] {
            let name = "desk".into();
            ours.offer = Some(Offer {
                name,
                received,
                start,
            });
            assert_eq!(Hello::decode(&ours.encode()), Ok(ours.clone()));
        }
    }
    for unknown in [
        &b""[..],
        b"\0",
        b"\x09\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(decode_start(unknown), StartAt::Latest);
    }
    assert!(ours.encode().len() <= MAX_HELLO_LEN);
    let position = Some((Epoch([3; 16]), 1 << 40));
    let start = Start {
        network: "net".into(),
        stream: "prices".into(),
        selects: true,
        position,
        format,
        kept: Some(Kept {
            records: 7,
            max_bytes: 1 << 40,
        }),
        log: Some((5, 1 << 33)),
    };
    assert_eq!(Start::decode(&start.encode()), Ok(start));
}

#[test]
fn criteria_change_while_records_flow() {
    let again = |criteria: &Criteria, consumers| {
        let criteria = criteria.clone();
        let retune = Retune {
            criteria,
            consumers,
        };
        let read = Retune::decode(&retune.encode()).unwrap();
        assert_eq!(read.consumers, consumers);
        read.criteria
    };
    let criteria = Criteria::field("price").gte(100);
    assert_eq!(again(&criteria, 1), criteria);
    let all = Criteria::default();
    assert_eq!(again(&all, 300), all);
    let long = Criteria::field("a").eq("x".repeat(70_000));
    assert_eq!(again(&long, 2), all);
    assert_eq!(Retune::decode(b"something else"), None);
}

#[test]
fn criteria_that_do_not_fit_stay_with_the_consumer() {
    let long = hello(Criteria::field("a").eq("x".repeat(70_000)), None);
    assert!(
        Hello::decode(&long.encode())
            .unwrap()
            .criteria
            .is_everything()
    );
}
