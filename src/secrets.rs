//! Values that must reach no file, no log and no figure, whoever repeats them: a server that quotes
//! the API key in its error message must not put it into a report. This file must not know where
//! texts go.

use std::borrow::Cow;

use serde_json::Value;

const REPLACEMENT: &str = "[redacted]";
/// Shorter values ("1", "true", a key "none" for a server that wants just any) are no secrets, and
/// would be found everywhere: in ids, in names of metrics.
const SHORTEST: usize = 6;

/// Words of an `Authorization` header that everybody uses.
const SCHEMES: [&str; 4] = ["Bearer", "Basic", "Digest", "Negotiate"];
/// Messages are cut to fit a line: this much of a secret at least is taken for it.
const SHORTEST_PIECE: usize = 8;

/// What a header, a field or a parameter is called that holds somebody's credentials.
const NAMES: [&str; 8] =
    ["authorization", "api-key", "api_key", "apikey", "access_token", "password", "cookie", "secret"];
/// How keys begin that are known by it.
const KEYS: [&str; 2] = ["sk-", "AIza"];
/// A shorter word is no key.
const SHORTEST_KEY: usize = 12;

/// Text of others (a line of a log that could not be read) without what looks like credentials: they are
/// not this run's, so what they are is not known, only how they are written. What follows a scheme, a
/// telling name and `:` or `=`, or begins as keys do, is replaced up to its end.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut from = 0;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let is_begin = text.get(..at).and_then(|t| t.chars().next_back()).is_none_or(|c| !is_of_word(c));
        let found = if is_begin { credential(rest) } else { None };
        if let Some((before, length)) = found {
            out.push_str(text.get(from..at + before).unwrap_or_default());
            out.push_str(REPLACEMENT);
            at += before + length;
            from = at;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(out)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// Of a text that begins with credentials or their name: where they begin, and their length.
fn credential(text: &str) -> Option<(usize, usize)> {
    let begins = |word: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if KEYS.iter().any(|key| text.starts_with(key)) {
        let length = text.find(|c| !is_of_key(c)).unwrap_or(text.len());
        return (length >= SHORTEST_KEY).then_some((0, length));
    }
    let (name, is_scheme) = match NAMES.iter().find(|name| begins(name)) {
        Some(name) => (name.len(), false),
        None => (SCHEMES.iter().find(|scheme| begins(scheme))?.len(), true),
    };
    let after = text.get(name..)?;
    let value = after.trim_start_matches(|c: char| " \t:=\"'\\[".contains(c));
    let between = after.get(..after.len() - value.len())?;
    let is_told = if is_scheme { between.starts_with(' ') } else { between.contains([':', '=']) };
    // Behind a name the value is all that its quotes hold: a scheme and more.
    let ends = |c: char| if is_scheme { !is_of_key(c) } else { "\"'\\,;&|]}\r\n".contains(c) };
    let length = value.find(ends).unwrap_or(value.len());
    (is_told && length >= SHORTEST && !value.starts_with(REPLACEMENT.trim_start_matches('[')))
        .then_some((name + between.len(), length))
}

/// The secrets of a run.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Secret>);

#[derive(Clone)]
struct Secret {
    text: String,
    /// Bytes of its beginning that already tell too much.
    telling: usize,
}

impl Secrets {
    /// From the API key and the values of the user's headers; of `Bearer abc`, `abc` too.
    pub fn new(api_key: Option<&str>, header_values: impl IntoIterator<Item = String>) -> Self {
        let mut all: Vec<String> =
            api_key.filter(|k| k.len() >= SHORTEST).map(str::to_owned).into_iter().collect();
        for value in header_values {
            let words = value.split_whitespace().filter(|word| word.len() >= SHORTEST);
            all.extend(words.filter(|word| !SCHEMES.contains(word)).map(str::to_owned));
            if value.len() >= SHORTEST {
                all.push(value);
            }
        }
        // The longest first, or a part of a secret would be replaced and the rest remain.
        all.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Self(all.into_iter().map(Secret::new).collect())
    }

    /// These and others.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        let mut all = [self.0.clone(), others.0.clone()].concat();
        all.sort_by_key(|secret| std::cmp::Reverse(secret.text.len()));
        Self(all)
    }

    /// The same, and what `fields` (of a request's body) hold under a telling name.
    #[must_use]
    pub fn and_of(self, fields: &serde_json::Map<String, Value>) -> Self {
        let is_telling = |name: &str| NAMES.iter().any(|known| name.to_ascii_lowercase().contains(known));
        let told = fields.iter().filter(|(name, _)| is_telling(name)).filter_map(|(_, value)| value.as_str());
        self.and(&Self::new(None, told.map(str::to_owned)))
    }

    /// The text without secrets.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.any_in(text) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(self.0.iter().fold(text.to_owned(), |text, secret| secret.replaced(&text)))
    }

    /// One line of JSON without secrets in its strings; numbers are left alone.
    pub fn clean_json(&self, line: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        let Ok(text) = std::str::from_utf8(line) else { return };
        // An escaped secret looks different; a quote or a backslash in the line makes us look closer.
        if !self.any_in(text) && !text.contains('\\') {
            return;
        }
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return };
        self.clean_value(&mut value);
        if let Ok(mut cleaned) = serde_json::to_vec(&value) {
            cleaned.push(b'\n');
            *line = cleaned;
        }
    }

    /// Every string of a JSON value without secrets.
    pub fn clean_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(cleaned) = self.clean(text) {
                    *text = cleaned;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.clean_value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn any_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.beginning()))
    }
}

