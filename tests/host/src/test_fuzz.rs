// SPDX-License-Identifier: GPL-2.0

//! Random bytes for everything that reads bytes. A panic fails the test; what is read has to be
//! written back as it was read.

use crate::support::{inputs_wanted, Random, VecStore};
use crate::{escape, handle, metacopy, nlink, options, protattr, redirect, syntax};

/// Bytes that mean something to one format or another.
const LIKELY: &[u8] =
    b"\0\x01\x02\x04\x08\x15\x1d\x24\x44\xfb\xf8\xff:,\\/.#+-0123456789abcdefULaiuserovlytd \n\t";

/// Random inputs: half of any bytes, half of likely ones.
fn inputs(stream: u64, count: usize, longest: usize) -> impl Iterator<Item = Vec<u8>> {
    let any: Vec<u8> = (0..=255).collect();
    let mut random = Random::new(stream);
    (0..count).map(move |number| {
        let alphabet = if number % 2 == 0 { LIKELY } else { &any };
        let longest = 1 + random.below(longest);
        random.bytes(longest, alphabet)
    })
}

#[test]
fn handles() {
    let mut random = Random::new(10);
    let mut valid = 0;
    let count = inputs_wanted();
    for mut bytes in inputs(11, count, 200) {
        // Most are no record from the first bytes on; help some of them further.
        let [version, magic, len, flags, ..] = &mut bytes[..] else {
            continue;
        };
        if random.below(4) > 0 {
            *version = random.below(8) as u8 / 7;
            *magic = 0xfb;
            *flags &= 7;
            *len = random.below(150) as u8;
        }
        let given = bytes.clone();
        if let handle::Parsed::Valid(record) = handle::parse(&given) {
            valid += 1;
            assert!(handle::HEADER_LEN + record.fid.len() <= bytes.len());
            let mut out = VecStore::new();
            match record.encode(&mut out) {
                Ok(()) => {
                    // One that states too little is written with the length that it has.
                    bytes[2] = bytes[2].max(handle::HEADER_LEN as u8);
                    assert_eq!(out.items, bytes[..out.items.len()]);
                }
                Err(error) => {
                    assert_eq!(error, handle::EncodeError::TooLong);
                    assert!(record.fid.len() > handle::MAX_FID_LEN);
                }
            }
            let mut words = [0; handle::MAX_FID_WORDS];
            let count = record.fid_words(&mut words[..random.below(33)]);
            assert!(count.is_none_or(|count| count == record.fid.len() / 4));
        }
        for fileid_type in [handle::FILEID_V0, handle::FILEID_V1, bytes[0]] {
            assert_ne!(
                handle::parse_wire(&bytes, fileid_type),
                handle::Parsed::Empty
            );
        }
        let mut out = VecStore::new();
        if handle::decode_index_name(&bytes, &mut out).is_ok() {
            assert_eq!(out.items.len(), bytes.len() / 2);
        }
    }
    assert!(valid > count / 100, "only {valid} of {count} were records");
}

#[test]
fn redirects() {
    for bytes in inputs(20, inputs_wanted(), 40) {
        if let Ok(value) = redirect::Redirect::parse(&bytes) {
            for component in value.components() {
                assert!(!component.name.is_empty() || bytes.first() == Some(&0));
                let whole = [component.prefix, component.name, component.rest].concat();
                assert_eq!(whole, value.as_bytes());
            }
        }
        if let Some(cursor) = redirect::Cursor::start(&bytes) {
            for other in inputs(21, 4, 40) {
                let mut next = Some(cursor);
                while let Some(component) = next.and_then(|at| at.component(&other)) {
                    next = component.next();
                }
            }
        }
        let mut buffer = [0; 16];
        let mut builder = redirect::Builder::new(&mut buffer);
        while builder.prepend(&bytes).is_ok() {
            assert!(builder.path().len() <= 16);
        }
    }
}

#[test]
fn options() {
    for bytes in inputs(30, inputs_wanted(), 40) {
        if let Ok(split) = syntax::split_lowerdirs(&bytes) {
            for layer in split.iter() {
                let mut out = VecStore::new();
                syntax::unescape_into(layer.escaped, &mut out).unwrap();
                assert!(!out.items.is_empty());
            }
        }
        let mut out = VecStore::new();
        syntax::unescape_into(&bytes, &mut out).unwrap();
        assert!(out.items.len() <= bytes.len());
        let mut len = 0;
        syntax::show_value(&bytes, &mut |piece| len += piece.len());
        assert!(len >= bytes.len());
        let mut rest = Some(&bytes[..]);
        while let Some(data) = rest {
            rest = syntax::split_option(data).1;
        }
        let _ = options::RedirectMode::parse(&bytes);
        let _ = options::parse_switch(&bytes);
    }
}

#[test]
fn names_of_xattrs() {
    let words: [&[u8]; 6] = [b"trusted.", b"user.", b"overlay.", b"x", b"\0", b"\0\0"];
    let mut random = Random::new(40);
    for bytes in inputs(41, inputs_wanted(), 60) {
        let mut list = Vec::new();
        for _ in 0..random.below(12) {
            list.extend_from_slice(words[random.below(words.len())]);
        }
        if random.below(8) == 0 {
            list.extend_from_slice(&bytes);
        }
        for space in [escape::Namespace::Trusted, escape::Namespace::User] {
            for privileged in [false, true] {
                let mut copy = list.clone();
                let complete = list.last().is_none_or(|&byte| byte == 0);
                match space.filter_list(&mut copy, || privileged) {
                    Ok(len) => {
                        assert!(complete && len <= list.len());
                        let kept = &copy[..len];
                        assert!(kept.last().is_none_or(|&byte| byte == 0));
                    }
                    Err(escape::BrokenList) => assert!(!complete),
                }
            }
            let mut out = VecStore::new();
            let _ = space.to_real(&bytes, &mut out);
        }
    }
}

#[test]
fn small_formats() {
    for bytes in inputs(50, 4 * inputs_wanted(), 16) {
        if let Some(value) = nlink::Nlink::parse(&bytes) {
            assert_eq!(nlink::Nlink::parse(value.text().as_bytes()), Some(value));
            let _ = value.resolve(bytes.len() as u32);
        }
        if let Ok(flags) = protattr::ProtAttr::parse(&bytes) {
            assert_eq!(protattr::ProtAttr::parse(flags.value()), Ok(flags));
        }
        if let Ok(value) = metacopy::Metacopy::parse(&bytes) {
            assert!(metacopy::has_digest(bytes.len()).is_ok());
            let mut out = VecStore::new();
            value.encode(&mut out).unwrap();
            assert!(out.items == bytes || out.items.is_empty());
        }
    }
}
