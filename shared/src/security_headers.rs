//! What every answer over HTTP tells browsers, whoever gives it: answers are data and no pages. What an answer says itself about one of
//! these (the page that shows the API's description may load its own scripts) stands.
//!
//! `Strict-Transport-Security` is for whoever ends TLS to say: over plain HTTP browsers ignore it, and we know nothing of the certificate.

/// The headers, with what they are when an answer does not say it.
pub const SECURITY_HEADERS: [(&str, &str); 6] = [
    // Nothing is taken for a page that is not called one.
    ("x-content-type-options", "nosniff"),
    // Whatever a browser takes for a page all the same loads and runs nothing, and stands in nobody's frame.
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
    // A path names a shipment.
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    // What one caller may see stays in no cache on the way.
    ("cache-control", "no-store"),
];
