//! One setting: the places where it can be made, and the checks that settings share. `config` has every setting.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::domain::Malformed;

/// The place where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingPlace {
    /// On the command line or in the environment: the setting's key.
    Arguments(&'static str),
    /// In the file: the setting's key and the file.
    File(&'static str, PathBuf),
    /// Nowhere: the default of that key.
    Default(&'static str),
}

impl fmt::Display for SettingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(key) => {
                write!(f, "--{} (or AUTHLEDGER_{})", key.replace('_', "-"), key.to_uppercase())
            }
            Self::File(key, path) => write!(f, "`{key}` in {}", path.display()),
            Self::Default(key) => write!(f, "the default of `{key}`"),
        }
    }
}

/// Why the value of a setting is refused.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// A number is too small or too large.
    #[error("use {value} for {place}: it must be {low} to {high} {unit}")]
    OutOfBounds {
        /// The place where it was set.
        place: SettingPlace,
        value: u64,
        /// The least allowed.
        low: u64,
        /// The most allowed.
        high: u64,
        /// The unit of the number.
        unit: &'static str,
    },
    /// A text has the wrong form.
    #[error("use the text of {place}: it must be {must_be}")]
    Malformed {
        /// The place where it was set.
        place: SettingPlace,
        must_be: Malformed,
    },
}

/// The settings as they were written: those of the command line and the environment above those of the file.
#[derive(Clone, Copy)]
pub struct Layers<'a, S> {
    pub arguments: &'a S,
    /// The file's settings, if there is a file.
    pub file: Option<(&'a Path, &'a S)>,
}

impl<'a, S> Layers<'a, S> {
    /// The layers of a part of the settings.
    pub fn part<P>(&self, part: impl Fn(&'a S) -> &'a P) -> Layers<'a, P> {
        Layers { arguments: part(self.arguments), file: self.file.map(|(path, file)| (path, part(file))) }
    }

    /// The setting of that key, from the highest layer that has it.
    pub fn get<T>(&self, key: &'static str, setting: impl Fn(&S) -> Option<T>) -> Chosen<T> {
        if let Some(value) = setting(self.arguments) {
            return Chosen { value: Some(value), place: SettingPlace::Arguments(key) };
        }
        if let Some((path, file)) = self.file
            && let Some(value) = setting(file)
        {
            return Chosen { value: Some(value), place: SettingPlace::File(key, path.to_owned()) };
        }
        Chosen { value: None, place: SettingPlace::Default(key) }
    }
}

/// A setting, if it was made, and its place.
pub struct Chosen<T> {
    pub value: Option<T>,
    pub place: SettingPlace,
}

impl<T> Chosen<T> {
    /// The value, or the default.
    pub fn or(self, default: T) -> T {
        self.value.unwrap_or(default)
    }

    /// The value or the default, if it has the form that it must have.
    pub fn formed(self, default: T, must_be: Malformed, is_formed: impl Fn(&T) -> bool) -> Result<T, ValueError> {
        let Self { value, place } = self;
        let value = value.unwrap_or(default);
        if is_formed(&value) { Ok(value) } else { Err(ValueError::Malformed { place, must_be }) }
    }
}

impl Chosen<u64> {
    /// The number or the default, if it is within the bounds.
    pub fn bounded(self, default: u64, bounds: RangeInclusive<u64>, unit: &'static str) -> Result<u64, ValueError> {
        let value = self.value.unwrap_or(default);
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (low, high) = bounds.into_inner();
        Err(ValueError::OutOfBounds { place: self.place, value, low, high, unit })
    }

    /// Like [`Chosen::bounded`], of things in memory.
    pub fn count(self, default: u64, bounds: RangeInclusive<u64>, unit: &'static str) -> Result<usize, ValueError> {
        // Every bound fits in 32 bits.
        self.bounded(default, bounds, unit).map(|count| count as usize)
    }
}

impl Chosen<String> {
    /// The name that the text or the default is.
    pub fn named<N>(self, default: &str, new: impl Fn(&str) -> Result<N, Malformed>) -> Result<N, ValueError> {
        let text = self.value.as_deref().unwrap_or(default);
        new(text).map_err(|must_be| ValueError::Malformed { place: self.place, must_be })
    }
}

/// Whether a request to that address stays on this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
