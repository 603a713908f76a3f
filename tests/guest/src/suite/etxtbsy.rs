// SPDX-License-Identifier: GPL-2.0
//! A running program cannot be written to, and what is open for writing cannot be run.

use super::prelude::*;

cases! { "etxtbsy";
    write_to_running_lower;
    write_to_running_upper;
    write_to_running_copied_up;
    truncate_running;
    remove_and_rename_running;
    run_what_is_open_for_writing;
    after_it_ends;
    attributes_of_running;
}

/// A program that runs until it is dropped.
struct Running(std::process::Child);

impl Running {
    fn start(p: PathBuf) -> R<Self> {
        let c = std::process::Command::new(&p)
            .arg("--wait")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let mut c = f::ctx(c, "run", &p)?;
        // It says a word when it runs.
        let mut b = [0; 1];
        c.stdout.as_mut().unwrap().read_exact(&mut b)?;
        Ok(Self(c))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn with_prog(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    let me = f::read("/proc/self/exe")?;
    for p in [o.low("lower"), o.low("copied"), o.up("upper")] {
        f::write(&p, &me)?;
        f::chmod(&p, 0o755)?;
    }
    o.mount()?;
    f::utimes(o.m("copied"), (1, 0), (1, 0))?;
    Ok(o)
}

fn cannot_write(o: &Ovl, n: &str) -> R {
    let r = Running::start(o.m(n))?;
    check_err!(f::open(o.m(n), libc::O_WRONLY, 0), ETXTBSY);
    check_err!(f::open(o.m(n), libc::O_RDWR, 0), ETXTBSY);
    check_err!(f::open(o.m(n), libc::O_WRONLY | libc::O_TRUNC, 0), ETXTBSY);
    drop(r);
    Ok(())
}

fn write_to_running_lower(t: &T) -> R {
    let o = with_prog(t)?;
    cannot_write(&o, "lower")?;
    check!(!o.in_upper("lower")?, "a refused open does not copy up");
    Ok(())
}

fn write_to_running_upper(t: &T) -> R {
    cannot_write(&with_prog(t)?, "upper")
}

fn write_to_running_copied_up(t: &T) -> R {
    cannot_write(&with_prog(t)?, "copied")
}

fn truncate_running(t: &T) -> R {
    let o = with_prog(t)?;
    for n in ["lower", "upper", "copied"] {
        let _r = Running::start(o.m(n))?;
        check_err!(f::truncate(o.m(n), 0), ETXTBSY, "truncate of running {n}");
    }
    Ok(())
}

fn remove_and_rename_running(t: &T) -> R {
    let o = with_prog(t)?;
    for n in ["lower", "upper", "copied"] {
        let _r = Running::start(o.m(n))?;
        f::rename(o.m(n), o.m("moved"))?;
        f::unlink(o.m("moved"))?;
        f::write(o.m(n), "another file of the name")?;
    }
    Ok(())
}

fn run_what_is_open_for_writing(t: &T) -> R {
    let o = with_prog(t)?;
    for n in ["lower", "upper", "copied"] {
        let h = f::open(o.m(n), libc::O_WRONLY, 0)?;
        check_err!(
            sys::run(&o.m(n), &["--scale=x"]),
            ETXTBSY,
            "run {n}, open for writing"
        );
        drop(h);
        check_eq!(sys::run(&o.m(n), &["--scale=x"])?, 2, "run {n}, closed");
    }
    Ok(())
}

fn after_it_ends(t: &T) -> R {
    let o = with_prog(t)?;
    for n in ["lower", "upper", "copied"] {
        drop(Running::start(o.m(n))?);
        f::append(o.m(n), "tail")?;
    }
    Ok(())
}

fn attributes_of_running(t: &T) -> R {
    let o = with_prog(t)?;
    let _r = Running::start(o.m("lower"))?;
    f::chmod(o.m("lower"), 0o700)?;
    f::utimes(o.m("lower"), (1, 0), (1, 0))?;
    check!(
        o.in_upper("lower")?,
        "attributes can change, and that copies up"
    );
    check_err!(
        f::open(o.m("lower"), libc::O_WRONLY, 0),
        ETXTBSY,
        "after the copy-up"
    );
    Ok(())
}
