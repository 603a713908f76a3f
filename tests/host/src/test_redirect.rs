// SPDX-License-Identifier: GPL-2.0

//! Redirect values, and the walk along an absolute one.

use proptest::prelude::*;

use crate::redirect::*;
use crate::store::NoMemory;
use crate::support::{cases, written};

fn composed(prefix: &[u8], redirect: Redirect<'_>, rest: &[u8]) -> Vec<u8> {
    written(NoMemory, |out| compose(prefix, redirect, rest, out)).unwrap()
}

#[test]
fn values_are_checked() {
    let absolute: &[&str] = &["/a", "/a/b", "/a/b/c", "/ a", "/.", "/..", "/a\\b"];
    for value in absolute {
        let redirect = Redirect::parse(value.as_bytes());
        assert_eq!(
            redirect,
            Ok(Redirect::Absolute(value.as_bytes())),
            "{value}"
        );
    }
    let relative: &[&str] = &["a", " ", ".", "a b", "ä"];
    for value in relative {
        let redirect = Redirect::parse(value.as_bytes());
        assert_eq!(
            redirect,
            Ok(Redirect::Relative(value.as_bytes())),
            "{value}"
        );
    }
    let bad: &[&str] = &["", "/", "//", "//a", "/a/", "/a//b", "a/b", "a/", "/\0a"];
    for value in bad {
        assert_eq!(
            Redirect::parse(value.as_bytes()),
            Err(BadRedirect),
            "{value:?}"
        );
    }
    // The value is a C string, which may be empty if the value is not.
    assert_eq!(Redirect::parse(b"\0"), Ok(Redirect::Relative(b"")));
    assert_eq!(Redirect::parse(b"\0/a"), Ok(Redirect::Relative(b"")));
    assert_eq!(Redirect::parse(b"a\0"), Ok(Redirect::Relative(b"a")));
    assert_eq!(Redirect::parse(b"a\0/"), Ok(Redirect::Relative(b"a")));
    assert_eq!(Redirect::parse(b"/a\0/"), Ok(Redirect::Absolute(b"/a")));
}

/// Prefix, name and rest of all components.
fn parts(value: &str) -> Vec<(&str, &str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    Redirect::parse(value.as_bytes())
        .unwrap()
        .components()
        .map(|component| {
            assert_eq!(component.is_last(), component.rest.is_empty());
            assert_eq!(component.is_last(), component.next().is_none());
            (
                text(component.prefix),
                text(component.name),
                text(component.rest),
            )
        })
        .collect()
}

#[test]
fn components_know_what_is_around_them() {
    assert_eq!(parts("a"), [("", "a", "")]);
    assert_eq!(parts("/a"), [("/", "a", "")]);
    assert_eq!(
        parts("/a/bc/d"),
        [
            ("/", "a", "/bc/d"),
            ("/a/", "bc", "/d"),
            ("/a/bc/", "d", "")
        ]
    );
}

#[test]
fn a_redirect_replaces_what_was_walked() {
    let table: &[(&str, &str, &str, &str)] = &[
        // A plain name that was renamed in its directory, or moved elsewhere.
        ("", "new", "", "new"),
        ("", "/x/y", "", "/x/y"),
        // On the way along /a/b/c, at b.
        ("/a/", "x", "/c", "/a/x/c"),
        ("/a/", "/p/q", "/c", "/p/q/c"),
        // At c, the last.
        ("/a/b/", "x", "", "/a/b/x"),
        ("/a/b/", "/x", "", "/x"),
        // At a, the first.
        ("/", "x", "/b/c", "/x/b/c"),
    ];
    for (prefix, value, rest, expected) in table {
        let redirect = Redirect::parse(value.as_bytes()).unwrap();
        let path = composed(prefix.as_bytes(), redirect, rest.as_bytes());
        assert_eq!(path, expected.as_bytes(), "{prefix} {value} {rest}");
    }
}

