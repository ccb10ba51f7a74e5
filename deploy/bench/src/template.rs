//! Bytes that differ from shipment to shipment by the tracking number alone: those of one shipment, and where the number stands in
//! them. To make those of another one is a copy and a few bytes, so a ceiling pays for nothing but what it measures.

use crate::failure::Failure;
use crate::numbers::{Suffix, suffix_of};

/// The bytes of one shipment.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    /// Where the eight characters of the number begin.
    places: Vec<usize>,
    /// Where the offset stands, as a 64-bit integer in BSON's byte order.
    offset: Option<usize>,
}

/// Where `part` begins in `bytes`.
fn places(bytes: &[u8], part: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(part.len()).enumerate();
    windows.filter(|(_, window)| *window == part).map(|(place, _)| place).collect()
}

/// The value of the first 64-bit member of a BSON document that is called `name` (one character).
fn integer(bytes: &[u8], name: u8) -> Option<usize> {
    let place = places(bytes, &[0x12, name, 0]).first().copied()? + 3;
    (place + 8 <= bytes.len()).then_some(place)
}

impl Template {
    /// The bytes of the shipment with this tracking number.
    ///
    /// # Errors
    /// The number has no eight characters.
    pub fn of(bytes: impl Into<Vec<u8>>, number: &str) -> Result<Self, Failure> {
        let wrong = || Failure::Specimen(format!("the tracking number {number} has another length"));
        let bytes = bytes.into();
        let places = places(&bytes, &suffix_of(number).ok_or_else(wrong)?);
        Ok(Self { bytes, places, offset: None })
    }

    /// The same for a document whose first member `o` is the offset of its record.
    ///
    /// # Errors
    /// It has no such member.
    pub fn with_offset(mut self) -> Result<Self, Failure> {
        let wrong = || Failure::Specimen("a document has no offset (a 64-bit member `o`)".to_owned());
        self.offset = Some(integer(&self.bytes, b'o').ok_or_else(wrong)?);
        Ok(self)
    }

    /// The same for a document that is older than any record: its first member `e`, the epoch, is 0.
    ///
    /// # Errors
    /// It has no such member.
    pub fn before_all_records(mut self) -> Result<Self, Failure> {
        let wrong = || Failure::Specimen("a document has no epoch (a 64-bit member `e`)".to_owned());
        let place = integer(&self.bytes, b'e').ok_or_else(wrong)?;
        self.bytes[place..place + 8].copy_from_slice(&0_i64.to_le_bytes());
        Ok(self)
    }

    /// The same for a JSON text: the first `"epoch":1` in it says 0.
    ///
    /// # Errors
    /// There is none.
    pub fn before_all_records_in_json(mut self) -> Result<Self, Failure> {
        const EPOCH: &[u8] = br#""epoch":1"#;
        let wrong = || Failure::Specimen("a state has no epoch (a member \"epoch\":1)".to_owned());
        let place = *places(&self.bytes, EPOCH).first().ok_or_else(wrong)?;
        self.bytes[place + EPOCH.len() - 1] = b'0';
        Ok(self)
    }

    /// The bytes of another shipment.
    #[must_use]
    pub fn stamp(&self, suffix: Suffix) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        self.stamp_at(suffix, None, &mut bytes);
        bytes
    }

    /// Adds the bytes of another shipment, at another offset if one is named, to `into`.
    pub fn stamp_at(&self, suffix: Suffix, offset: Option<i64>, into: &mut Vec<u8>) {
        let begin = into.len();
        into.extend_from_slice(&self.bytes);
        let bytes = &mut into[begin..];
        for &place in &self.places {
            bytes[place..place + suffix.len()].copy_from_slice(&suffix);
        }
        if let (Some(place), Some(offset)) = (self.offset, offset) {
            bytes[place..place + 8].copy_from_slice(&offset.to_le_bytes());
        }
    }

    /// The text of another shipment.
    #[must_use]
    pub fn text(&self, suffix: Suffix) -> String {
        // Digits of base32 in the place of digits of base32: what was UTF-8 stays so.
        String::from_utf8(self.stamp(suffix)).unwrap_or_default()
    }

    /// The bytes themselves.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};

    use super::*;

    #[test]
    fn another_number_stands_wherever_the_first_one_stood() {
        let template = Template::of("99M-ABCDEFGH and evt_ABCDEFGH_1", "99M-ABCDEFGH").expect("a number");
        assert_eq!(template.text(*b"00000001"), "99M-00000001 and evt_00000001_1");
        assert!(Template::of("", "99M-AB").is_err());
    }

    #[test]
    fn a_document_gets_another_offset_and_an_epoch_before_all() {
        let bytes = doc! { "_id": "99M-ABCDEFGH", "state": { "e": 1_i64, "o": 4_i64, "x": "ABCDEFGH" } }.to_vec();
        let template = Template::of(bytes.expect("is BSON"), "99M-ABCDEFGH").expect("a number");
        let template = template.with_offset().and_then(Template::before_all_records).expect("both are there");
        let mut bytes = Vec::new();
        template.stamp_at(*b"00000001", Some(77), &mut bytes);
        let read = Document::from_reader(&*bytes).expect("is BSON");
        assert_eq!(read, doc! { "_id": "99M-00000001", "state": { "e": 0_i64, "o": 77_i64, "x": "00000001" } });
        let state = Template::of(r#"{"position":{"epoch":1,"offset":7}}"#, "99M-ABCDEFGH").expect("a number");
        let state = state.before_all_records_in_json().expect("has an epoch").text(*b"00000001");
        assert_eq!(state, r#"{"position":{"epoch":0,"offset":7}}"#);
        assert!(Template::of("no offset", "99M-ABCDEFGH").expect("a number").with_offset().is_err());
    }
}
