//! Reading documents member by member.

use mongodb::bson::{RawArray, RawBsonRef, RawDocument};

use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// Reads members of a document that we wrote; what is missing or of another type makes it corrupt.
#[derive(Clone, Copy)]
pub(crate) struct Members<'a>(pub(crate) &'a RawDocument);

impl<'a> Members<'a> {
    fn corrupt(self, key: &str, problem: &str) -> StoreError {
        let id = self.0.get_str("_id").map(|id| format!("document {id}: ")).unwrap_or_default();
        StoreError::Corrupt(format!("{id}member {key} {problem}"))
    }

    fn find(self, key: &str) -> Result<Option<RawBsonRef<'a>>, StoreError> {
        match self.0.get(key) {
            Ok(None | Some(RawBsonRef::Null)) => Ok(None),
            Ok(value) => Ok(value),
            Err(error) => Err(self.corrupt(key, &error.to_string())),
        }
    }

    fn optional<T>(
        self,
        key: &str,
        expected: &str,
        read: impl FnOnce(RawBsonRef<'a>) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(value) = self.find(key)? else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.corrupt(key, expected))
    }

    fn required<T>(self, key: &str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.corrupt(key, "is missing"))
    }

    pub(crate) fn optional_text(self, key: &str) -> Result<Option<&'a str>, StoreError> {
        self.optional(key, "is no text", RawBsonRef::as_str)
    }

    pub(crate) fn text(self, key: &str) -> Result<&'a str, StoreError> {
        self.required(key, self.optional_text(key)?)
    }

    /// A text of the caller's own, owned.
    pub(crate) fn optional_string(self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.optional_text(key)?.map(str::to_owned))
    }

    pub(crate) fn string(self, key: &str) -> Result<String, StoreError> {
        self.text(key).map(str::to_owned)
    }

    /// A whole number of any width: a person who repairs a document by hand writes what the shell makes of it.
    pub(crate) fn optional_integer(self, key: &str) -> Result<Option<i64>, StoreError> {
        self.optional(key, "is no whole number", |value| match value {
            RawBsonRef::Int64(number) => Some(number),
            RawBsonRef::Int32(number) => Some(i64::from(number)),
            _ => None,
        })
    }

    pub(crate) fn integer(self, key: &str) -> Result<i64, StoreError> {
        self.required(key, self.optional_integer(key)?)
    }

    /// A whole number that fits `T`.
    pub(crate) fn number<T: TryFrom<i64>>(self, key: &str) -> Result<T, StoreError> {
        T::try_from(self.integer(key)?).map_err(|_| self.corrupt(key, "is out of range"))
    }

    pub(crate) fn float(self, key: &str) -> Result<f64, StoreError> {
        let value = self.optional(key, "is no number", |value| match value {
            RawBsonRef::Double(number) => Some(number),
            RawBsonRef::Int32(number) => Some(f64::from(number)),
            _ => None,
        })?;
        self.required(key, value)
    }

    pub(crate) fn optional_flag(self, key: &str) -> Result<Option<bool>, StoreError> {
        self.optional(key, "is neither true nor false", RawBsonRef::as_bool)
    }

    pub(crate) fn flag(self, key: &str) -> Result<bool, StoreError> {
        self.required(key, self.optional_flag(key)?)
    }

    pub(crate) fn optional_date(self, key: &str) -> Result<Option<Timestamp>, StoreError> {
        let date = self.optional(key, "is no date", RawBsonRef::as_datetime)?;
        Ok(date.map(|date| Timestamp::from_millis(date.timestamp_millis())))
    }

    pub(crate) fn date(self, key: &str) -> Result<Timestamp, StoreError> {
        self.required(key, self.optional_date(key)?)
    }

    pub(crate) fn optional_document(self, key: &str) -> Result<Option<Members<'a>>, StoreError> {
        Ok(self.optional(key, "is no document", RawBsonRef::as_document)?.map(Members))
    }

    pub(crate) fn document(self, key: &str) -> Result<Members<'a>, StoreError> {
        self.required(key, self.optional_document(key)?)
    }

    pub(crate) fn optional_array(self, key: &str) -> Result<Option<&'a RawArray>, StoreError> {
        self.optional(key, "is no array", RawBsonRef::as_array)
    }

    /// A text that `parse` understands.
    pub(crate) fn optional_parsed<T>(
        self,
        key: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        self.optional(key, "cannot be read", |value| value.as_str().and_then(parse))
    }

    pub(crate) fn parsed<T>(self, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, StoreError> {
        self.required(key, self.optional_parsed(key, parse)?)
    }

    /// The bytes of a binary member.
    pub(crate) fn bytes(self, key: &str) -> Result<&'a [u8], StoreError> {
        let bytes = self.optional(key, "is no binary", |value| value.as_binary().map(|binary| binary.bytes))?;
        self.required(key, bytes)
    }
}
