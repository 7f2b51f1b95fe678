//! Configuration files.

use tare::cli::RunArgs;
use tare::config::Config;

use super::says_something;
use super::scratch::with_file;

/// Any bytes as a configuration file: it is refused in words, or comes back from a manifest as it went in.
pub fn config(data: &[u8]) {
    match with_file(data, |path| tare::config::load(Some(path), &RunArgs::default())) {
        Ok(config) => {
            let written = serde_json::to_string(&config).unwrap();
            let back: Config =
                serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
            assert_eq!(written, serde_json::to_string(&back).unwrap());
        }
        Err(error) => says_something(&error),
    }
}
