//! Spellings of the command line: `--num_prompts` is `--num-prompts`, as in `vllm bench serve`.
//! This file must not know which flags there are.

use std::ffi::OsString;

/// The command line with underscores in flag names turned to dashes; values stay as they are.
pub fn normalise_args(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut only_values = false;
    args.into_iter()
        .map(|arg| {
            if arg == "--" {
                only_values = true;
            }
            if only_values { arg } else { arg.to_str().and_then(normalised).map_or(arg, OsString::from) }
        })
        .collect()
}

/// `None` when there is nothing to change.
fn normalised(arg: &str) -> Option<String> {
    let (name, value) = arg.find('=').map_or((arg, ""), |equals| arg.split_at(equals));
    let is_flag = name.starts_with("--") && name.contains('_');
    is_flag.then(|| name.replace('_', "-") + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalise(args: &[&str]) -> Vec<OsString> {
        normalise_args(args.iter().map(OsString::from))
    }

    #[test]
    fn names_change_and_values_do_not() {
        let args = [
            "tare",
            "run",
            "--num_prompts",
            "5",
            "--request_id_prefix=a_b",
            "my_file.yaml",
            "-v",
            "--users",
            "1",
        ];
        let dashed = [
            "tare",
            "run",
            "--num-prompts",
            "5",
            "--request-id-prefix=a_b",
            "my_file.yaml",
            "-v",
            "--users",
            "1",
        ];
        assert_eq!(normalise(&args), dashed);
    }

    #[test]
    fn after_two_dashes_all_are_values() {
        assert_eq!(normalise(&["run", "--", "--a_b"]), ["run", "--", "--a_b"]);
    }

    #[cfg(unix)]
    #[test]
    fn text_that_is_not_unicode_passes() {
        use std::os::unix::ffi::OsStringExt;
        let odd = OsString::from_vec(vec![b'-', b'-', 0xff, b'_']);
        assert_eq!(normalise_args([odd.clone()]), [odd]);
    }
}
