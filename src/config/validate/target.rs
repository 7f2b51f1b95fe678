//! Checks `target`: the server's address, the API, and what authorises the run. Secrets are used
//! here and never shown.

use std::collections::BTreeMap;

use super::SPAN;
use crate::config::check::Check;
use crate::config::file::{self, File};
use crate::config::{Embedded, Target};
use crate::net::HttpUrl;
use crate::record::Endpoint;
use crate::server::{self, SERVERS};

pub fn target(
    file: &mut File,
    embedded: Embedded,
    env: &dyn Fn(&str) -> Option<String>,
    check: &mut Check<'_>,
) -> Target {
    let given = &mut file.target;
    let base_url = base_url(given, check);
    let server = given.server.take().and_then(|name| {
        let found = server::find(&name).map(|server| server.name.to_owned());
        if found.is_none() {
            let known: Vec<&str> = SERVERS.iter().map(|s| s.name).collect();
            let message = format!("expected `{}`, found `{name}`", known.join("`, `"));
            check.problem(
                "target.server",
                message,
                "it says whose metrics and logs to expect; left out, the server is recognised",
            );
        }
        found
    });
    if let Some(path) = &given.path
        && !(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()))
    {
        let message = format!("expected a path that begins with `/`, found `{}`", path.escape_debug());
        check.problem("target.path", message, "for example `/v1/chat/completions`");
    }
    if given.model.as_ref().is_some_and(String::is_empty) {
        check.problem(
            "target.model",
            "expected a name, found nothing",
            "left out, it is the first model the server lists",
        );
    }
    let headers = headers(std::mem::take(&mut given.headers), check);
    let has_own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if has_own && given.api_key_env.is_some() {
        check.problem("target.api_key_env", "there is an Authorization header as well", "give one of them");
    }
    // The embedded server asks for no key, and an own header says more than a variable that happens
    // to be set.
    let usual = || {
        (base_url.is_some() && !has_own && env(USUAL_KEY).is_some_and(|key| !key.trim().is_empty()))
            .then(|| USUAL_KEY.to_owned())
    };
    let api_key_env = given.api_key_env.take().or_else(usual);
    Target {
        server,
        endpoint: given.endpoint.unwrap_or(Endpoint::Chat),
        path: given.path.take(),
        model: given.model.take(),
        headers,
        api_key: api_key_env
            .as_ref()
            .and_then(|variable| api_key("target.api_key_env", variable, env, check)),
        api_key_env,
        base_url: base_url.map(|url| url.to_string()),
        ca_cert: given.ca_cert.take(),
        insecure: given.insecure.unwrap_or(false),
        ready_timeout_s: check.real("target.ready_timeout_s", given.ready_timeout_s, 0.0, SPAN),
        embedded,
    }
}

fn base_url(given: &mut file::Target, check: &mut Check<'_>) -> Option<HttpUrl> {
    let url = match HttpUrl::parse(given.base_url.as_ref()?) {
        Ok(url) => url,
        Err(failure) => {
            check.failure("target.base_url", failure);
            return None;
        }
    };
    if given.path.is_none() && url.path.ends_with("/v1") {
        let message =
            format!("expected the URL without the API's own path, found one that ends in `{}`", url.path);
        let without = HttpUrl { path: url.path.trim_end_matches("/v1").to_owned(), ..url.clone() };
        check.problem("target.base_url", message, format!("did you mean `{without}`?"));
    }
    Some(url)
}

const USUAL_KEY: &str = "OPENAI_API_KEY";

/// The key in an environment variable; messages never show it.
pub fn api_key(
    field: &str,
    variable: &str,
    env: &dyn Fn(&str) -> Option<String>,
    check: &mut Check<'_>,
) -> Option<String> {
    if variable.is_empty() || !variable.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        // Not quoted: it may be the key itself.
        let message = "expected the name of an environment variable (letters, digits and `_`)";
        check.problem(field, message, "the key itself is never given here");
        return None;
    }
    let key = env(variable).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    let Some(key) = key else {
        let message = format!("the environment variable `{variable}` is not set");
        check.problem(field, message, format!("`export {variable}=…` before the run"));
        return None;
    };
    if !key.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("the key in `{variable}` has characters that cannot be sent in a header");
        check.problem(field, message, "expected printable ASCII without spaces");
    }
    Some(key)
}

/// Headers that the run itself needs to set.
const OWN_HEADERS: [&str; 7] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "x-request-id",
    "traceparent",
];

fn headers(given: BTreeMap<String, String>, check: &mut Check<'_>) -> Vec<(String, String)> {
    for (name, value) in &given {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || !name.bytes().all(is_token) {
            check.problem(
                "target.headers",
                format!("`{}` is not a header's name", name.escape_debug()),
                "for example `X-Team`",
            );
        } else if OWN_HEADERS.contains(&lower.as_str()) {
            let hint = if lower == "x-request-id" {
                "--request-id-prefix sets how the ids begin"
            } else {
                "leave it out"
            };
            check.problem("target.headers", format!("`{name}` is set by tare itself"), hint);
        } else if !value.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)) {
            check.problem(
                "target.headers",
                format!("the value of `{name}` cannot be sent in a header"),
                "expected printable ASCII",
            );
        }
    }
    given.into_iter().collect()
}
