// SPDX-License-Identifier: GPL-2.0
//! Who held the object before: descriptors, mappings, watches.

use super::*;

cases! { "copy_up";
    descriptor_opened_before_reads_new_data;
    descriptor_opened_before_stats_new_size;
    descriptor_opened_before_keeps_its_offset;
    descriptor_opened_before_sees_truncation;
    private_mapping_before;
    opened_before_then_unlinked;
    cwd_in_lower_dir;
    inotify_survives;
}

fn descriptor_opened_before_reads_new_data(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "old data")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    check_eq!(f::pread(&h, 0, 20)?, b"old data");
    f::write(o.m("a"), "NEW DATA, longer")?;
    check_eq!(f::pread(&h, 0, 20)?, b"NEW DATA, longer");
    f::append(o.m("a"), "!")?;
    check_eq!(f::pread(&h, 0, 20)?, b"NEW DATA, longer!");
    Ok(())
}

fn descriptor_opened_before_stats_new_size(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "old")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    let before = h.metadata()?;
    f::append(o.m("a"), "+new")?;
    let after = h.metadata()?;
    check_eq!(after.size(), 7);
    check_eq!(
        (after.dev(), after.ino()),
        (before.dev(), before.ino()),
        "identity"
    );
    Ok(())
}

fn descriptor_opened_before_keeps_its_offset(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "0123456789")?;
    o.mount()?;
    let mut h = f::open_ro(o.m("a"))?;
    let mut b = [0; 4];
    h.read_exact(&mut b)?;
    let w = f::open_rw(o.m("a"))?;
    f::pwrite(&w, 4, "NEW")?;
    check_eq!(h.stream_position()?, 4);
    check_eq!(f::drain(&mut h)?, b"NEW789");
    h.seek(SeekFrom::End(-2))?;
    check_eq!(f::drain(&mut h)?, b"89");
    Ok(())
}

fn descriptor_opened_before_sees_truncation(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "0123456789")?;
    o.mount()?;
    let mut h = f::open_ro(o.m("a"))?;
    f::truncate(o.m("a"), 3)?;
    check_eq!(f::drain(&mut h)?, b"012");
    f::truncate(o.m("a"), 5)?;
    check_eq!(f::drain(&mut h)?, b"\0\0");
    Ok(())
}

fn private_mapping_before(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), vec![b'o'; 8192])?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    let mut m = sys::map(&h, 8192, false)?;
    m[0] = b'p';
    f::write(o.m("a"), vec![b'n'; 8192])?;
    check_eq!(
        (m[0], m[4096]),
        (b'p', b'o'),
        "a mapping made before shows the lower file"
    );
    let m2 = sys::map(&h, 8192, false)?;
    check_eq!(
        m2[0],
        b'o',
        "so does one made later of a descriptor opened before"
    );
    let h2 = f::open_ro(o.m("a"))?;
    let m3 = sys::map(&h2, 8192, false)?;
    check_eq!(m3[0], b'n', "a descriptor opened after maps the upper file");
    Ok(())
}

fn opened_before_then_unlinked(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    f::write(o.low("b"), "lower")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    f::unlink(o.m("a"))?;
    check_eq!(f::pread(&h, 0, 9)?, b"lower");
    let h = f::open_rw(o.m("b"))?;
    f::unlink(o.m("b"))?;
    f::pwrite(&h, 5, "+more")?;
    check_eq!(f::pread(&h, 0, 20)?, b"lower+more");
    check_eq!(h.metadata()?.nlink(), 0);
    Ok(())
}

fn cwd_in_lower_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    o.mount()?;
    std::env::set_current_dir(o.m("d/e"))?;
    f::append("a", "y")?;
    f::write("b", "new")?;
    f::write("../c", "new")?;
    check_eq!(f::ls(".")?, ["a", "b"]);
    check_eq!(f::ls("..")?, ["c", "e"]);
    check_eq!(f::text(o.up("d/e/a"))?, "xy");
    std::env::set_current_dir(&t.dir)?;
    Ok(())
}

fn inotify_survives(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let mut w = sys::Inotify::watch(&o.m("a"), libc::IN_MODIFY)?;
    f::append(o.m("a"), "y")?;
    check_eq!(
        w.events() & libc::IN_MODIFY,
        libc::IN_MODIFY,
        "event of the write"
    );
    Ok(())
}
