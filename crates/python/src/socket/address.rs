//! Addresses: the kernel's `sockaddr` and Python's tuples, for the three families that matter.
//!
//! | family   | Python                               |
//! |----------|--------------------------------------|
//! | AF_INET  | `(host, port)`                       |
//! | AF_INET6 | `(host, port, flowinfo, scope_id)`   |
//! | AF_UNIX  | `str` path, or `bytes` if abstract   |
//!
//! Everything else (names to be resolved, odd spellings of addresses, rare families) is left to the
//! standard `_socket.socket`: `parse` answers None and nothing is lost but time.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::mem::{MaybeUninit, offset_of, size_of};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use libc::{sa_family_t, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

/// Room for the longest text of an IPv4 address.
const INET_ADDRESS_BYTES: usize = "255.255.255.255".len();
/// Room for the longest text of an IPv6 address, the final zero included.
const INET6_ADDRESS_BYTES: usize = 46;

unsafe extern "C" {
    fn inet_ntop(family: c_int, source: *const c_void, text: *mut c_char, size: socklen_t) -> *const c_char;
}

/// Room for any address, and how much of it the kernel filled.
pub(super) struct Address {
    storage: MaybeUninit<sockaddr_storage>,
    length: socklen_t,
}

/// Whether addresses of this family are made and read here.
pub(super) fn is_known_family(family: c_int) -> bool {
    matches!(family, libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX)
}

impl Address {
    /// Empty, for the kernel to fill.
    pub(super) fn new() -> Self {
        Address {
            storage: MaybeUninit::zeroed(),
            length: size_of::<sockaddr_storage>() as socklen_t,
        }
    }

    fn from<T>(address: T, length: usize) -> Self {
        assert!(length <= size_of::<T>() && size_of::<T>() <= size_of::<sockaddr_storage>());
        let mut result = Address {
            storage: MaybeUninit::zeroed(),
            length: length as socklen_t,
        };
        // SAFETY: sockaddr_storage is large enough (checked above) and aligned for every sockaddr.
        unsafe { result.storage.as_mut_ptr().cast::<T>().write(address) }
        result
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        self.storage.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        self.storage.as_mut_ptr().cast()
    }

    pub(super) fn length(&self) -> socklen_t {
        self.length
    }

    pub(super) fn length_mut(&mut self) -> &mut socklen_t {
        &mut self.length
    }

    /// Reads a Python address, if it is written in the plain form of its family.
    pub(super) fn parse(family: c_int, object: &Bound<'_, PyAny>) -> Option<Self> {
        match family {
            libc::AF_INET => parse_inet(object),
            libc::AF_INET6 => parse_inet6(object),
            libc::AF_UNIX => parse_unix(object),
            _ => None,
        }
    }

    /// What Python shows. None where the kernel gave no address; also for a family that is not known here.
    pub(super) fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.length == 0 {
            return Ok(py.None().into_bound(py));
        }
        // SAFETY: zeroed memory is a valid sockaddr_storage, and the kernel writes valid ones.
        let storage = unsafe { self.storage.assume_init_ref() };
        let storage: *const sockaddr_storage = storage;
        // SAFETY: the family says which structure it is; all of them fit and are aligned.
        unsafe {
            match c_int::from((*storage).ss_family) {
                libc::AF_INET => show_inet(py, &*storage.cast()),
                libc::AF_INET6 => show_inet6(py, &*storage.cast()),
                libc::AF_UNIX => show_unix(py, &*storage.cast(), self.length as usize),
                _ => Ok(py.None().into_bound(py)),
            }
        }
    }
}

fn parse_inet(object: &Bound<'_, PyAny>) -> Option<Address> {
    let (host, port) = host_and_port::<Ipv4Addr>(object, 2..=2)?;
    // SAFETY: a sockaddr_in is plain old data.
    let mut address: sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from(host).to_be();
    Some(Address::from(address, size_of::<sockaddr_in>()))
}

fn parse_inet6(object: &Bound<'_, PyAny>) -> Option<Address> {
    let (host, port) = host_and_port::<Ipv6Addr>(object, 2..=4)?;
    let tuple = object.cast_exact::<PyTuple>().ok()?;
    let number = |index: usize| -> Option<u32> {
        match tuple.get_item(index) {
            Ok(item) => item.cast_exact::<PyInt>().ok()?.extract().ok(),
            Err(_) => Some(0),
        }
    };
    let flow = number(2).filter(|flow| *flow <= 0xfffff)?;
    // SAFETY: a sockaddr_in6 is plain old data.
    let mut address: sockaddr_in6 = unsafe { std::mem::zeroed() };
    address.sin6_family = libc::AF_INET6 as sa_family_t;
    address.sin6_port = port.to_be();
    address.sin6_addr.s6_addr = host.octets();
    address.sin6_flowinfo = flow.to_be();
    address.sin6_scope_id = number(3)?;
    Some(Address::from(address, size_of::<sockaddr_in6>()))
}

