// SPDX-License-Identifier: GPL-2.0

//! File handle records in their three forms.

use proptest::prelude::*;

use crate::handle::*;
use crate::support::{cases, hex, written};

const UUID: [u8; 16] = [
    0x1b, 0x4e, 0x28, 0xba, 0x2f, 0xa1, 0x11, 0xd2, 0x88, 0x3f, 0xb9, 0xa7, 0x61, 0xbd, 0xe3, 0xfb,
];

/// What this machine writes for its byte order.
const CPU: u8 = if cfg!(target_endian = "big") { 1 } else { 0 };

/// A record put together by hand.
fn record(version: u8, magic: u8, len: u8, flags: u8, fid: &[u8]) -> Vec<u8> {
    let mut bytes = vec![version, magic, len, flags, 1];
    bytes.extend_from_slice(&UUID);
    bytes.extend_from_slice(fid);
    bytes
}

/// The identifier of an ext4 inode: number and generation.
const FID: [u8; 8] = [0x0c, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde];

fn valid(flags: u8, fid: &[u8]) -> Parsed<'_> {
    Parsed::Valid(Handle {
        fid_type: 1,
        flags,
        uuid: UUID,
        fid,
    })
}

fn encoded(handle: &Handle<'_>) -> Result<Vec<u8>, EncodeError> {
    written(EncodeError::NoMemory, |out| handle.encode(out))
}

#[test]
fn the_layout_is_that_of_overlayfs() {
    let handle = Handle::new(1, true, UUID, &FID);
    let expected = record(0, 0xfb, 29, CPU | 4, &FID);
    assert_eq!(encoded(&handle), Ok(expected.clone()));
    assert_eq!(parse(&expected), Parsed::Valid(handle));
    assert!(handle.is_upper());
    assert!(!Handle::new(1, false, UUID, &FID).is_upper());

    let wire = written(EncodeError::NoMemory, |out| handle.encode_wire(out)).unwrap();
    assert_eq!(wire, [&[0; 3][..], &expected[..]].concat());
    assert_eq!(wire.len() % 4, 0);

    let name = written(EncodeError::NoMemory, |out| handle.index_name(out)).unwrap();
    assert_eq!(name, hex(&expected).as_bytes());
}

#[test]
fn bytes_are_told_apart() {
    let full = record(0, 0xfb, 29, CPU, &FID);
    assert_eq!(parse(b""), Parsed::Empty);
    assert_eq!(parse(&full), valid(CPU, &FID));

    // Too short for a header, or for what it states.
    for len in 1..full.len() {
        assert_eq!(parse(&full[..len]), Parsed::Invalid, "{len}");
    }
    // More than it states is not looked at.
    let longer = [&full[..], b"xyz"].concat();
    assert_eq!(parse(&longer), valid(CPU, &FID));
    // It states less than there is.
    assert_eq!(
        parse(&record(0, 0xfb, 25, CPU, &FID)),
        valid(CPU, &FID[..4])
    );
    assert_eq!(parse(&record(0, 0xfb, 21, CPU, &FID)), valid(CPU, &[]));
    assert_eq!(parse(&record(0, 0xfb, 20, CPU, &FID)), valid(CPU, &[]));
    assert_eq!(parse(&record(0, 0xfb, 0, CPU, &FID)), valid(CPU, &[]));

    assert_eq!(parse(&record(0, 0xfa, 29, CPU, &FID)), Parsed::Invalid);
    assert_eq!(parse(&record(1, 0xfa, 29, CPU, &FID)), Parsed::Invalid);
    assert_eq!(parse(&record(1, 0xfb, 29, CPU, &FID)), Parsed::Unsupported);
    // Its length comes first, whatever the version.
    assert_eq!(parse(&record(1, 0xfb, 30, CPU, &FID)), Parsed::Invalid);
    assert_eq!(parse(&record(1, 0xfb, 0, CPU, &FID)), Parsed::Unsupported);
    assert_eq!(
        parse(&record(0, 0xfb, 29, CPU | 8, &FID)),
        Parsed::Unsupported
    );
    assert_eq!(parse(&record(0, 0xfb, 29, 0x80, &FID)), Parsed::Unsupported);

    // The other byte order, unless the file system says that it does not matter.
    let other = CPU ^ 1;
    assert_eq!(
        parse(&record(0, 0xfb, 29, other, &FID)),
        Parsed::Unsupported
    );
    assert_eq!(
        parse(&record(0, 0xfb, 29, other | 4, &FID)),
        Parsed::Unsupported
    );
    assert_eq!(
        parse(&record(0, 0xfb, 29, other | 2, &FID)),
        valid(other | 2, &FID)
    );
    assert_eq!(
        parse(&record(0, 0xfb, 29, CPU | 2, &FID)),
        valid(CPU | 2, &FID)
    );
}

