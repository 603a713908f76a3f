// SPDX-License-Identifier: GPL-2.0

//! Names of extended attributes.

use proptest::prelude::*;

use crate::escape::*;
use crate::support::{cases, written};

const BOTH: [Namespace; 2] = [Namespace::Trusted, Namespace::User];

fn real(space: Namespace, name: &str) -> Result<String, EscapeError> {
    let name = written(EscapeError::NoMemory, |out| {
        space.to_real(name.as_bytes(), out)
    })?;
    Ok(String::from_utf8(name).unwrap())
}

/// How a name on a real object is listed.
fn user(space: Namespace, name: &str, privileged: bool) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match space.to_user(name.as_bytes(), || privileged) {
        Shown::Hidden => None,
        Shown::Plain(name) => Some(text(name)),
        Shown::Unescaped(prefix, rest) => Some(text(prefix) + &text(rest)),
    }
}

#[test]
fn names_are_classified() {
    // Name, own, escaped; of the default namespace.
    let table = [
        ("trusted.overlay.opaque", true, false),
        ("trusted.overlay.", true, false),
        ("trusted.overlay.overlay", true, false),
        ("trusted.overlay.overlay.", true, true),
        ("trusted.overlay.overlay.opaque", true, true),
        ("trusted.overlay.overlay.overlay.x", true, true),
        ("trusted.overlay", false, false),
        ("trusted.overlayfs.opaque", false, false),
        ("trusted.Overlay.opaque", false, false),
        ("user.overlay.opaque", false, false),
        ("user.overlay.overlay.opaque", false, false),
        ("security.capability", false, false),
        ("", false, false),
    ];
    for (name, own, escaped) in table {
        let space = Namespace::of_mount(false);
        assert_eq!(space.is_own(name.as_bytes()), own, "{name}");
        assert_eq!(space.is_escaped(name.as_bytes()), escaped, "{name}");
        assert_eq!(space.is_private(name.as_bytes()), own && !escaped, "{name}");
        // The other namespace, with the names swapped.
        let space = Namespace::of_mount(true);
        let name = match name.strip_prefix("trusted.") {
            Some(rest) => format!("user.{rest}"),
            None => name.replace("user.", "trusted."),
        };
        assert_eq!(space.is_own(name.as_bytes()), own, "{name}");
        assert_eq!(space.is_escaped(name.as_bytes()), escaped, "{name}");
    }
}

#[test]
fn own_names_are_stored_escaped() {
    let table = [
        ("trusted.overlay.opaque", "trusted.overlay.overlay.opaque"),
        (
            "trusted.overlay.overlay.opaque",
            "trusted.overlay.overlay.overlay.opaque",
        ),
        ("trusted.overlay.", "trusted.overlay."),
        ("trusted.other", "trusted.other"),
        ("user.overlay.opaque", "user.overlay.opaque"),
        ("security.selinux", "security.selinux"),
        ("", ""),
    ];
    for (name, expected) in table {
        assert_eq!(real(Namespace::Trusted, name).as_deref(), Ok(expected));
    }
    assert_eq!(
        real(Namespace::User, "user.overlay.opaque").as_deref(),
        Ok("user.overlay.overlay.opaque")
    );
    assert_eq!(
        real(Namespace::User, "trusted.overlay.opaque").as_deref(),
        Ok("trusted.overlay.opaque")
    );
}

#[test]
fn escaped_names_have_a_limit() {
    for space in BOTH {
        let room = NAME_MAX - space.prefix().len() - "overlay.".len();
        let suffix = vec![b'x'; room + 1];
        let fits = written(EscapeError::NoMemory, |out| space.escape(&suffix[1..], out));
        assert_eq!(fits.unwrap().len(), NAME_MAX);
        let mut out = crate::support::VecStore::new();
        assert_eq!(space.escape(&suffix, &mut out), Err(EscapeError::TooLong));
        let name = [space.prefix(), &suffix].concat();
        assert_eq!(space.to_real(&name, &mut out), Err(EscapeError::TooLong));
    }
}

