//! Headers as bytes, in their order, repeated names and absent values included.
//!
//! For each header: the length of its name, the name, the length of its value plus one (0: no value), the value. Lengths are
//! LEB128: seven bits a byte, the lowest first, the highest bit says that more follow.

use bytes::Bytes;

use crate::event_log::Header;

/// How many headers a record of the edge has.
const USUAL: usize = 8;

/// The bytes are no headers of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the headers of a record are malformed")]
pub(super) struct MalformedHeaders;

pub(super) fn encode(headers: &[Header]) -> Vec<u8> {
    let size = |header: &Header| header.name.len() + header.value.as_ref().map_or(0, Bytes::len) + 4;
    let mut bytes = Vec::with_capacity(headers.iter().map(size).sum());
    for header in headers {
        put_length(&mut bytes, header.name.len());
        bytes.extend_from_slice(header.name.as_bytes());
        match &header.value {
            None => put_length(&mut bytes, 0),
            Some(value) => {
                put_length(&mut bytes, value.len() + 1);
                bytes.extend_from_slice(value);
            }
        }
    }
    bytes
}

/// The values are parts of `encoded`, and keep it in memory.
pub(super) fn decode(encoded: &Bytes) -> Result<Vec<Header>, MalformedHeaders> {
    let mut bytes = &**encoded;
    let mut headers = Vec::with_capacity(USUAL);
    while !bytes.is_empty() {
        let length = take_length(&mut bytes)?;
        let name = std::str::from_utf8(take(&mut bytes, length)?).map_err(|_| MalformedHeaders)?;
        let value = match take_length(&mut bytes)?.checked_sub(1) {
            None => None,
            Some(length) => Some(encoded.slice_ref(take(&mut bytes, length)?)),
        };
        headers.push(Header { name: Header::name_of(name), value });
    }
    Ok(headers)
}

fn put_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

fn take_length(bytes: &mut &[u8]) -> Result<usize, MalformedHeaders> {
    let mut length = 0;
    for shift in (0..usize::BITS - 7).step_by(7) {
        let &[byte] = take(bytes, 1)? else { return Err(MalformedHeaders) };
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(MalformedHeaders)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], MalformedHeaders> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(MalformedHeaders)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_repeats_and_absent_values_come_back() {
        let long = "x".repeat(20_000);
        let headers = vec![
            Header::text("b", "2"),
            Header::text("a", ""),
            Header { name: "a".into(), value: None },
            Header { name: "".into(), value: Some(Bytes::from_static(&[0, 255, 128])) },
            Header::text("b", long),
        ];
        assert_eq!(decode(&encode(&headers).into()), Ok(headers));
        assert_eq!(decode(&encode(&[]).into()), Ok(Vec::new()));
    }

    #[test]
    fn what_is_cut_short_is_malformed() {
        let encoded = Bytes::from(encode(&[Header::text("name", "value")]));
        for end in 1..encoded.len() {
            assert_eq!(decode(&encoded.slice(..end)), Err(MalformedHeaders), "{end} bytes");
        }
        assert_eq!(decode(&Bytes::from_static(&[0xFF; 12])), Err(MalformedHeaders));
    }
}