#[test]
fn the_wire_has_two_forms() {
    let full = record(0, 0xfb, 29, CPU, &FID);
    let v1 = [&[0; 3][..], &full[..]].concat();
    let v0 = [&full[..], &[0; 3]].concat();
    assert_eq!(parse_wire(&v1, FILEID_V1), valid(CPU, &FID));
    assert_eq!(parse_wire(&v0, FILEID_V0), valid(CPU, &FID));
    assert_eq!(parse_wire(&v1, FILEID_V0), Parsed::Invalid);
    assert_eq!(parse_wire(&v0, FILEID_V1), Parsed::Invalid);
    assert_eq!(parse_wire(&v1, 1), Parsed::Invalid);
    // What the padding holds does not matter.
    let padded = [&[9; 3][..], &full[..]].concat();
    assert_eq!(parse_wire(&padded, FILEID_V1), valid(CPU, &FID));
    for bytes in [&b""[..], b"abc", b"abcd", &v1[..28]] {
        assert_eq!(parse_wire(bytes, FILEID_V1), Parsed::Invalid);
        assert_eq!(parse_wire(bytes, FILEID_V0), Parsed::Invalid);
    }
}

#[test]
fn a_record_belongs_to_the_file_system_with_its_uuid() {
    let handle = Handle::new(1, false, UUID, &FID);
    let null = Handle::new(1, false, [0; 16], &FID);
    assert!(handle.belongs_to(&UUID, true));
    assert!(!handle.belongs_to(&[0; 16], true));
    assert!(null.belongs_to(&[0; 16], true));
    assert!(!null.belongs_to(&UUID, true));
    // uuid=off: records carry none, whatever the file system has.
    assert!(!handle.belongs_to(&UUID, false));
    assert!(null.belongs_to(&UUID, false));
}

#[test]
fn the_identifier_is_given_out_in_words() {
    let mut words = [7; MAX_FID_WORDS];
    let handle = Handle::new(1, false, UUID, &FID);
    assert_eq!(handle.fid_words(&mut words), Some(2));
    let expected = [&FID[..4], &FID[4..]].map(|w| u32::from_ne_bytes(w.try_into().unwrap()));
    assert_eq!(words[..3], [expected[0], expected[1], 7]);
    assert_eq!(handle.fid_words(&mut words[..1]), None);
    // A rest of less than a word is left out.
    assert_eq!(
        Handle::new(1, false, UUID, &FID[..7]).fid_words(&mut words),
        Some(1)
    );
    assert_eq!(Handle::new(1, false, UUID, &[]).fid_words(&mut []), Some(0));
    assert_eq!(MAX_FID_WORDS * 4, MAX_FID_LEN);
    let longest = [1; MAX_FID_LEN];
    assert_eq!(
        Handle::new(1, false, UUID, &longest).fid_words(&mut words),
        Some(32)
    );
}

#[test]
fn identifiers_have_a_limit() {
    let fid = [1; MAX_FID_LEN + 1];
    let handle = Handle::new(1, false, UUID, &fid);
    assert_eq!(encoded(&handle), Err(EncodeError::TooLong));
    let name = written(EncodeError::NoMemory, |out| handle.index_name(out));
    assert_eq!(name, Err(EncodeError::TooLong));
    assert!(encoded(&Handle::new(1, false, UUID, &fid[..MAX_FID_LEN])).is_ok());
}

fn decoded(name: &[u8]) -> Result<Vec<u8>, IndexNameError> {
    // A name that is refused has nothing to do with memory.
    written(IndexNameError::NoMemory, |out| decode_index_name(name, out))
}

#[test]
fn index_names_are_read_in_both_cases() {
    let full = record(0, 0xfb, 29, CPU, &FID);
    let lower = hex(&full);
    assert_eq!(decoded(lower.as_bytes()), Ok(full.clone()));
    assert_eq!(decoded(lower.to_uppercase().as_bytes()), Ok(full.clone()));
    assert_eq!(decoded(format!("{lower}f").as_bytes()), Ok(full.clone()));
    assert_eq!(
        decoded(&lower.as_bytes()[..41]),
        Err(IndexNameError::Invalid)
    );
    assert_eq!(decoded(b""), Err(IndexNameError::Invalid));
    let mut out = crate::support::VecStore::new();
    for bad in ["#", "g", " ", "/", ":", "@", "`"] {
        let name = lower.replace("ef", &format!("e{bad}"));
        assert_eq!(
            decode_index_name(name.as_bytes(), &mut out),
            Err(IndexNameError::Invalid),
            "{bad}"
        );
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn all_forms_come_back(
        fid_type: u8,
        upper: bool,
        uuid: [u8; 16],
        words in prop::collection::vec(any::<u32>(), 0..=MAX_FID_WORDS),
    ) {
        let fid: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let handle = Handle::new(fid_type, upper, uuid, &fid);
        let bytes = encoded(&handle).unwrap();
        prop_assert_eq!(bytes.len(), HEADER_LEN + fid.len());
        prop_assert_eq!(parse(&bytes), Parsed::Valid(handle));

        let wire = written(EncodeError::NoMemory, |out| handle.encode_wire(out)).unwrap();
        prop_assert_eq!(wire.len() % 4, 0);
        prop_assert_eq!(parse_wire(&wire, FILEID_V1), Parsed::Valid(handle));
        let v0 = [&bytes[..], &[0; WIRE_PADDING]].concat();
        prop_assert_eq!(parse_wire(&v0, FILEID_V0), Parsed::Valid(handle));

        let name = written(EncodeError::NoMemory, |out| handle.index_name(out)).unwrap();
        prop_assert_eq!(decoded(&name), Ok(bytes));

        let mut back = [0; MAX_FID_WORDS];
        prop_assert_eq!(handle.fid_words(&mut back), Some(words.len()));
        prop_assert_eq!(&back[..words.len()], &words[..]);
    }
}
