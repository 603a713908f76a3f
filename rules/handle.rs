// SPDX-License-Identifier: GPL-2.0

//! File handle records: the value of `overlay.origin` and `overlay.upper`, the handle that NFS
//! export gives out, and the name of an entry in the index directory.
//!
//! Source of the facts: `struct ovl_fb` and `struct ovl_fh` in `fs/overlayfs/overlayfs.h`,
//! `ovl_check_fb_len` and `ovl_get_index_name_fh` in `fs/overlayfs/namei.c`,
//! `ovl_encode_real_fh` in `fs/overlayfs/copy_up.c`, `ovl_fid_to_fh` in `fs/overlayfs/export.c`.
//!
//! A record is a header of [`HEADER_LEN`] bytes (version, magic, length, flags, type of the file
//! identifier, UUID of the file system) and the file identifier of the real object. On the wire
//! three bytes precede it, so that the file identifier is aligned to four.

#![forbid(unsafe_code)]

use super::store::{
    NoMemory,
    Store, //
};

/// The bytes of a record before the file identifier.
pub(crate) const HEADER_LEN: usize = 21;

/// The bytes that precede a record on the wire.
pub(crate) const WIRE_PADDING: usize = 3;

/// The longest file identifier in bytes (`MAX_HANDLE_SZ` in `include/linux/exportfs.h`).
pub(crate) const MAX_FID_LEN: usize = 128;

/// [`MAX_FID_LEN`] in 32-bit words.
pub(crate) const MAX_FID_WORDS: usize = 32;

/// The type of an exported handle whose record is not aligned, as old kernels gave it out.
pub(crate) const FILEID_V0: u8 = 0xfb;

/// The type of an exported handle in wire form.
pub(crate) const FILEID_V1: u8 = 0xf8;

const VERSION: u8 = 0;
const MAGIC: u8 = 0xfb;

/// The file identifier was made by a big-endian machine.
pub(crate) const FLAG_BIG_ENDIAN: u8 = 1 << 0;
/// The file identifier can be decoded by any machine.
pub(crate) const FLAG_ANY_ENDIAN: u8 = 1 << 1;
/// The real object is in the upper layer.
pub(crate) const FLAG_PATH_UPPER: u8 = 1 << 2;

const FLAGS_KNOWN: u8 = FLAG_BIG_ENDIAN | FLAG_ANY_ENDIAN | FLAG_PATH_UPPER;
const FLAG_CPU_ENDIAN: u8 = if cfg!(target_endian = "big") {
    FLAG_BIG_ENDIAN
} else {
    0
};

/// A record that this machine can use.
///
/// Two records are equal exactly if their encodings are, byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle<'a> {
    /// The type of the file identifier, as the real file system's `encode_fh` returned it.
    pub(crate) fid_type: u8,
    /// `FLAG_*`.
    pub(crate) flags: u8,
    /// The UUID of the real file system; null with `uuid=off`.
    pub(crate) uuid: [u8; 16],
    /// The file identifier: a sequence of 32-bit words in this machine's byte order.
    pub(crate) fid: &'a [u8],
}

/// What the bytes of a record turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// No bytes at all: the object was copied up from an origin that has no handle.
    Empty,
    /// A newer version, an unknown flag or the other byte order: the origin is unknown, and that is
    /// no error (C returns `ENODATA`).
    Unsupported,
    /// Not a record (C returns `EINVAL`, and logs the bytes).
    Invalid,
    /// A record to decode.
    Valid(Handle<'a>),
}

/// Why a record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncodeError {
    /// The storage could not grow.
    NoMemory,
    /// The file identifier is longer than [`MAX_FID_LEN`]; the module reports `EIO`.
    TooLong,
}

impl From<NoMemory> for EncodeError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Reads the value of an xattr. Bytes beyond the length that the record states are ignored.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    if bytes.is_empty() {
        return Parsed::Empty;
    }
    parse_record(bytes).unwrap_or(Parsed::Invalid)
}

/// `None` is an invalid record.
fn parse_record(bytes: &[u8]) -> Option<Parsed<'_>> {
    let (header, after) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let ([version, magic, len, flags, fid_type], uuid) = header.split_first_chunk::<5>()?;
    let stated = usize::from(*len);
    if stated > bytes.len() || *magic != MAGIC {
        return None;
    }
    if *version > VERSION || flags & !FLAGS_KNOWN != 0 {
        return Some(Parsed::Unsupported);
    }
    if flags & FLAG_ANY_ENDIAN == 0 && flags & FLAG_BIG_ENDIAN != FLAG_CPU_ENDIAN {
        return Some(Parsed::Unsupported);
    }
    // One that states less than its own header is one without a file identifier.
    let fid_len = stated.saturating_sub(HEADER_LEN);
    Some(Parsed::Valid(Handle {
        fid_type: *fid_type,
        flags: *flags,
        uuid: *uuid.first_chunk::<16>()?,
        fid: after.get(..fid_len)?,
    }))
}

/// Reads a handle that comes from an NFS client or `open_by_handle_at(2)`.
///
/// `fileid_type` is the type given along with it: in the current form the record follows the
/// padding, in the old one the padding is at the end. Never [`Parsed::Empty`].
pub(crate) fn parse_wire(bytes: &[u8], fileid_type: u8) -> Parsed<'_> {
    let record = match fileid_type {
        FILEID_V1 => bytes.get(WIRE_PADDING..),
        FILEID_V0 => bytes
            .len()
            .checked_sub(WIRE_PADDING)
            .and_then(|len| bytes.get(..len)),
        _ => None,
    };
    record.and_then(parse_record).unwrap_or(Parsed::Invalid)
}

