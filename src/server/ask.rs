//! One request of a control call, answered whole: status, headers, body. Nothing is measured with it.
//! This file must not know what is asked, nor what the answer means.

use std::time::Duration;

use super::trust::Trust;

/// At most this much of a body is read.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub status: u16,
    /// Lower-case names; values lossily decoded.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    /// The first value of header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Asks `url`: with a JSON body by POST, without one by GET. The error is one line.
pub async fn ask(
    url: &str,
    body: Option<Vec<u8>>,
    headers: &[(String, String)],
    patience: Duration,
    trust: &Trust,
) -> Result<Asked, String> {
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(patience);
    let client = trust.applied(url, client).map_err(|failure| failure.to_string())?;
    let client = client.build().map_err(|error| innermost(&error))?;
    let mut request = match body {
        Some(bytes) => client.post(url).header("Content-Type", "application/json").body(bytes),
        None => client.get(url),
    };
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send().await.map_err(|error| innermost(&error))?;
    let mut asked = Asked { status: response.status().as_u16(), ..Asked::default() };
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        asked.headers.push((name.as_str().to_ascii_lowercase(), value));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| innermost(&error))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_BYTES {
            break;
        }
    }
    asked.body = String::from_utf8_lossy(&bytes).into_owned();
    Ok(asked)
}

/// The cause that a person can do something about ("connection refused").
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
