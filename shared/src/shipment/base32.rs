//! Crockford base32: digits and upper-case letters without I, L, O, U. Five bits a character.

use arrayvec::ArrayString;

/// The alphabet, in the order of the digits' values.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A character class of the alphabet, for a pattern.
pub(super) fn class() -> String {
    format!("[{}]", ALPHABET.iter().copied().map(char::from).collect::<String>())
}

/// A character class of the alphabet in upper and lower case, for a pattern.
pub(super) fn either_case() -> String {
    let upper = ALPHABET.iter().copied().map(char::from);
    let lower = upper.clone().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase());
    format!("[{}]", upper.chain(lower).collect::<String>())
}

/// The value of each character; [`NONE`] where it has none. Every id and number of every event is read by it.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0_u8;
    while value < 32 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};
const NONE: u8 = u8::MAX;

/// The value of one character, upper case only.
pub(crate) fn digit(character: u8) -> Option<u8> {
    Some(VALUES[usize::from(character)]).filter(|&value| value != NONE)
}

/// The lowest `5 × characters` bits of `value`, most significant first; at most 26 characters.
pub(crate) fn encode(value: u128, characters: u32) -> ArrayString<26> {
    let mut text = ArrayString::new();
    for place in (0..characters).rev() {
        let index = usize::try_from((value >> (5 * place)) & 31).unwrap_or(0);
        text.push(char::from(ALPHABET[index]));
    }
    text
}

/// The number that `text` stands for; `None` when it holds a character outside of the alphabet or more than 25.
pub(crate) fn decode(text: &str) -> Option<u128> {
    if text.len() > 25 {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, character| Some((value << 5) | u128::from(digit(character)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for (value, width) in [(0, 6), (31, 1), (0xFFFF_FFFF_FFFF_FFFF_FFFF, 16), (0x3FFF_FFFF, 6)] {
            let text = encode(value, width);
            assert_eq!(text.len(), width as usize);
            assert_eq!(decode(&text), Some(value));
        }
        assert_eq!(decode("U"), None);
        assert_eq!(decode("a"), None);
    }
}
