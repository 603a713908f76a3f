// SPDX-License-Identifier: GPL-2.0
//! Asynchronous I/O as the kernel has it (`io_submit`).

use super::cvt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A kernel AIO context.
pub struct Aio {
    ctx: libc::c_ulong,
}

/// `struct iocb`.
#[repr(C)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    reqprio: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    r2: u64,
    flags: u32,
    resfd: u32,
}

/// One AIO request.
pub enum Io<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
    Fsync,
}

impl Aio {
    pub fn new(n: u32) -> io::Result<Self> {
        let mut ctx: libc::c_ulong = 0;
        // SAFETY: `ctx` is zero, as `io_setup` wants it, and lives through the call.
        cvt(unsafe { libc::syscall(libc::SYS_io_setup, n, &mut ctx) })?;
        Ok(Self { ctx })
    }

    /// Submits all requests (with their offsets) at once, waits for all, returns the results.
    pub fn run(&self, f: &File, reqs: &mut [(i64, Io<'_>)]) -> io::Result<Vec<i64>> {
        let mut cbs: Vec<Iocb> = reqs
            .iter_mut()
            .enumerate()
            .map(|(i, (offset, io))| {
                let (opcode, buf, nbytes) = match io {
                    Io::Read(b) => (0, b.as_mut_ptr() as u64, b.len() as u64),
                    Io::Write(b) => (1, b.as_ptr() as u64, b.len() as u64),
                    Io::Fsync => (2, 0, 0),
                };
                Iocb {
                    data: i as u64,
                    key: 0,
                    rw_flags: 0,
                    opcode,
                    reqprio: 0,
                    fd: f.as_raw_fd() as u32,
                    buf,
                    nbytes,
                    offset: *offset,
                    r2: 0,
                    flags: 0,
                    resfd: 0,
                }
            })
            .collect();
        let ptrs: Vec<*mut Iocb> = cbs.iter_mut().map(|c| c as *mut Iocb).collect();
        let n = ptrs.len();
        // SAFETY: control blocks and buffers live until all events have come, below.
        let done = cvt(unsafe { libc::syscall(libc::SYS_io_submit, self.ctx, n, ptrs.as_ptr()) })?;
        let mut ev = vec![[0u64; 4]; n];
        let mut res = vec![i64::MIN; n];
        let mut got = 0;
        while got < done as usize {
            // SAFETY: `ev` has room for `n` events.
            let k = cvt(unsafe {
                libc::syscall(libc::SYS_io_getevents, self.ctx, 1, n, ev.as_mut_ptr(), 0)
            })? as usize;
            for e in &ev[..k] {
                res[e[0] as usize] = e[2] as i64;
            }
            got += k;
        }
        Ok(res)
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.ctx) };
    }
}
