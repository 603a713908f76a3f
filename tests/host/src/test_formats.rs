// SPDX-License-Identifier: GPL-2.0

//! The small formats: protection flags, metacopy, link counts, temporaries; and the searches.

use proptest::prelude::*;

use crate::bytes;
use crate::metacopy::{self, BadMetacopy, Metacopy};
use crate::nlink::{self, Base, Nlink};
use crate::protattr::{self, BadProtAttr, ProtAttr};
use crate::store::NoMemory;
use crate::support::{cases, written};
use crate::tempname::{is_temporary, TempName};

#[test]
fn protection_flags_are_letters() {
    let flags = |append, immutable| ProtAttr { append, immutable };
    let table: &[(&[u8], Result<ProtAttr, BadProtAttr>)] = &[
        (b"a", Ok(flags(true, false))),
        (b"i", Ok(flags(false, true))),
        (b"ai", Ok(flags(true, true))),
        (b"ia", Ok(flags(true, true))),
        (b"aa", Ok(flags(true, false))),
        (b"", Err(BadProtAttr)),
        (b"A", Err(BadProtAttr)),
        (b"ax", Err(BadProtAttr)),
        (b"a\0", Err(BadProtAttr)),
        (&[b'a'; protattr::MAX_LEN], Ok(flags(true, false))),
        (&[b'a'; protattr::MAX_LEN + 1], Err(BadProtAttr)),
    ];
    for (value, expected) in table {
        assert_eq!(ProtAttr::parse(value), *expected, "{value:?}");
    }
    assert_eq!(flags(true, true).value(), b"ai");
    assert_eq!(flags(false, false).value(), b"");
    for all in [flags(true, false), flags(false, true), flags(true, true)] {
        assert_eq!(ProtAttr::parse(all.value()), Ok(all));
    }
}

fn metacopy_value(metacopy: &Metacopy<'_>) -> Vec<u8> {
    written(NoMemory, |out| metacopy.encode(out)).unwrap()
}

#[test]
fn metacopy_values_are_checked() {
    let digest = [7; 32];
    let signed = Metacopy {
        flags: 0,
        algorithm: metacopy::SHA256,
        digest: &digest,
    };
    let value = [&[0, 36, 0, 1][..], &digest].concat();
    assert_eq!(metacopy_value(&signed), value);
    assert_eq!(Metacopy::parse(&value), Ok(signed));
    assert!(signed.is_signed() && signed.matches(1, &digest));
    assert!(!signed.matches(2, &digest) && !signed.matches(1, &digest[1..]));

    assert_eq!(Metacopy::parse(b""), Ok(Metacopy::EMPTY));
    assert!(!Metacopy::EMPTY.is_signed());
    assert_eq!(metacopy_value(&Metacopy::EMPTY), b"");
    assert_eq!(Metacopy::parse(&[0, 4, 0, 0]), Ok(Metacopy::EMPTY));
    let flagged = Metacopy {
        flags: 9,
        ..Metacopy::EMPTY
    };
    assert_eq!(metacopy_value(&flagged), [0, 4, 9, 0]);
    assert_eq!(Metacopy::parse(&[0, 4, 9, 0]), Ok(flagged));

    for len in 1..4 {
        assert_eq!(Metacopy::parse(&value[..len]), Err(BadMetacopy::TooSmall));
        assert_eq!(metacopy::has_digest(len), Err(BadMetacopy::TooSmall));
    }
    assert_eq!(Metacopy::parse(&[1, 4, 0, 0]), Err(BadMetacopy::Version));
    assert_eq!(Metacopy::parse(&[0, 5, 0, 0]), Err(BadMetacopy::Length));
    assert_eq!(Metacopy::parse(&[0, 3, 0, 0]), Err(BadMetacopy::Length));
    assert_eq!(Metacopy::parse(&value[..35]), Err(BadMetacopy::Length));
    let longest = [&[0, 68, 0, 2][..], &[1; 64]].concat();
    assert!(Metacopy::parse(&longest).is_ok());
    let longer = [&[0, 69, 0, 2][..], &[1; 65]].concat();
    assert_eq!(Metacopy::parse(&longer), Err(BadMetacopy::TooLarge));
    assert_eq!(
        metacopy::MAX_LEN,
        metacopy::HEADER_LEN + metacopy::MAX_DIGEST_LEN
    );

    assert_eq!(metacopy::has_digest(0), Ok(false));
    assert_eq!(metacopy::has_digest(4), Ok(false));
    assert_eq!(metacopy::has_digest(5), Ok(true));
    assert_eq!(metacopy::digest_len(metacopy::SHA256), Some(32));
    assert_eq!(metacopy::digest_len(metacopy::SHA512), Some(64));
    assert_eq!(metacopy::digest_len(0), None);

    let mut out = crate::support::VecStore::new();
    let too_long = Metacopy {
        digest: &[0; 65],
        ..signed
    };
    assert_eq!(too_long.encode(&mut out), Err(NoMemory));
    assert_eq!(out.items, b"");
}

