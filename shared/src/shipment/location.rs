//! Where something happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::{Form, UnknownFields};
use super::limits;

/// Where something happened, in degrees (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// Latitude, −90 to 90.
    #[schemars(range(min = *limits::LATITUDE.start(), max = *limits::LATITUDE.end()))]
    pub lat: f64,
    /// Longitude, −180 to 180.
    #[schemars(range(min = *limits::LONGITUDE.start(), max = *limits::LONGITUDE.end()))]
    pub lng: f64,
}

impl Location {
    /// Reads the member `location` out of `form`, when it is there.
    pub fn read(form: &mut Form, unknown: UnknownFields) -> Option<Self> {
        form.optional_object("location", unknown, |location| Self {
            lat: location.number("lat", limits::LATITUDE),
            lng: location.number("lng", limits::LONGITUDE),
        })
    }
}