#[test]
fn cursors_of_another_path_find_nothing() {
    let cursor = Cursor::start(b"/a/bcd").unwrap();
    assert_eq!(cursor.component(b"/a"), None);
    assert_eq!(
        cursor.component(b"xx/a/bcd").map(|c| c.name),
        Some(&b"a"[..])
    );
    assert_eq!(cursor.component(b"/aaa/bcd"), None);
    assert_eq!(Cursor::start(b"a/b"), None);
    assert_eq!(Cursor::start(b""), None);
}

/// A component or redirect.
fn name() -> impl Strategy<Value = String> {
    "[a-c.]{1,4}"
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(name(), 1..6).prop_map(|names| format!("/{}", names.join("/")))
}

proptest! {
    #![proptest_config(cases(2000))]

    /// However the path changes on the way, the components still to come stay the same, and every
    /// path on the way is a valid redirect.
    #[test]
    fn walks_survive_redirects(
        start in path(),
        redirects in prop::collection::vec(prop::option::of(prop_oneof![name(), path()]), 6),
    ) {
        let expected: Vec<&[u8]> = start[1..].split('/').map(str::as_bytes).collect();
        let mut path = start.clone().into_bytes();
        let mut next = Cursor::start(&path);
        let mut seen = Vec::new();
        // What the walk has replaced so far, kept by hand.
        let mut walked: Vec<u8> = Vec::new();
        for redirect in &redirects {
            let Some(cursor) = next else { break };
            let component = cursor.component(&path).unwrap();
            seen.push(component.name.to_vec());
            prop_assert_eq!(component.prefix, &[&walked[..], b"/"].concat()[..]);
            next = component.next();
            match redirect {
                Some(value) if value.starts_with('/') => walked = value.clone().into_bytes(),
                Some(value) => {
                    walked.push(b'/');
                    walked.extend_from_slice(value.as_bytes());
                }
                None => {
                    walked.push(b'/');
                    walked.extend_from_slice(component.name);
                }
            }
            if let Some(value) = redirect {
                let redirect = Redirect::parse(value.as_bytes()).unwrap();
                path = composed(component.prefix, redirect, component.rest);
                prop_assert_eq!(Redirect::parse(&path), Ok(Redirect::Absolute(&path)));
            }
        }
        prop_assert_eq!(next, None);
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(walked, path);
    }

    /// A path is valid exactly if it is a list of names, and then these are its components.
    #[test]
    fn components_are_the_names(value in "[/a\\x00]{0,10}") {
        let text = value.split('\0').next().unwrap();
        let names: Vec<&str> = match text.strip_prefix('/') {
            Some(path) => path.split('/').collect(),
            None => vec![text],
        };
        let valid = match text {
            "" => !value.is_empty(),
            _ => names.iter().all(|name| !name.is_empty() && !name.contains('/')),
        };
        match Redirect::parse(value.as_bytes()) {
            Ok(redirect) => {
                prop_assert!(valid);
                prop_assert_eq!(redirect.as_bytes(), text.as_bytes());
                let found: Vec<_> = redirect.components().map(|c| c.name).collect();
                prop_assert_eq!(found, names.iter().map(|n| n.as_bytes()).collect::<Vec<_>>());
            }
            Err(BadRedirect) => prop_assert!(!valid),
        }
    }

    /// Built from the object up to the root, or to the first directory with an absolute redirect.
    #[test]
    fn redirects_are_built_upwards(
        names in prop::collection::vec(name(), 0..6),
        top in prop::option::of(path()),
        size in 0usize..40,
    ) {
        let mut expected = top.clone().unwrap_or_default();
        for name in &names {
            expected.push('/');
            expected.push_str(name);
        }
        let mut buffer = vec![0u8; size];
        let mut builder = Builder::new(&mut buffer);
        let mut result = Ok(false);
        for name in names.iter().rev() {
            result = result.and_then(|_| builder.prepend(name.as_bytes()));
            prop_assert_ne!(result, Ok(true));
        }
        if let Some(top) = &top {
            result = result.and_then(|_| builder.prepend(top.as_bytes()));
            prop_assert_ne!(result, Ok(false));
        }
        if expected.len() <= size {
            prop_assert!(result.is_ok());
            prop_assert_eq!(builder.path(), expected.as_bytes());
        } else {
            prop_assert_eq!(result, Err(TooLong));
        }
    }
}
