// SPDX-License-Identifier: GPL-2.0

//! `lowerdir=` syntax, what `/proc/mounts` shows, and which options go together.

use proptest::prelude::*;

use crate::conflicts::*;
use crate::options::*;
use crate::store::NoMemory;
use crate::support::{cases, written};
use crate::syntax::*;

/// The layers of a value, unescaped; data-only ones in brackets.
fn layers(value: &str) -> Result<Vec<String>, OptionError> {
    let split = split_lowerdirs(value.as_bytes())?;
    let layers: Vec<String> = split
        .iter()
        .map(|layer| {
            let path = written(NoMemory, |out| unescape_into(layer.escaped, out)).unwrap();
            let path = String::from_utf8(path).unwrap();
            if layer.data_only {
                format!("[{path}]")
            } else {
                path
            }
        })
        .collect();
    assert_eq!(split.len(), layers.len());
    assert_eq!(split.is_empty(), layers.is_empty());
    let data = layers.iter().filter(|path| path.starts_with('[')).count();
    assert_eq!(split.data_layers(), data);
    Ok(layers)
}

#[test]
fn lowerdirs_are_split_and_unescaped() {
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        ("/a", &["/a"]),
        ("/a:/b:/c", &["/a", "/b", "/c"]),
        ("a:../b", &["a", "../b"]),
        (r"/a\:b:/c", &["/a:b", "/c"]),
        (r"\:a", &[":a"]),
        (r"/a\:", &["/a:"]),
        (r"/a\:\:/b", &["/a::/b"]),
        (r"/a\\:/b", &[r"/a\", "/b"]),
        (r"/a\\\:/b", &[r"/a\:/b"]),
        (r"/a\b", &["/ab"]),
        (r"/a\,b", &["/a,b"]),
        ("/a::/d", &["/a", "[/d]"]),
        ("/a:/b::/c::/d", &["/a", "/b", "[/c]", "[/d]"]),
        (r"/a:\:/b", &["/a", ":/b"]),
        (r"/a::\:d", &["/a", "[:d]"]),
    ];
    for (value, expected) in table {
        let expected: Vec<String> = expected.iter().map(|path| path.to_string()).collect();
        assert_eq!(layers(value), Ok(expected), "{value}");
    }
}

#[test]
fn malformed_lowerdirs_are_refused() {
    let table = [
        (":", OptionError::LeadingColon),
        ("::", OptionError::LeadingColon),
        (":/a", OptionError::LeadingColon),
        ("::/a", OptionError::LeadingColon),
        ("/a:", OptionError::TrailingColon),
        ("/a::", OptionError::TrailingColon),
        (r"/a\::", OptionError::TrailingColon),
        ("/a:::/b", OptionError::ColonRun),
        ("/a:::", OptionError::ColonRun),
        ("/a::::/b", OptionError::ColonRun),
        ("\\", OptionError::TrailingBackslash),
        ("/a\\", OptionError::TrailingBackslash),
        (r"/a\\\", OptionError::TrailingBackslash),
        ("/a::/b:/c", OptionError::RegularAfterData),
        ("/a::/b:/c::/d", OptionError::RegularAfterData),
    ];
    for (value, expected) in table {
        assert_eq!(layers(value), Err(expected), "{value}");
        assert!(!expected.message().is_empty());
    }
}

#[test]
fn lowerdirs_are_limited() {
    let many = |count: usize| vec!["l"; count].join(":");
    assert_eq!(layers(&many(MAX_LAYERS)).map(|l| l.len()), Ok(MAX_LAYERS));
    assert_eq!(
        layers(&many(MAX_LAYERS + 1)),
        Err(OptionError::TooManyLayers)
    );
    let data = format!("{}::d", many(MAX_LAYERS));
    assert_eq!(layers(&data), Err(OptionError::TooManyLayers));
    assert!(OptionError::TooManyLayers
        .message()
        .contains(&MAX_LAYERS.to_string()));
}

#[test]
fn unescaping_drops_a_lone_backslash_at_the_end() {
    // As upperdir= may end with one, which nothing checks before.
    let path = written(NoMemory, |out| unescape_into(b"/up\\", out));
    assert_eq!(path, Ok(b"/up".to_vec()));
}

proptest! {
    #![proptest_config(cases(2000))]

    /// Any path can be written into the option so that it comes out again.
    #[test]
    fn escaped_paths_come_back(
        paths in prop::collection::vec("[a:/\\\\, ]{1,12}", 1..20),
        data in prop::collection::vec("[a:/\\\\, ]{1,12}", 0..5),
    ) {
        let escape = |path: &String| path.replace('\\', r"\\").replace(':', r"\:");
        let mut value = paths.iter().map(escape).collect::<Vec<_>>().join(":");
        for path in &data {
            value.push_str("::");
            value.push_str(&escape(path));
        }
        let mut expected = paths.clone();
        expected.extend(data.iter().map(|path| format!("[{path}]")));
        prop_assert_eq!(layers(&value), Ok(expected));
    }

    /// A value is accepted or refused; accepted, its layers are not empty and are all of it.
    #[test]
    fn any_value_is_split_without_loss(value in "[a:\\\\]{0,24}") {
        if let Ok(split) = split_lowerdirs(value.as_bytes()) {
            let mut whole = Vec::new();
            for (number, layer) in split.iter().enumerate() {
                prop_assert!(!layer.escaped.is_empty());
                if number > 0 {
                    whole.extend_from_slice(if layer.data_only { b"::" } else { b":" });
                }
                whole.extend_from_slice(layer.escaped);
            }
            prop_assert_eq!(whole, value.into_bytes());
        }
    }

    /// What is shown can be read back as /proc/mounts is read: octal escapes undone.
    #[test]
    fn shown_values_come_back(value in prop::collection::vec(1u8.., 0..40)) {
        let shown = shown(&value);
        prop_assert!(!shown.iter().any(|byte| b", \t\n".contains(byte)));
        let mut back = Vec::new();
        let mut rest = &shown[..];
        while let Some((&byte, after)) = rest.split_first() {
            if byte == b'\\' {
                let (digits, after) = after.split_at(3);
                let digits = std::str::from_utf8(digits).unwrap();
                back.push(u8::from_str_radix(digits, 8).unwrap());
                rest = after;
            } else {
                back.push(byte);
                rest = after;
            }
        }
        prop_assert_eq!(back, value);
    }
}

fn shown(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    show_value(value, &mut |piece| {
        assert!(!piece.is_empty());
        out.extend_from_slice(piece);
    });
    out
}

#[test]
fn separators_are_shown_as_octal_escapes() {
    let table: &[(&str, &str)] = &[
        ("", ""),
        ("/plain/path", "/plain/path"),
        ("/a b", r"/a\040b"),
        ("/a,b", r"/a\054b"),
        ("/a\tb\n", r"/a\011b\012"),
        (r"/a\:b:/c", r"/a\134:b:/c"),
        (",", r"\054"),
        ("/a=b#c", "/a=b#c"),
    ];
    for (value, expected) in table {
        assert_eq!(shown(value.as_bytes()), expected.as_bytes(), "{value}");
    }
}

#[test]
fn options_are_split_at_unescaped_commas() {
    let split = |data: &'static str| {
        let mut options = Vec::new();
        let mut rest = Some(data.as_bytes());
        while let Some(data) = rest {
            let (option, after) = split_option(data);
            options.push(std::str::from_utf8(option).unwrap());
            rest = after;
        }
        options
    };
    assert_eq!(split(""), [""]);
    assert_eq!(split("a,b=c"), ["a", "b=c"]);
    assert_eq!(
        split(r"lowerdir=/a\,b,index=off"),
        [r"lowerdir=/a\,b", "index=off"]
    );
    assert_eq!(split(r"a\\,b"), [r"a\\", "b"]);
    assert_eq!(split(r"a\"), [r"a\"]);
    assert_eq!(split("a,,b,"), ["a", "", "b", ""]);
}

#[test]
fn every_value_reads_back_its_own_name() {
    macro_rules! check {
        ($($type:ident { $($variant:ident = $text:literal),+ })+) => {
            $($(
                assert_eq!($type::parse($text.as_bytes()), Some($type::$variant));
                assert_eq!($type::$variant.name(), $text);
            )+
            for wrong in ["", "ON", "on ", "o", "yes", "1"] {
                assert_eq!($type::parse(wrong.as_bytes()), None);
            })+
        };
    }
    check! {
        RedirectMode { Off = "off", Follow = "follow", NoFollow = "nofollow", On = "on" }
        Xino { Off = "off", Auto = "auto", On = "on" }
        Uuid { Off = "off", Null = "null", Auto = "auto", On = "on" }
        Verity { Off = "off", On = "on", Require = "require" }
        Fsync { Volatile = "volatile", Auto = "auto", Strict = "strict" }
    }
    assert_eq!(parse_switch(b"on"), Some(true));
    assert_eq!(parse_switch(b"off"), Some(false));
    assert_eq!(parse_switch(b"auto"), None);
    assert_eq!((switch_name(true), switch_name(false)), ("on", "off"));
}

/// All features on, as a distribution might do.
const ALL_ON: Defaults = Defaults {
    redirect_dir: true,
    redirect_always_follow: true,
    xino_auto: true,
    index: true,
    nfs_export: false,
    metacopy: true,
};

#[test]
fn defaults_follow_the_module_parameters() {
    let stock = Config::new(&Defaults::STOCK);
    assert_eq!(stock.redirect_dir, RedirectMode::Follow);
    assert_eq!(stock.xino, Xino::Off);
    assert_eq!((stock.uuid, stock.fsync), (Uuid::Auto, Fsync::Auto));
    assert!(!stock.index && !stock.nfs_export && !stock.metacopy);

    let config = Config::new(&ALL_ON);
    assert_eq!(config.redirect_dir, RedirectMode::On);
    assert_eq!(config.xino, Xino::Auto);
    assert!(config.index && config.metacopy);

    let never = Defaults {
        redirect_always_follow: false,
        ..Defaults::STOCK
    };
    assert_eq!(Config::new(&never).redirect_dir, RedirectMode::NoFollow);

    // "off" is never what a mount has.
    for (defaults, expected) in [
        (Defaults::STOCK, RedirectMode::Follow),
        (never, RedirectMode::NoFollow),
        (ALL_ON, RedirectMode::Follow),
    ] {
        let mut config = Config::new(&defaults);
        config.set_redirect_dir(RedirectMode::Off, &defaults);
        assert_eq!(config.redirect_dir, expected);
        assert!(config.given.redirect_dir);
    }
}

/// An upper mount with the stock defaults, changed by `change`.
fn upper(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::new(&Defaults::STOCK);
    config.upper = true;
    config.work = true;
    change(&mut config);
    config
}

/// The same without an upper layer.
fn lower_only(change: impl FnOnce(&mut Config)) -> Config {
    upper(|config| {
        config.upper = false;
        config.work = false;
        change(config);
    })
}

fn redirect(config: &mut Config, mode: RedirectMode) {
    config.set_redirect_dir(mode, &Defaults::STOCK);
}

/// Resolves for a privileged mounter: the result, and the notes on the way.
fn resolved(mut config: Config) -> (Result<Config, Conflict>, Vec<Note>) {
    let mut notes = Vec::new();
    let caps = Caps { privileged: true };
    let result = resolve(&mut config, caps, &mut |note| notes.push(note));
    (result.map(|()| config), notes)
}

#[test]
fn options_that_fit_are_left_alone() {
    for config in [
        upper(|_| ()),
        upper(|c| redirect(c, RedirectMode::On)),
        upper(|c| redirect(c, RedirectMode::NoFollow)),
        upper(|c| c.set_index(true)),
        upper(|c| c.set_index(false)),
        upper(|c| {
            c.set_metacopy(true);
            redirect(c, RedirectMode::On);
        }),
        upper(|c| {
            c.set_nfs_export(true);
            c.set_index(true);
        }),
        upper(|c| {
            c.userxattr = true;
            redirect(c, RedirectMode::NoFollow);
        }),
        upper(|c| c.fsync = Fsync::Volatile),
        upper(|c| c.uuid = Uuid::On),
        upper(|c| c.verity = Verity::Require),
        upper(|c| c.data_layers = 3),
    ] {
        assert_eq!(resolved(config), (Ok(config), vec![]));
    }
}

#[test]
fn a_mount_without_upper_loses_what_it_cannot_use() {
    let (result, notes) = resolved(lower_only(|c| {
        c.work = true;
        c.set_index(true);
        c.fsync = Fsync::Volatile;
        c.uuid = Uuid::On;
    }));
    assert_eq!(
        notes,
        [
            Note::WorkWithoutUpper,
            Note::IndexWithoutUpper,
            Note::VolatileWithoutUpper,
            Note::UuidWithoutUpper,
        ]
    );
    let config = result.unwrap();
    assert!(!config.work && !config.index && !config.given.index);
    assert_eq!((config.fsync, config.uuid), (Fsync::Auto, Uuid::Null));
    assert_eq!(config.redirect_dir, RedirectMode::On);

    // An index that is only a default goes without a word.
    let (result, notes) = resolved(lower_only(|c| c.index = true));
    assert_eq!(notes, []);
    assert!(!result.unwrap().index);
    // A strict fsync means nothing either, but stays as it is.
    let (result, notes) = resolved(lower_only(|c| c.fsync = Fsync::Strict));
    assert_eq!((result.unwrap().fsync, notes), (Fsync::Strict, vec![]));
}

#[test]
fn metacopy_needs_redirects() {
    use RedirectMode::{Follow, NoFollow, On};

    // Both given: refused.
    for mode in [Follow, NoFollow] {
        let (result, notes) = resolved(upper(|c| {
            c.set_metacopy(true);
            redirect(c, mode);
        }));
        assert_eq!(
            (result, notes),
            (Err(Conflict::MetacopyRedirect(mode)), vec![])
        );
    }
    // The one that was given wins.
    let (result, notes) = resolved(upper(|c| c.set_metacopy(true)));
    assert_eq!(notes, [Note::RedirectOnByMetacopy]);
    assert_eq!(result.unwrap().redirect_dir, On);
    let (result, notes) = resolved(upper(|c| {
        c.metacopy = true;
        redirect(c, NoFollow);
    }));
    assert_eq!(notes, [Note::MetacopyOffByRedirect(NoFollow)]);
    assert!(!result.unwrap().metacopy);
    // None given: metacopy wins.
    let (result, notes) = resolved(upper(|c| c.metacopy = true));
    assert_eq!(notes, [Note::RedirectOnByMetacopy]);
    assert!(result.unwrap().metacopy);
    // Without an upper layer, to follow is enough.
    let (result, notes) = resolved(lower_only(|c| {
        c.set_metacopy(true);
        redirect(c, Follow);
    }));
    assert_eq!(notes, []);
    assert!(result.unwrap().metacopy);
}

#[test]
fn nfs_export_needs_an_index() {
    let (result, notes) = resolved(upper(|c| c.set_nfs_export(true)));
    assert_eq!(notes, [Note::IndexOnByNfsExport]);
    assert!(result.unwrap().index);

    let (result, notes) = resolved(upper(|c| {
        c.nfs_export = true;
        c.set_index(false);
    }));
    assert_eq!(notes, [Note::NfsExportOffByIndex]);
    assert!(!result.unwrap().nfs_export);

    let (result, _) = resolved(upper(|c| {
        c.set_nfs_export(true);
        c.set_index(false);
    }));
    assert_eq!(result, Err(Conflict::NfsExportIndex));

    // Without an upper layer: only if no redirect is followed.
    let (result, notes) = resolved(lower_only(|c| c.set_nfs_export(true)));
    assert_eq!(notes, [Note::NfsExportNeedsNoFollow]);
    assert!(!result.unwrap().nfs_export);
    let (result, notes) = resolved(lower_only(|c| {
        c.set_nfs_export(true);
        redirect(c, RedirectMode::NoFollow);
    }));
    assert_eq!(notes, [Note::IndexOnByNfsExport]);
    assert!(result.unwrap().nfs_export);
    // index=on is forgotten there, and so contradicts nothing.
    let (result, notes) = resolved(lower_only(|c| {
        c.set_nfs_export(true);
        c.set_index(true);
        redirect(c, RedirectMode::NoFollow);
    }));
    assert_eq!(notes, [Note::IndexWithoutUpper, Note::IndexOnByNfsExport]);
    assert!(result.unwrap().nfs_export);
    // index=off is not.
    let (result, _) = resolved(lower_only(|c| {
        c.set_nfs_export(true);
        c.set_index(false);
        redirect(c, RedirectMode::NoFollow);
    }));
    assert_eq!(result, Err(Conflict::NfsExportIndex));
}

#[test]
fn nfs_export_excludes_metacopy() {
    let both = |change: fn(&mut Config)| {
        resolved(upper(|c| {
            c.redirect_dir = RedirectMode::On;
            c.index = true;
            c.nfs_export = true;
            c.metacopy = true;
            change(c);
        }))
    };
    let (result, _) = both(|c| {
        c.set_nfs_export(true);
        c.set_metacopy(true);
    });
    assert_eq!(result, Err(Conflict::NfsExportMetacopy));

    let (result, notes) = both(|c| c.set_metacopy(true));
    assert_eq!(notes, [Note::NfsExportOffByMetacopy]);
    assert!(!result.unwrap().nfs_export);

    for verity in [Verity::On, Verity::Require] {
        let (result, notes) = resolved(upper(|c| {
            c.redirect_dir = RedirectMode::On;
            c.index = true;
            c.set_nfs_export(true);
            c.metacopy = true;
            c.verity = verity;
        }));
        assert_eq!(notes, [Note::NfsExportOffByVerity(verity)]);
        assert!(!result.unwrap().nfs_export);
    }

    for change in [|_: &mut Config| (), |c: &mut Config| c.set_nfs_export(true)] {
        let (result, notes) = both(change);
        assert_eq!(notes, [Note::MetacopyOffByNfsExport]);
        assert!(!result.unwrap().metacopy);
    }
}

#[test]
fn userxattr_excludes_redirects_and_metacopy() {
    for mode in [RedirectMode::Follow, RedirectMode::On] {
        let (result, _) = resolved(upper(|c| {
            c.userxattr = true;
            redirect(c, mode);
        }));
        assert_eq!(result, Err(Conflict::UserxattrRedirect(mode)));
    }
    let (result, _) = resolved(upper(|c| {
        c.userxattr = true;
        c.set_metacopy(true);
    }));
    assert_eq!(result, Err(Conflict::UserxattrMetacopy));

    let (result, notes) = resolved(upper(|c| {
        c.userxattr = true;
        c.metacopy = true;
        c.redirect_dir = RedirectMode::On;
    }));
    assert_eq!(
        notes,
        [Note::RedirectOffByUserxattr, Note::MetacopyOffByUserxattr]
    );
    let config = result.unwrap();
    assert_eq!(config.redirect_dir, RedirectMode::NoFollow);
    assert!(!config.metacopy);
}

#[test]
fn an_unprivileged_mounter_may_not_ask_for_trusted_xattrs() {
    type Change = fn(&mut Config);
    let table: &[(Change, Conflict)] = &[
        (
            |c| redirect(c, RedirectMode::On),
            Conflict::RedirectNotPermitted,
        ),
        (
            |c| redirect(c, RedirectMode::Off),
            Conflict::RedirectNotPermitted,
        ),
        (|c| c.set_metacopy(true), Conflict::MetacopyNotPermitted),
        (|c| c.verity = Verity::On, Conflict::VerityNotPermitted),
        (|c| c.data_layers = 1, Conflict::DataLayersNotPermitted),
    ];
    let caps = Caps { privileged: false };
    for (change, expected) in table {
        let mut config = upper(change);
        let result = resolve(&mut config, caps, &mut |_| ());
        assert_eq!(result, Err(*expected));
        assert_eq!(expected.errno_class(), ErrnoClass::NotPermitted);
    }
    // Defaults are not asked for; they fail softly later.
    let mut config = upper(|c| {
        c.redirect_dir = RedirectMode::On;
        c.metacopy = true;
        c.set_index(true);
    });
    assert_eq!(resolve(&mut config, caps, &mut |_| ()), Ok(()));
    // With userxattr none of it is needed.
    let mut config = upper(|c| {
        c.userxattr = true;
        c.verity = Verity::On;
        c.data_layers = 1;
    });
    assert_eq!(resolve(&mut config, caps, &mut |_| ()), Ok(()));
}

/// Every combination of what `resolve` looks at.
fn every_config() -> impl Iterator<Item = (Config, Caps)> {
    (0u32..3 * 3 * 3 * 4 * (1 << 13)).map(|number| {
        let mut rest = number;
        let mut choose = |count: u32| {
            let choice = rest % count;
            rest /= count;
            choice as usize
        };
        let mut config = Config::new(&Defaults::STOCK);
        config.redirect_dir = [
            RedirectMode::Follow,
            RedirectMode::NoFollow,
            RedirectMode::On,
        ][choose(3)];
        config.verity = [Verity::Off, Verity::On, Verity::Require][choose(3)];
        config.fsync = [Fsync::Volatile, Fsync::Auto, Fsync::Strict][choose(3)];
        config.uuid = [Uuid::Off, Uuid::Null, Uuid::Auto, Uuid::On][choose(4)];
        let mut flag = || choose(2) == 1;
        config.upper = flag();
        config.work = flag();
        config.index = flag();
        config.nfs_export = flag();
        config.metacopy = flag();
        config.userxattr = flag();
        config.given.redirect_dir = flag();
        config.given.index = flag();
        config.given.nfs_export = flag();
        config.given.metacopy = flag();
        config.data_layers = usize::from(flag());
        let privileged = flag();
        (config, Caps { privileged })
    })
}

#[test]
fn every_combination_is_consistent_or_refused() {
    for (before, caps) in every_config() {
        let mut after = before;
        let mut notes = Vec::new();
        match resolve(&mut after, caps, &mut |note| notes.push(note)) {
            Ok(()) => {
                assert!(!after.metacopy || after.makes_redirects(), "{before:?}");
                assert!(!after.nfs_export || after.index, "{before:?}");
                assert!(!(after.nfs_export && after.metacopy), "{before:?}");
                if after.userxattr {
                    assert!(!after.follows_redirects() && !after.metacopy, "{before:?}");
                }
                if !after.upper {
                    assert!(!after.work && after.syncs(), "{before:?}");
                    assert!(after.uuid != Uuid::On, "{before:?}");
                    assert!(
                        !after.nfs_export || !after.follows_redirects(),
                        "{before:?}"
                    );
                }
                if !caps.privileged && !after.userxattr {
                    assert_eq!(after.data_layers, 0, "{before:?}");
                    assert_eq!(after.verity, Verity::Off, "{before:?}");
                    assert!(!(before.given.metacopy && after.metacopy), "{before:?}");
                }
                // Nothing but what this is about changes.
                assert_eq!(after.verity, before.verity);
                assert_eq!(after.upper, before.upper);
                assert_eq!(after.userxattr, before.userxattr);
                assert_eq!(after.xino, before.xino);
                // An option is on because it was, or because another one needs it.
                assert!(before.metacopy || !after.metacopy);
                assert!(before.nfs_export || !after.nfs_export);
                // Doing it again changes nothing.
                let mut again = after;
                assert_eq!(resolve(&mut again, caps, &mut |_| ()), Ok(()), "{before:?}");
                assert_eq!(again, after, "{before:?}");
            }
            Err(conflict) => {
                assert!(!conflict.message().is_empty());
                let given = before.given;
                match conflict {
                    Conflict::MetacopyRedirect(_) => assert!(given.metacopy && given.redirect_dir),
                    Conflict::NfsExportIndex => assert!(given.nfs_export && given.index),
                    Conflict::NfsExportMetacopy => assert!(given.nfs_export && given.metacopy),
                    Conflict::UserxattrRedirect(_) => {
                        assert!(before.userxattr && given.redirect_dir)
                    }
                    Conflict::UserxattrMetacopy => assert!(before.userxattr && given.metacopy),
                    Conflict::RedirectNotPermitted
                    | Conflict::MetacopyNotPermitted
                    | Conflict::VerityNotPermitted
                    | Conflict::DataLayersNotPermitted => {
                        assert!(!caps.privileged && !before.userxattr)
                    }
                }
                let permitted = conflict.errno_class() == ErrnoClass::NotPermitted;
                assert!(!permitted || !caps.privileged);
            }
        }
        for note in notes {
            assert!(!note.message().is_empty());
            assert!(!note.message().ends_with('\n'));
        }
    }
}

#[test]
fn messages_name_the_value_that_was_given() {
    for (note, text) in [
        (
            Note::MetacopyOffByRedirect(RedirectMode::Follow),
            "redirect_dir=follow",
        ),
        (
            Note::MetacopyOffByRedirect(RedirectMode::NoFollow),
            "redirect_dir=nofollow",
        ),
        (Note::NfsExportOffByVerity(Verity::On), "verity=on"),
        (
            Note::NfsExportOffByVerity(Verity::Require),
            "verity=require",
        ),
    ] {
        assert!(note.message().ends_with(text), "{}", note.message());
        assert!(!note.is_silent());
    }
    for mode in [RedirectMode::Follow, RedirectMode::On] {
        let message = Conflict::UserxattrRedirect(mode).message();
        assert!(message.ends_with(&format!("redirect_dir={}", mode.name())));
    }
}

#[test]
fn only_what_differs_from_the_defaults_is_shown() {
    let show = |config: &Config, defaults: &Defaults, same_fs: bool| {
        let mut line = String::new();
        show_options(config, defaults, same_fs, &mut |name, value| {
            line.push(',');
            line.push_str(name);
            if let Some(value) = value {
                line.push('=');
                line.push_str(value);
            }
        });
        line
    };
    for defaults in [Defaults::STOCK, ALL_ON] {
        assert_eq!(show(&Config::new(&defaults), &defaults, false), "");
    }
    let config = Config {
        default_permissions: true,
        redirect_dir: RedirectMode::On,
        index: true,
        uuid: Uuid::Null,
        nfs_export: true,
        xino: Xino::On,
        metacopy: true,
        fsync: Fsync::Volatile,
        userxattr: true,
        verity: Verity::Require,
        ..Config::new(&Defaults::STOCK)
    };
    assert_eq!(
        show(&config, &Defaults::STOCK, false),
        ",default_permissions,redirect_dir=on,index=on,uuid=null,nfs_export=on,xino=on,\
         metacopy=on,fsync=volatile,userxattr,verity=require"
    );
    assert!(!show(&config, &Defaults::STOCK, true).contains("xino"));
    // What is off shows only where it is on by default.
    assert_eq!(
        show(&Config::new(&Defaults::STOCK), &ALL_ON, false),
        ",redirect_dir=follow,index=off,xino=off,metacopy=off"
    );
}
