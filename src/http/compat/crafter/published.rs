//! The access tokens that Crafter ships with. Everybody knows them, so they work only where the operator allows them.

/// The published ids.
pub const PUBLISHED_ACCESS_TOKENS: [&str; 3] = [
    "e8f5170c-877b-416f-b70f-4b09772f8e2d",
    "b4d44030-d0af-11e3-9c1a-0800200c9a66",
    "2ba3ac10-c43e-11e3-9c1a-0800200c9a66",
];

/// Whether Crafter has published that access token, in either case of its letters.
pub fn is_published(id: &str) -> bool {
    PUBLISHED_ACCESS_TOKENS.iter().any(|published| published.eq_ignore_ascii_case(id))
}
