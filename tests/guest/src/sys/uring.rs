// SPDX-License-Identifier: GPL-2.0
//! `io_uring`, one request at a time.

use super::cvt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapMut, MmapOptions};

/// What a request is to do.
pub mod op {
    pub const READV: u8 = 1;
    pub const FSYNC: u8 = 3;
    pub const FALLOCATE: u8 = 17;
    pub const OPENAT: u8 = 18;
    pub const CLOSE: u8 = 19;
    pub const STATX: u8 = 21;
    pub const READ: u8 = 22;
    pub const WRITE: u8 = 23;
    pub const RENAMEAT: u8 = 35;
    pub const UNLINKAT: u8 = 36;
    pub const MKDIRAT: u8 = 37;
    pub const SYMLINKAT: u8 = 38;
    pub const LINKAT: u8 = 39;
    pub const SETXATTR: u8 = 42;
    pub const GETXATTR: u8 = 44;
    pub const FTRUNCATE: u8 = 55;
}

/// One request: the fields of `struct io_uring_sqe` that the operations use.
#[derive(Clone, Copy, Default)]
pub struct Request {
    pub op: u8,
    pub fd: i32,
    pub off: u64,
    pub addr: u64,
    pub len: u32,
    pub flags: u32,
    pub addr3: u64,
}

/// A ring.
pub struct Uring {
    fd: File,
    ring: MmapMut,
    sqes: MmapMut,
    params: [u32; 30],
    /// Have a kernel thread do it, and not this one.
    pub elsewhere: bool,
}

impl Uring {
    pub fn new(elsewhere: bool) -> io::Result<Self> {
        let mut params = [0u32; 30];
        // SAFETY: the parameters have the size of `struct io_uring_params`; a new descriptor.
        let fd = unsafe {
            let n = cvt(libc::syscall(
                libc::SYS_io_uring_setup,
                4,
                params.as_mut_ptr(),
            ))?;
            File::from_raw_fd(n as i32)
        };
        // Both rings are in one mapping: the completions come last.
        let len = params[25] as usize + params[1] as usize * 16;
        let len = len.max(params[16] as usize + params[0] as usize * 4);
        let map = |offset: u64, len: usize| {
            // SAFETY: the kernel's memory of this ring, which nobody else maps.
            unsafe { MmapOptions::new().offset(offset).len(len).map_mut(&fd) }
        };
        let ring = map(0, len)?;
        let sqes = map(0x1000_0000, params[0] as usize * 64)?;
        Ok(Self {
            fd,
            ring,
            sqes,
            params,
            elsewhere,
        })
    }

    /// The counter whose offset is this parameter.
    fn counter(&self, param: usize) -> &AtomicU32 {
        let at = self.params[param] as usize;
        let bytes = &self.ring[at..at + 4];
        // SAFETY: four aligned bytes in the shared mapping, which both sides access atomically.
        unsafe { AtomicU32::from_ptr(bytes.as_ptr().cast_mut().cast()) }
    }

    /// Does one request and waits for its result. What `addr` and the others point to has to
    /// live until then, which it does: this returns after that.
    pub fn run(&mut self, r: &Request) -> io::Result<i32> {
        let sqe = &mut self.sqes[..64];
        sqe.fill(0);
        sqe[0] = r.op;
        sqe[1] = if self.elsewhere { 1 << 4 } else { 0 };
        sqe[4..8].copy_from_slice(&r.fd.to_ne_bytes());
        sqe[8..16].copy_from_slice(&r.off.to_ne_bytes());
        sqe[16..24].copy_from_slice(&r.addr.to_ne_bytes());
        sqe[24..28].copy_from_slice(&r.len.to_ne_bytes());
        sqe[28..32].copy_from_slice(&r.flags.to_ne_bytes());
        sqe[48..56].copy_from_slice(&r.addr3.to_ne_bytes());
        let tail = self.counter(11).load(Ordering::Acquire);
        let slot = self.params[16] as usize + 4 * (tail & (self.params[0] - 1)) as usize;
        self.ring[slot..slot + 4].fill(0);
        self.counter(11)
            .store(tail.wrapping_add(1), Ordering::Release);
        // SAFETY: the request is complete, and what it points to outlives the wait.
        cvt(unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd.as_raw_fd(),
                1,
                1,
                1,
                std::ptr::null::<u8>(),
                0,
            )
        })?;
        let head = self.counter(20).load(Ordering::Acquire);
        let at = self.params[25] as usize + 16 * (head & (self.params[1] - 1)) as usize + 8;
        let res = i32::from_ne_bytes(self.ring[at..at + 4].try_into().expect("four bytes"));
        self.counter(20)
            .store(head.wrapping_add(1), Ordering::Release);
        if res < 0 {
            return Err(io::Error::from_raw_os_error(-res));
        }
        Ok(res)
    }
}