#[test]
fn names_are_listed_to_those_who_may_see_them() {
    // Name on the real object, as listed to the privileged, and to others.
    let table = [
        ("user.a", Some("user.a"), Some("user.a")),
        (
            "security.capability",
            Some("security.capability"),
            Some("security.capability"),
        ),
        ("trusted.a", Some("trusted.a"), None),
        ("trusted.overlay.origin", None, None),
        (
            "trusted.overlay.overlay.origin",
            Some("trusted.overlay.origin"),
            None,
        ),
        (
            "trusted.overlay.overlay.overlay.origin",
            Some("trusted.overlay.overlay.origin"),
            None,
        ),
        (
            "user.overlay.origin",
            Some("user.overlay.origin"),
            Some("user.overlay.origin"),
        ),
        ("trusted", Some("trusted"), Some("trusted")),
    ];
    for (name, privileged, other) in table {
        assert_eq!(
            user(Namespace::Trusted, name, true).as_deref(),
            privileged,
            "{name}"
        );
        assert_eq!(
            user(Namespace::Trusted, name, false).as_deref(),
            other,
            "{name}"
        );
    }
    // With userxattr, names in trusted.overlay. are like any other.
    let table = [
        ("user.overlay.origin", None, None),
        (
            "user.overlay.overlay.origin",
            Some("user.overlay.origin"),
            Some("user.overlay.origin"),
        ),
        (
            "trusted.overlay.origin",
            Some("trusted.overlay.origin"),
            None,
        ),
    ];
    for (name, privileged, other) in table {
        assert_eq!(
            user(Namespace::User, name, true).as_deref(),
            privileged,
            "{name}"
        );
        assert_eq!(
            user(Namespace::User, name, false).as_deref(),
            other,
            "{name}"
        );
    }
}

fn filtered(space: Namespace, list: &[u8], privileged: bool) -> Result<Vec<u8>, BrokenList> {
    let mut list = list.to_vec();
    let len = space.filter_list(&mut list, || privileged)?;
    list.truncate(len);
    Ok(list)
}

#[test]
fn lists_are_filtered_in_place() {
    let list = b"security.selinux\0trusted.overlay.origin\0trusted.overlay.overlay.opaque\0\
                 trusted.md5\0user.overlay.x\0";
    assert_eq!(
        filtered(Namespace::Trusted, list, true).unwrap(),
        b"security.selinux\0trusted.overlay.opaque\0trusted.md5\0user.overlay.x\0"
    );
    assert_eq!(
        filtered(Namespace::Trusted, list, false).unwrap(),
        b"security.selinux\0user.overlay.x\0"
    );
    assert_eq!(
        filtered(Namespace::User, list, false).unwrap(),
        b"security.selinux\0"
    );
    assert_eq!(filtered(Namespace::Trusted, b"", true), Ok(vec![]));
    assert_eq!(
        filtered(Namespace::Trusted, b"user.a", true),
        Err(BrokenList)
    );
    assert_eq!(
        filtered(Namespace::Trusted, b"user.a\0b", true),
        Err(BrokenList)
    );
    // An empty name is a name.
    assert_eq!(filtered(Namespace::Trusted, b"\0\0", true), Ok(vec![0, 0]));
}

/// A name that is likely to matter.
fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["overlay.", "overlay", ".", "x", "origin"]);
    let start = prop::sample::select(vec!["trusted.", "user.", "security.", "trusted.overlay."]);
    (start, prop::collection::vec(part, 0..5))
        .prop_map(|(start, parts)| start.to_owned() + &parts.concat())
}

proptest! {
    #![proptest_config(cases(2000))]

    /// What is written through any number of nested overlays is found under its name again, and at
    /// every level below it is not one of that level's own.
    #[test]
    fn nesting_hides_nothing_and_shows_nothing(name in name(), levels in 1usize..6) {
        for space in BOTH {
            // Exactly the prefix is not the handler's, and stays as it is.
            if name.as_bytes() == space.prefix() {
                continue;
            }
            let mut stack = vec![name.clone()];
            for _ in 0..levels {
                let below = real(space, stack.last().unwrap()).unwrap();
                prop_assert!(!space.is_private(below.as_bytes()));
                stack.push(below);
            }
            for pair in stack.windows(2).rev() {
                prop_assert_eq!(user(space, &pair[1], true), Some(pair[0].clone()));
            }
        }
    }

    /// Filtering a list is filtering its names.
    #[test]
    fn lists_are_lists_of_names(names in prop::collection::vec(name(), 0..12), privileged: bool) {
        for space in BOTH {
            let list: Vec<u8> = names.iter().flat_map(|n| [n.as_bytes(), b"\0"].concat()).collect();
            let expected: Vec<u8> = names
                .iter()
                .filter_map(|name| user(space, name, privileged))
                .flat_map(|name| [name.as_bytes(), b"\0"].concat())
                .collect();
            prop_assert_eq!(filtered(space, &list, privileged), Ok(expected));
        }
    }
}
