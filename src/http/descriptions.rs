//! What the OpenAPI document says of every native call: its refusals, and the headers of a command.

use std::collections::BTreeMap;

use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses};

use super::problem::Code;

/// Every refusal of the native surface has the same form. The statuses that a call can have follow from its inputs.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for code in Code::ALL {
            codes.entry(code.status().as_u16()).or_default().push(code.as_str());
        }
        let problem = |(status, codes): (u16, Vec<&str>)| {
            let body = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new()
                .description(format!("A problem, RFC 9457, one of: {}", codes.join(", ")))
                .content("application/problem+json", body);
            (status.to_string(), response.build().into())
        };
        codes.into_iter().map(problem).collect()
    }
}

/// The headers that every command can have.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used; the headers are read where callers are")]
pub(super) struct CommandHeaders {
    /// Makes it safe to send the command again: the same body gets the first answer, and a different body is refused.
    /// Valid for 24 hours, for this caller, method and path.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 16, max_length = 255)]
    idempotency_key: (),
    /// Which nodes must have applied the command before it is answered; if left out, it is durable on this one only.
    #[param(rename = "Ledger-Consistency", value_type = String, required = false, pattern = "^(local_region|all_regions)$")]
    ledger_consistency: (),
    /// How many seconds to wait for them; 30 if left out.
    #[param(rename = "Ledger-Consistency-Timeout", value_type = u64, required = false, minimum = 1, maximum = 120)]
    ledger_consistency_timeout: (),
    /// The caller's own id of the request, 1 to 64 visible ASCII characters; it goes on record.
    #[param(rename = "X-Request-ID", value_type = String, required = false, max_length = 64)]
    x_request_id: (),
}
