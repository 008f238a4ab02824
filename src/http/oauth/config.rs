//! The settings of OAuth.

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::domain::Ttl;
use crate::http::prefix;
use crate::http::wire::MAX_HOLD_SECONDS;
use crate::setting::{Layers, ValueError};

/// The settings as they were written.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[group(skip)]
#[serde(default)]
pub struct OauthSettings {
    /// The path prefix under which the calls of OAuth are served, and nowhere else; empty for no prefix [default: empty]
    #[arg(long, env = "AUTHLEDGER_OAUTH_PREFIX", value_name = "PATH")]
    pub oauth_prefix: Option<String>,

    /// Whether subjects are e-mail addresses, so that a global revocation may name one: compared exactly, or in lower case
    /// [default: no]
    #[arg(long, env = "AUTHLEDGER_OAUTH_EMAIL_SUBJECTS", value_name = "FORM")]
    pub oauth_email_subjects: Option<EmailSubjects>,

    /// Seconds for which a subject gets nothing new after a global revocation [default: 0]
    #[arg(long, env = "AUTHLEDGER_OAUTH_GTR_HOLD", value_name = "SECONDS")]
    pub oauth_gtr_hold: Option<u64>,
}

/// Whether and how an e-mail address is a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailSubjects {
    /// It is not.
    #[default]
    No,
    /// As it is written.
    Exact,
    /// In lower case.
    Lowercase,
}

/// The settings, checked and complete.
#[derive(Clone, Debug, Default)]
pub struct OauthOptions {
    /// The path prefix of the calls: empty, or `/` and more.
    pub prefix: String,
    /// Whether and how an e-mail address is a subject.
    pub email_subjects: EmailSubjects,
    /// For how long a subject gets nothing new after a global revocation.
    pub gtr_hold: Option<Ttl>,
}

impl OauthOptions {
    /// The options that the settings make.
    pub fn check(layers: &Layers<OauthSettings>) -> Result<Self, ValueError> {
        Ok(Self {
            prefix: prefix::checked(layers.get("oauth_prefix", |s| s.oauth_prefix.clone()), "")?,
            email_subjects: layers.get("oauth_email_subjects", |s| s.oauth_email_subjects).or(EmailSubjects::default()),
            gtr_hold: layers
                .get("oauth_gtr_hold", |s| s.oauth_gtr_hold)
                .bounded(0, 0..=MAX_HOLD_SECONDS, "seconds")
                .map(Ttl::from_seconds)?,
        })
    }
}