impl Secret {
    fn new(text: String) -> Self {
        // The beginning of several words may be a word that everybody uses.
        let one_word = !text.contains(char::is_whitespace);
        let half = text.ceil_char_boundary(SHORTEST_PIECE.max(text.len().div_ceil(2)));
        let telling = if one_word { half } else { text.len() };
        Self { text, telling }
    }

    fn beginning(&self) -> &str {
        self.text.get(..self.telling).unwrap_or(&self.text)
    }

    /// The text with the secret, and what a cut left of it, replaced.
    fn replaced(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, found)) = rest.find(self.beginning()).map(|at| rest.split_at(at)) {
            let same = found
                .chars()
                .zip(self.text.chars())
                .take_while(|(a, b)| a == b)
                .map(|(c, _)| c.len_utf8())
                .sum();
            out.push_str(before);
            out.push_str(REPLACEMENT);
            rest = found.get(same..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_others_are_known_by_how_they_are_written() {
        for (line, clean) in [
            (
                r#"{"authorization":"Bearer sk-live-0123456789","rid":"a-1"}"#,
                r#"{"authorization":"[redacted]","rid":"a-1"}"#,
            ),
            (
                r#""Authorization":["Basic dXNlcjpwYXNzd29yZA=="],"X-Request-Id":["a-1"]"#,
                r#""Authorization":["[redacted]"],"X-Request-Id":["a-1"]"#,
            ),
            (r#"{"log":"\"x-api-key\":\"abcdef123456\""}"#, r#"{"log":"\"x-api-key\":\"[redacted]\""}"#),
            ("POST /v1/x?api_key=abcdef123456&a=b HTTP/1.1", "POST /v1/x?api_key=[redacted]&a=b HTTP/1.1"),
            ("{Bearer abcdef123456|a-1}", "{Bearer [redacted]|a-1}"),
            ("key sk-proj-0123456789abcdef was refused", "key [redacted] was refused"),
        ] {
            assert_eq!(without_credentials(line), clean);
            assert_eq!(without_credentials(clean), clean, "twice");
        }
        for line in [
            "the bearer of news",
            "task-0123456789abcdef",
            "sk-short",
            "authorization failed",
            "tokens=123456",
            "é Bearer",
            "",
        ] {
            assert_eq!(without_credentials(line), line);
        }
    }

    #[test]
    fn secrets_disappear_from_strings_and_numbers_stay() {
        let secrets = Secrets::new(Some("17955331"), ["Bearer s3cr3t\"x".to_owned(), "1".to_owned()]);
        let mut line = serde_json::to_vec(&serde_json::json!({
            "t": 1_795_533_163_895_882_153_i64, "error": "bad key 17955331", "log": "got s3cr3t\"x 1"
        }))
        .unwrap();
        line.push(b'\n');
        secrets.clean_json(&mut line);
        let text = String::from_utf8(line).unwrap();
        assert_eq!(
            text,
            "{\"error\":\"bad key [redacted]\",\"log\":\"got [redacted] 1\",\"t\":1795533163895882153}\n"
        );
    }

    #[test]
    fn what_a_cut_left_of_a_secret_is_taken_for_it() {
        let secrets = Secrets::new(Some("sk-0123456789abcdef"), ["Bearer tëam-secret".to_owned()]);
        let cut = |text: &str| secrets.clean(text).into_owned();
        assert_eq!(cut("bad key sk-0123456789abcdef of sk-012345…"), "bad key [redacted] of sk-012345…");
        assert_eq!(cut("bad key sk-0123456789…"), "bad key [redacted]…");
        assert_eq!(cut("Bearer of tëam-secret, tëam-secr"), "Bearer of [redacted], [redacted]");
        assert_eq!(cut("Bearer tëam-secretsk-0123456789abc"), "[redacted][redacted]");
        assert_eq!(cut("sk-01"), "sk-01");
    }

    #[test]
    fn a_placeholder_for_a_key_is_no_secret() {
        let mut line = b"{\"name\":\"vllm:none_total\",\"id\":\"x\"}\n".to_vec();
        let before = line.clone();
        Secrets::new(Some("none"), []).clean_json(&mut line);
        Secrets::new(Some("x"), []).clean_json(&mut line);
        assert_eq!(line, before);
    }

    #[test]
    fn without_secrets_nothing_changes() {
        let mut line = b"{\"b\":1,\"a\":\"x\\n\"}\n".to_vec();
        Secrets::default().clean_json(&mut line);
        assert_eq!(line, b"{\"b\":1,\"a\":\"x\\n\"}\n");
    }
}
