//! Noting in a request where it came from. RFC 3261 18.2.1, RFC 3581 4

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Edit;
use super::text::{Digits, write_fmt};
use crate::error::{BuildError, HeaderError, SyntaxError};
use crate::grammar::trim;
use crate::header::{HeaderId, Params, comma};

impl Edit<'_> {
    /// Notes in the topmost Via where the message came from: `received` always, `rport` if it was
    /// asked for. The other parameters stay as they are. RFC 3261 18.2.1, RFC 3581 4
    pub fn mark_received(&mut self, address: IpAddr, port: u16) -> &mut Self {
        let Some(index) = self.find(HeaderId::Via) else {
            self.fail(BuildError::Header(HeaderError::missing(HeaderId::Via)));
            return self;
        };
        let old = self.value(index);
        let (first, rest) = old.split_at(comma(old).unwrap_or(old.len()));
        let mut marked: SmallVec<[u8; 512]> = SmallVec::new();
        match mark(&mut marked, trim(first), address, port) {
            Ok(()) => {
                marked.extend_from_slice(rest);
                self.replace_at(index, &marked)
            }
            Err(error) => {
                self.fail(BuildError::Header(HeaderError::syntax(HeaderId::Via)(error)));
                self
            }
        }
    }
}

/// Copies a Via value with `received` and `rport` filled in. No semicolon can stand before the
/// parameters, so only these are read.
fn mark(out: &mut SmallVec<[u8; 512]>, value: &[u8], address: IpAddr, port: u16) -> Result<(), SyntaxError> {
    let (sent, params) = value.split_at(memchr::memchr(b';', value).unwrap_or(value.len()));
    let params = Params::parse(params)?;
    out.extend_from_slice(trim(sent));
    let mut asked = false;
    for param in params.raw_iter() {
        match param.name.len() {
            8 if param.is("received") => continue,
            5 if param.is("rport") => {
                asked = true;
                continue;
            }
            _ => out.push(b';'),
        }
        out.extend_from_slice(param.name);
        if let Some(value) = param.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(b";received=");
    match address {
        IpAddr::V4(address) => {
            for (position, octet) in address.octets().into_iter().enumerate() {
                if position > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(Digits::of(octet.into()).as_bytes());
            }
        }
        IpAddr::V6(address) => write_fmt(out, format_args!("{address}")),
    }
    if asked {
        out.extend_from_slice(b";rport=");
        out.extend_from_slice(Digits::of(port.into()).as_bytes());
    }
    Ok(())
}