#[test]
fn link_counts_are_read_as_overlayfs_reads_them() {
    let upper = |difference| {
        Some(Nlink {
            base: Base::Upper,
            difference,
        })
    };
    let lower = |difference| {
        Some(Nlink {
            base: Base::Lower,
            difference,
        })
    };
    let table: &[(&[u8], Option<Nlink>)] = &[
        (b"U+0", upper(0)),
        (b"U-0", upper(0)),
        (b"U+1", upper(1)),
        (b"L-1", lower(-1)),
        (b"L+007", lower(7)),
        (b"U+2147483647", upper(i32::MAX)),
        (b"U-2147483648", upper(i32::MIN)),
        (b"U+2147483648", None),
        (b"U-2147483649", None),
        (b"U+5\n", upper(5)),
        (b"U+5\0", upper(5)),
        (b"U+5\0x", upper(5)),
        (b"U+5\n\n", None),
        (b"U+5 ", None),
        (b"U5", None),
        (b"U+", None),
        (b"U-\n", None),
        (b"U++5", None),
        (b"U+-5", None),
        (b"U 5", None),
        (b"X+5", None),
        (b"u+5", None),
        (b"U+0x5", None),
        (b"U", None),
        (b"", None),
        // 13 bytes do not fit the buffer of overlayfs.
        (b"U+00000000001", None),
    ];
    for (value, expected) in table {
        assert_eq!(Nlink::parse(value), *expected, "{value:?}");
    }
}

#[test]
fn link_counts_are_positive() {
    let add = |difference, nlink| {
        Nlink {
            base: Base::Upper,
            difference,
        }
        .resolve(nlink)
    };
    assert_eq!(add(0, 1), Some(1));
    assert_eq!(add(3, 2), Some(5));
    assert_eq!(add(-1, 2), Some(1));
    assert_eq!(add(-2, 2), None);
    assert_eq!(add(-3, 2), None);
    assert_eq!(add(0, 0), None);
    assert_eq!(add(1, i32::MAX as u32), None);
    assert_eq!(add(0, i32::MAX as u32), Some(i32::MAX as u32));
    assert_eq!(Nlink::relative(Base::Lower, 2, 5).text().as_bytes(), b"L-3");
    assert_eq!(Nlink::relative(Base::Upper, 5, 5).text().as_bytes(), b"U+0");
    assert_eq!(
        Nlink::relative(Base::Upper, 15, 5).text().as_bytes(),
        b"U+10"
    );
}

#[test]
fn temporaries_are_numbered_in_hexadecimal() {
    let counts = (0..300).chain((0..32).flat_map(|bit| {
        let power = 1u32 << bit;
        [power - 1, power, power + 1]
    }));
    for count in counts.chain([u32::MAX]) {
        let name = TempName::new(count);
        let expected = format!("#{count:x}");
        assert_eq!(name.as_bytes(), expected.as_bytes());
        assert_eq!(name.as_bytes_with_nul(), (expected + "\0").as_bytes());
        assert!(is_temporary(name.as_bytes()));
    }
    assert!(!is_temporary(b""));
    assert!(!is_temporary(b"00fb1d"));
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn link_counts_come_back(difference: i32, upper: bool, nlink: u32) {
        let base = if upper { Base::Upper } else { Base::Lower };
        let value = Nlink { base, difference };
        let letter = if upper { 'U' } else { 'L' };
        let text = value.text();
let expected = format!("{letter}{difference:+}");
        prop_assert_eq!(text.as_bytes(), expected.as_bytes());
        prop_assert!(text.as_bytes().len() <= nlink::MAX_LEN);
        prop_assert_eq!(Nlink::parse(text.as_bytes()), Some(value));
        // The count that was stored is the count that is read, if there is one.
        let union = nlink % 100_000 + 1;
        let real = (difference as u32) % 100_000;
        prop_assert_eq!(Nlink::relative(base, union, real).resolve(real), Some(union));
    }

    #[test]
    fn metacopy_values_come_back(
        flags: u8,
        algorithm in 1u8..,
        digest in prop::collection::vec(any::<u8>(), 0..=64),
    ) {
        let metacopy = Metacopy { flags, algorithm, digest: &digest };
        let value = metacopy_value(&metacopy);
        prop_assert_eq!(Metacopy::parse(&value), Ok(metacopy));
        prop_assert_eq!(metacopy::has_digest(value.len()), Ok(!digest.is_empty()));
    }

    #[test]
    fn searches_agree_with_the_standard_library(text in "[ab:]{0,12}") {
        let text = text.as_bytes();
        prop_assert_eq!(bytes::find(text, |b| b == b':'), text.iter().position(|&b| b == b':'));
        prop_assert_eq!(bytes::contains(text, b'a'), text.contains(&b'a'));
        let mut parts = text.splitn(2, |&b| b == b':');
        prop_assert_eq!(bytes::split(text, b':'), (parts.next().unwrap(), parts.next()));
    }
}
