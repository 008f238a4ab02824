//! Crafter.
/// Published.
pub async fn ensure_published_access_tokens(_: &crate::service::Service) -> Result<(), crate::service::Error> {
    Ok(())
}