fn host_and_port<Host: FromStr>(
    object: &Bound<'_, PyAny>,
    lengths: std::ops::RangeInclusive<usize>,
) -> Option<(Host, u16)> {
    let tuple = object.cast_exact::<PyTuple>().ok()?;
    if !lengths.contains(&tuple.len()) {
        return None;
    }
    let host = tuple.get_borrowed_item(0).ok()?;
    let host = host.cast_exact::<PyString>().ok()?.to_str().ok()?.parse().ok()?;
    let port = tuple.get_borrowed_item(1).ok()?;
    let port = port.cast_exact::<PyInt>().ok()?.extract().ok()?;
    Some((host, port))
}

fn parse_unix(object: &Bound<'_, PyAny>) -> Option<Address> {
    let path = match object.cast_exact::<PyString>() {
        Ok(text) => text.to_str().ok().filter(|text| text.is_ascii())?.as_bytes().to_vec(),
        Err(_) => object.cast_exact::<PyBytes>().ok()?.as_bytes().to_vec(),
    };
    // SAFETY: a sockaddr_un is plain old data.
    let mut address: sockaddr_un = unsafe { std::mem::zeroed() };
    let abstract_name = path.first() == Some(&0);
    // A path ends with a zero byte; an abstract name is its length.
    let space = address.sun_path.len() - usize::from(!abstract_name);
    if path.is_empty() || path.len() > space || (!abstract_name && path.contains(&0)) {
        return None;
    }
    address.sun_family = libc::AF_UNIX as sa_family_t;
    for (slot, byte) in address.sun_path.iter_mut().zip(&path) {
        *slot = *byte as libc::c_char;
    }
    let length = offset_of!(sockaddr_un, sun_path) + path.len() + usize::from(!abstract_name);
    Some(Address::from(address, length))
}

fn show_inet<'py>(py: Python<'py>, address: &sockaddr_in) -> PyResult<Bound<'py, PyAny>> {
    let mut text = [0; INET_ADDRESS_BYTES];
    let host = dotted(
        Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).octets(),
        &mut text,
    );
    Ok((host, u16::from_be(address.sin_port)).into_pyobject(py)?.into_any())
}

/// The text of an IPv4 address. The standard library's own way takes ten times as many instructions, for each datagram.
fn dotted(octets: [u8; 4], text: &mut [u8; INET_ADDRESS_BYTES]) -> &str {
    let mut length = 0;
    let mut add = |character| {
        text[length] = character;
        length += 1;
    };
    for (place, octet) in octets.into_iter().enumerate() {
        if place > 0 {
            add(b'.');
        }
        if octet >= 100 {
            add(b'0' + octet / 100);
        }
        if octet >= 10 {
            add(b'0' + octet / 10 % 10);
        }
        add(b'0' + octet % 10);
    }
    std::str::from_utf8(&text[..length]).expect("digits and dots")
}

fn show_inet6<'py>(py: Python<'py>, address: &sockaddr_in6) -> PyResult<Bound<'py, PyAny>> {
    let mut text = [0u8; INET6_ADDRESS_BYTES];
    // SAFETY: the buffer is as long as inet_ntop is told; the result is zero-terminated within it.
    // (Not Rust's own format: it writes `::1.2.3.4` differently from every other program.)
    let host = unsafe {
        let source = std::ptr::from_ref(&address.sin6_addr).cast();
        inet_ntop(
            libc::AF_INET6,
            source,
            text.as_mut_ptr().cast(),
            text.len() as socklen_t,
        );
        std::ffi::CStr::from_ptr(text.as_ptr().cast())
    };
    let host = host.to_str().unwrap_or_default();
    let port = u16::from_be(address.sin6_port);
    let flow = u32::from_be(address.sin6_flowinfo);
    Ok((host, port, flow, address.sin6_scope_id).into_pyobject(py)?.into_any())
}

fn show_unix<'py>(py: Python<'py>, address: &sockaddr_un, length: usize) -> PyResult<Bound<'py, PyAny>> {
    let header = offset_of!(sockaddr_un, sun_path);
    let used = length.saturating_sub(header).min(address.sun_path.len());
    let path: Vec<u8> = address.sun_path[..used].iter().map(|byte| *byte as u8).collect();
    if path.first() == Some(&0) {
        return Ok(PyBytes::new(py, &path).into_any());
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    Ok(OsStr::from_bytes(&path[..end]).into_pyobject(py)?.into_any())
}
