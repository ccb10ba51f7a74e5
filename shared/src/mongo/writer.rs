//! BSON written into one buffer. `RawDocumentBuf` is a buffer for each document, which is copied into the one around it: with seven around an
//! entry of a history, that was a sixth of all that the processor did.
//!
//! Names are `CStr`, so that none can hold a NUL. The server reads what this writes, and so does the `bson` crate in the tests.

use std::ffi::CStr;

use arrayvec::ArrayString;

use crate::shipment::Timestamp;

/// The bytes of a BSON type, by its number in the specification.
mod kind {
    pub(super) const DOUBLE: u8 = 0x01;
    pub(super) const TEXT: u8 = 0x02;
    pub(super) const DOCUMENT: u8 = 0x03;
    pub(super) const ARRAY: u8 = 0x04;
    pub(super) const FLAG: u8 = 0x08;
    pub(super) const DATE: u8 = 0x09;
    pub(super) const NULL: u8 = 0x0A;
    pub(super) const INTEGER: u8 = 0x12;
}

/// Bytes that end a document.
const END: u8 = 0;

/// Writes the members of a document, in their order.
#[derive(Debug, Default)]
pub(crate) struct BsonWriter {
    bytes: Vec<u8>,
}

/// Where a document begins that is not closed yet.
#[derive(Debug)]
#[must_use]
pub(crate) struct Open(usize);

impl BsonWriter {
    /// A whole document.
    #[cfg(test)]
    pub(crate) fn whole(members: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::default();
        let open = writer.open();
        members(&mut writer);
        writer.close(open);
        writer.into_bytes()
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes away and gives back what stands behind the first `length` bytes.
    pub(crate) fn split_off(&mut self, length: usize) -> Vec<u8> {
        self.bytes.split_off(length)
    }

    /// Begins a document that has no name, or whose name was written.
    pub(crate) fn open(&mut self) -> Open {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        Open(start)
    }

    /// Ends it.
    pub(crate) fn close(&mut self, Open(start): Open) {
        self.bytes.push(END);
        let length = i32::try_from(self.bytes.len() - start).unwrap_or(i32::MAX); // far above what is ever sent
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Begins the array `name`.
    pub(crate) fn open_array(&mut self, name: &CStr) -> Open {
        self.named(kind::ARRAY, name);
        self.open()
    }

    fn named(&mut self, kind: u8, name: &CStr) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
    }

    /// A document as a member.
    pub(crate) fn document(&mut self, name: &CStr, members: impl FnOnce(&mut Self)) {
        self.named(kind::DOCUMENT, name);
        let open = self.open();
        members(self);
        self.close(open);
    }

    /// The document at the place `index` of an array.
    pub(crate) fn item(&mut self, index: usize, members: impl FnOnce(&mut Self)) {
        self.item_name(index);
        let open = self.open();
        members(self);
        self.close(open);
    }

    /// The same of a document that was written before.
    pub(crate) fn written_item(&mut self, index: usize, document: &[u8]) {
        self.item_name(index);
        self.bytes.extend_from_slice(document);
    }

    /// An array of documents as a member.
    pub(crate) fn documents<T>(
        &mut self,
        name: &CStr,
        items: impl IntoIterator<Item = T>,
        mut members: impl FnMut(&mut Self, T),
    ) {
        let open = self.open_array(name);
        for (index, item) in items.into_iter().enumerate() {
            self.item(index, |document| members(document, item));
        }
        self.close(open);
    }

    fn item_name(&mut self, mut index: usize) {
        let mut digits = ArrayString::<20>::new(); // the lowest first
        loop {
            digits.push(char::from_digit((index % 10) as u32, 10).unwrap_or('0'));
            index /= 10;
            if index == 0 {
                break;
            }
        }
        self.bytes.push(kind::DOCUMENT);
        self.bytes.extend(digits.bytes().rev());
        self.bytes.push(END);
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &CStr, value: &str) {
        self.named(kind::TEXT, name);
        let length = i32::try_from(value.len() + 1).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(END);
    }

    /// A text, when there is one.
    pub(crate) fn optional_text(&mut self, name: &CStr, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A 64-bit integer.
    pub(crate) fn integer(&mut self, name: &CStr, value: i64) {
        self.named(kind::INTEGER, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A double.
    pub(crate) fn float(&mut self, name: &CStr, value: f64) {
        self.named(kind::DOUBLE, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A boolean.
    pub(crate) fn flag(&mut self, name: &CStr, value: bool) {
        self.named(kind::FLAG, name);
        self.bytes.push(u8::from(value));
    }

    /// A date.
    pub(crate) fn date(&mut self, name: &CStr, value: Timestamp) {
        self.named(kind::DATE, name);
        self.bytes.extend_from_slice(&value.as_millis().to_le_bytes());
    }

    /// A null.
    pub(crate) fn null(&mut self, name: &CStr) {
        self.named(kind::NULL, name);
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, DateTime, RawDocumentBuf, doc};

    use super::*;

    #[test]
    fn what_is_written_is_the_document_that_the_library_reads() {
        let bytes = BsonWriter::whole(|document| {
            document.text(c"text", "Zócalo");
            document.optional_text(c"absent", None);
            document.optional_text(c"empty", Some(""));
            document.integer(c"integer", -(1 << 40));
            document.float(c"float", -99.1332);
            document.flag(c"yes", true);
            document.flag(c"no", false);
            document.date(c"date", Timestamp::from_millis(-1));
            document.null(c"null");
            document.document(c"inner", |inner| inner.document(c"empty", |_| {}));
            document.documents(c"items", 0..12_i64, |item, value| item.integer(c"value", value));
            document.documents(c"none", 0..0, |_, _| {});
        });
        let read = RawDocumentBuf::from_bytes(bytes.clone()).expect("well-formed");
        let read = mongodb::bson::Document::try_from(read).expect("BSON");
        let items: Vec<Bson> = (0..12_i64).map(|value| Bson::Document(doc! { "value": value })).collect();
        let expected = doc! {
            "text": "Zócalo", "empty": "", "integer": -(1_i64 << 40), "float": -99.1332, "yes": true, "no": false,
            "date": DateTime::from_millis(-1), "null": Bson::Null, "inner": { "empty": {} }, "items": items, "none": [],
        };
        assert_eq!(read, expected);
        // The names of an array's items, too, are those that the library writes.
        assert_eq!(bytes, mongodb::bson::serialize_to_vec(&expected).expect("BSON"));
    }

    #[test]
    fn what_was_split_off_is_a_document_that_can_be_written_again() {
        let mut writer = BsonWriter::default();
        writer.item(0, |item| item.flag(c"first", true));
        let length = writer.len();
        writer.item(1, |item| item.flag(c"second", true));
        let second = writer.split_off(length);
        let mut other = BsonWriter::default();
        other.written_item(0, &second[b"\x031\0".len()..]);
        assert_eq!(other.into_bytes()[..3], *b"\x030\0");
    }
}
