//! Numbers in as few bytes as they need (LEB128, unsigned): seven bits to a byte, the lowest first. A topic of few records has short cursors and
//! ids.

/// Writes `number` behind `bytes`.
pub fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front of `bytes`; `None` when there is none, or one of more than 63 bits.
pub fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let numbers = [0, 1, 127, 128, 16_383, 16_384, u64::try_from(i64::MAX).expect("fits")];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| push(&mut bytes, number));
        let mut rest = &bytes[..];
        assert!(numbers.iter().all(|&number| pull(&mut rest) == Some(number)));
        assert_eq!(pull(&mut rest), None);
        assert_eq!(pull(&mut &[0x80, 0x80][..]), None, "it is cut off");
        assert_eq!(pull(&mut &[0xff; 10][..]), None, "it has more than 63 bits");
    }
}
