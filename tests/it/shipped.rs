//! Completions and pages of the manual, held against the programs that read them (where those are there).

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::program::Place;

/// What `program` says to `text` on its standard input; `None` where there is no such program.
fn read_by(program: &str, args: &[&str], text: &str) -> Option<Output> {
    let mut child = match Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("not checked: there is no `{program}` here");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    Some(output)
}

#[test]
fn shells_can_read_their_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.tare(&format!("completions {shell}"));
        assert_eq!((script.code, script.err.as_str()), (Some(0), ""), "{shell}");
        // The other two have no way to read without doing.
        if ["bash", "zsh", "fish"].contains(&shell)
            && let Some(read) = read_by(shell, &["-n"], &script.out)
        {
            let said = String::from_utf8_lossy(&read.stderr);
            assert!(read.status.success() && said.is_empty(), "{shell}: {said}");
        }
    }
}

/// What bash would offer for the last of `words`.
fn offered(place: &Place, words: &[&str]) -> Option<String> {
    let script = place.tare("completions bash").out;
    let asked = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={}\n_tare tare '{}' '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let read = read_by("bash", &["--norc"], &asked)?;
    Some(String::from_utf8(read.stdout).unwrap())
}

#[test]
fn bash_offers_verbs_flags_and_values() {
    let place = Place::new();
    for (words, wanted) in [
        (vec!["tare", "cali"], "calibrate"),
        (vec!["tare", "run", "--step"], "--step-summary"),
        (vec!["tare", "bench", "serve", "--goodp"], "--goodput"),
        (vec!["tare", "run", "--fail-on", "''"], "certain"),
        (vec!["tare", "completions", "''"], "fish"),
    ] {
        if let Some(offered) = offered(&place, &words) {
            assert!(offered.split_whitespace().any(|word| word == wanted), "{words:?}: {offered:?}");
        }
    }
}

#[test]
fn a_page_for_each_verb_that_man_reads_without_a_warning() {
    let place = Place::new();
    assert_eq!(place.tare("man --out pages").code, Some(0));
    let mut pages = 0;
    for entry in std::fs::read_dir(place.path("pages")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Some(read) = read_by("groff", &["-K", "utf8", "-man", "-Tutf8", "-ww", "-z", "-b"], &text) {
            let said = String::from_utf8_lossy(&read.stderr);
            assert!(read.status.success() && said.is_empty(), "{}: {said}", path.display());
        }
        pages += 1;
    }
    assert!(pages >= 15, "{pages} pages");
    let run = std::fs::read_to_string(place.path("pages/tare-run.1")).unwrap();
    assert_eq!(place.tare("man run").out, run);
    assert_eq!(
        place.tare("man bench serve").out,
        std::fs::read_to_string(place.path("pages/tare-bench-serve.1")).unwrap()
    );
}

#[test]
fn a_verb_that_is_none_has_no_page() {
    let said = Place::new().tare("man rum");
    insta::assert_snapshot!(said.shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: there is no verb `rum`
    hint: the verbs are run, report, correlate, compare, audit, explain, doctor, calibrate, prepare, tap, serve, bench, bench serve, completions, man
    ");
}