impl<'a> Handle<'a> {
    /// A record made on this machine. `fid` is what `encode_fh` wrote, `uuid` is null with
    /// `uuid=off`, `upper` tells where the real object is.
    pub(crate) fn new(fid_type: u8, upper: bool, uuid: [u8; 16], fid: &'a [u8]) -> Self {
        let path = if upper { FLAG_PATH_UPPER } else { 0 };
        Self {
            fid_type,
            flags: FLAG_CPU_ENDIAN | path,
            uuid,
            fid,
        }
    }

    /// Whether the real object is in the upper layer.
    pub(crate) fn is_upper(&self) -> bool {
        self.flags & FLAG_PATH_UPPER != 0
    }

    /// Whether the record can belong to a layer on a file system with this UUID; with `uuid=off`
    /// (`origin_uuid` false) records carry a null one.
    pub(crate) fn belongs_to(&self, uuid: &[u8; 16], origin_uuid: bool) -> bool {
        if origin_uuid {
            self.uuid == *uuid
        } else {
            self.uuid == [0; 16]
        }
    }

    /// Copies the file identifier to 32-bit words, as `exportfs_decode_fh` takes it. Returns the
    /// number of words; bytes after the last whole word are left out.
    ///
    /// `None` if `words` is too short; [`MAX_FID_WORDS`] are enough for whatever this kernel made.
    pub(crate) fn fid_words(&self, words: &mut [u32]) -> Option<usize> {
        let mut rest = self.fid;
        let mut words = words.iter_mut();
        let mut count: usize = 0;
        while let Some((chunk, after)) = rest.split_first_chunk::<4>() {
            *words.next()? = u32::from_ne_bytes(*chunk);
            count = count.wrapping_add(1);
            rest = after;
        }
        Some(count)
    }

    /// The first bytes of the record.
    fn header(&self) -> Result<[u8; 5], EncodeError> {
        if self.fid.len() > MAX_FID_LEN {
            return Err(EncodeError::TooLong);
        }
        let len = u8::try_from(self.record_len()).map_err(|_| EncodeError::TooLong)?;
        Ok([VERSION, MAGIC, len, self.flags, self.fid_type])
    }

    /// Appends the record to `out`, as it is stored in an xattr.
    ///
    /// On an error `out` may hold a part of it.
    pub(crate) fn encode(&self, out: &mut impl Store<u8>) -> Result<(), EncodeError> {
        out.try_extend(&self.header()?)?;
        out.try_extend(&self.uuid)?;
        out.try_extend(self.fid)?;
        Ok(())
    }

    /// Appends the handle to `out` that NFS export gives out with the type [`FILEID_V1`]. Its
    /// length is a multiple of four if that of the file identifier is.
    ///
    /// On an error `out` may hold a part of it.
    pub(crate) fn encode_wire(&self, out: &mut impl Store<u8>) -> Result<(), EncodeError> {
        out.try_extend(&[0; WIRE_PADDING])?;
        self.encode(out)
    }

    /// The length of the record in bytes.
    pub(crate) fn record_len(&self) -> usize {
        self.fid.len().saturating_add(HEADER_LEN)
    }

    /// The length of the name of the entry in the index directory.
    pub(crate) fn index_name_len(&self) -> usize {
        self.record_len().saturating_mul(2)
    }

    /// Appends the name of the entry in the index directory to `out`: the record in hexadecimal.
    ///
    /// On an error `out` may hold a part of it.
    pub(crate) fn index_name(&self, out: &mut impl Store<u8>) -> Result<(), EncodeError> {
        let header = self.header()?;
        for &byte in header.iter().chain(&self.uuid).chain(self.fid) {
            out.try_extend(&[hex_digit(byte.wrapping_shr(4)), hex_digit(byte)])?;
        }
        Ok(())
    }
}

/// Why the name of an entry in the index directory was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexNameError {
    /// The storage could not grow.
    NoMemory,
    /// The name is too short for a record or not hexadecimal; the module reports `EINVAL`.
    Invalid,
}

/// Appends the record to `out` that the name of an index entry stands for, to be given to
/// [`parse`].
///
/// Both cases of hexadecimal digits are read; an odd last digit is ignored, as in C. On an error
/// `out` may hold a part of the record.
pub(crate) fn decode_index_name(
    name: &[u8],
    out: &mut impl Store<u8>,
) -> Result<(), IndexNameError> {
    if name.len() < HEADER_LEN.saturating_mul(2) {
        return Err(IndexNameError::Invalid);
    }
    let mut rest = name;
    while let Some(([high, low], after)) = rest.split_first_chunk::<2>() {
        let byte = hex_value(*high)
            .zip(hex_value(*low))
            .map(|(high, low)| high.wrapping_shl(4) | low)
            .ok_or(IndexNameError::Invalid)?;
        out.try_push(byte).map_err(|_| IndexNameError::NoMemory)?;
        rest = after;
    }
    Ok(())
}

/// The lower four bits as a lower-case digit.
const fn hex_digit(nibble: u8) -> u8 {
    match nibble & 0xf {
        digit @ 0..=9 => b'0'.wrapping_add(digit),
        letter => b'a'.wrapping_add(letter).wrapping_sub(10),
    }
}

/// The value of a hexadecimal digit.
const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(digit.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}
