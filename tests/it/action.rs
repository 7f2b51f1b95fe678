//! The GitHub Action's own steps, each run as `action.yml` has it, with what GitHub would give it: a release to install
//! from, files for outputs, an event, and an API that keeps comments. What GitHub itself does (artifacts) is not here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, patch};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::source::root;
use crate::support::{Served, serve};

const TOKEN: &str = "a-token-of-the-job";

/// What the API keeps: comments as (id, whose kind, text), and what it refuses.
#[derive(Clone, Default)]
struct Github {
    comments: Arc<Mutex<Vec<(u64, String, String)>>>,
    /// The release's files.
    files: Arc<BTreeMap<String, Vec<u8>>>,
    read_only: bool,
}

impl Github {
    fn serve(&self) -> Served {
        serve(
            Router::new()
                .route("/me/tool/releases/download/{tag}/{file}", get(download))
                .route("/api/repos/me/site/issues/7/comments", get(list).post(create))
                .route("/api/repos/me/site/issues/comments/{id}", patch(update))
                .with_state(self.clone()),
        )
    }

    fn comments(&self) -> Vec<(u64, String, String)> {
        self.comments.lock().unwrap().clone()
    }
}

async fn download(
    State(github): State<Github>,
    Path((tag, file)): Path<(String, String)>,
) -> Result<Vec<u8>, StatusCode> {
    github.files.get(&format!("{tag}/{file}")).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn list(
    State(github): State<Github>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> String {
    let page: usize =
        query.unwrap().split('&').find_map(|pair| pair.strip_prefix("page=")).unwrap().parse().unwrap();
    let comments = github.comments();
    let rows: Vec<Value> = comments
        .chunks(100)
        .nth(page - 1)
        .unwrap_or_default()
        .iter()
        .map(|(id, kind, body)| json!({"id": id, "user": {"login": "x", "type": kind}, "body": body}))
        .collect();
    Value::from(rows).to_string()
}

fn text_of(github: &Github, headers: &HeaderMap, body: &Bytes) -> Result<String, StatusCode> {
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}").as_str());
    if github.read_only {
        return Err(StatusCode::FORBIDDEN);
    }
    let body: Value = serde_json::from_slice(body).unwrap();
    Ok(body["body"].as_str().unwrap().to_owned())
}

async fn create(State(github): State<Github>, headers: HeaderMap, body: Bytes) -> Result<String, StatusCode> {
    let text = text_of(&github, &headers, &body)?;
    let mut comments = github.comments.lock().unwrap();
    let id = comments.len() as u64 + 1;
    comments.push((id, "Bot".to_owned(), text));
    Ok(json!({"html_url": format!("https://x/{id}")}).to_string())
}

async fn update(
    State(github): State<Github>,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<String, StatusCode> {
    let text = text_of(&github, &headers, &body)?;
    let mut comments = github.comments.lock().unwrap();
    comments.iter_mut().find(|comment| comment.0 == id).unwrap().2 = text;
    Ok(json!({"html_url": format!("https://x/{id}")}).to_string())
}

/// A job on a runner: a folder with the configuration, and what its steps have said so far.
struct Job {
    dir: TempDir,
    served: Served,
    inputs: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
}

impl Job {
    fn new(github: &Github, inputs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("event.json"),
            json!({"pull_request": {"number": 7}, "number": 7}).to_string(),
        )
        .unwrap();
        std::fs::write(
            dir.path().join("gates.yaml"),
            "name: nightly\nembedded: {decode_base_ms: 2, jitter: 0}\ngates: ['mean_e2el_ms > 1us', 'failed_percent > 50']\n",
        )
        .unwrap();
        let mut all: BTreeMap<String, String> = action()["inputs"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, input)| (name.clone(), input["default"].as_str().unwrap().to_owned()))
            .collect();
        all.insert("token".to_owned(), TOKEN.to_owned());
        all.extend(inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self { dir, served: github.serve(), inputs: all, outputs: BTreeMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An expression of a step's `env`: names, `||`, nothing else is used there.
    fn value(&self, expression: &str) -> String {
        let known = |name: &str| match name.trim() {
            "github.action_repository" => "me/tool".to_owned(),
            "github.repository" => "me/site".to_owned(),
            "github.action_ref" => "v9.9.9".to_owned(),
            "github.server_url" => self.served.url(""),
            "github.run_id" => "12".to_owned(),
            name => {
                if let Some(input) = name.strip_prefix("inputs.") {
                    return self.inputs[input].clone();
                }
                assert!(name.starts_with("steps.") && name.contains(".outputs."), "{name} is not known here");
                self.outputs.get(name).cloned().unwrap_or_default()
            }
        };
        expression.split("||").map(known).find(|value| !value.is_empty()).unwrap_or_default()
    }

    fn filled(&self, text: &str) -> String {
        let mut parts = text.split("${{");
        let mut filled = parts.next().unwrap().to_owned();
        for part in parts {
            let (expression, rest) = part.split_once("}}").unwrap();
            filled += &self.value(expression);
            filled += rest;
        }
        filled
    }

    /// Runs the step of that name as the action has it.
    fn step(&mut self, name: &str) -> (i32, String) {
        let action = action();
        let steps = action["runs"]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        std::fs::write(self.path("output"), "").unwrap();
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"].as_str().unwrap()])
            .current_dir(self.dir.path())
            .env_remove("OPENAI_API_KEY")
            .env("GITHUB_ACTION_PATH", root())
            .env("GITHUB_OUTPUT", self.path("output"))
            .env("GITHUB_PATH", self.path("path"))
            .env("GITHUB_STEP_SUMMARY", self.path("summary.md"))
            .env("GITHUB_EVENT_PATH", self.path("event.json"))
            .env("GITHUB_SERVER_URL", self.served.url(""))
            .env("GITHUB_API_URL", self.served.url("/api"))
            .env("GITHUB_REPOSITORY", "me/site")
            .env("RUNNER_TEMP", self.path(""));
        for (name, value) in step["env"].as_object().unwrap() {
            bash.env(name, self.filled(value.as_str().unwrap()));
        }
        let Output { status, stdout, stderr } = bash.output().unwrap();
        if let Some(id) = step["id"].as_str() {
            for line in std::fs::read_to_string(self.path("output")).unwrap().lines() {
                let (name, value) = line.split_once('=').unwrap();
                self.outputs.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
            }
        }
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        assert!(!said.contains(TOKEN), "{said}");
        (status.code().unwrap(), said)
    }

    fn output(&self, name: &str) -> &str {
        &self.outputs[&format!("steps.{name}")]
    }
}

fn action() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(root().join("action.yml")).unwrap()).unwrap()
}

/// A release whose program is the one that is tested, called by another name.
fn release(sums: impl FnOnce(String) -> String) -> Github {
    let dir = tempfile::tempdir().unwrap();
    let target =
        if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" }.to_owned() + "-unknown-linux-gnu";
    let name = format!("tare-9.9.9-{target}");
    std::fs::create_dir(dir.path().join(&name)).unwrap();
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_tare"));
    std::fs::write(dir.path().join(&name).join("tare"), script).unwrap();
    let made = Command::new("sh")
        .args(["-c", "chmod +x $0/tare && tar -czf $0.tar.gz $0 && sha256sum $0.tar.gz", &name])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let sums = sums(String::from_utf8(made.stdout).unwrap());
    let archive = std::fs::read(dir.path().join(format!("{name}.tar.gz"))).unwrap();
    let files =
        [(format!("v9.9.9/{name}.tar.gz"), archive), ("v9.9.9/SHA256SUMS".to_owned(), sums.into_bytes())];
    Github { files: Arc::new(files.into()), ..Github::default() }
}

const SMALL: &str = "--users 1 --num-prompts 20 --random-input-len 20 --random-output-len 6 --ignore-eos --scrape-interval 60";

#[test]
fn a_missed_gate_is_reported_commented_once_and_fails_the_job() {
    let github = release(|sums| sums);
    for n in 1..=2 {
        let mut job = Job::new(&github, &[("config", "gates.yaml"), ("args", SMALL)]);
        let (code, said) = job.step("Install tare");
        assert!(code == 0 && said.contains("tare-9.9.9-") && said.contains(": OK"), "{said}");
        let (code, said) = job.step("Run");
        assert_eq!(code, 0, "the job goes on to say what was found: {said}");
        assert!(said.contains("gate missed: `mean_e2el_ms > 1us`"), "{said}");
        assert_eq!(job.output("run.outputs.exit-code"), "1");
        let folder = PathBuf::from(job.output("run.outputs.folder"));
        for file in ["report.html", "report.md", "summary.json", "junit.xml"] {
            assert!(folder.join(file).exists(), "{file}");
        }
        let summary = std::fs::read_to_string(job.path("summary.md")).unwrap();
        assert!(summary.contains("| mean_e2el_ms > 1us | nightly | MISSED |"), "{summary}");
        let (code, said) = job.step("Comment");
        assert!(code == 0 && said.contains(if n == 1 { "commented: " } else { "updated: " }), "{said}");
        let (code, said) = job.step("Judge");
        assert!(code == 1 && said.contains("::error::tare: a gate was missed"), "{said}");
        let comments = github.comments();
        assert_eq!(comments.len(), 1, "the second run updates the comment of the first");
        let text = &comments[0].2;
        assert!(
            text.starts_with("<!-- tare: tare -->\n**tare, tare: a gate was missed**\n\n# nightly\n"),
            "{text}"
        );
        assert!(text.contains("## Client and server") && !text.contains("!["), "{text}");
        assert!(text.ends_with("/me/site/actions/runs/12)\n"), "{text}");
    }
}

#[test]
fn arguments_are_split_as_a_shell_does_and_nothing_in_them_is_run() {
    let github = Github::default();
    let args = format!(
        "{SMALL} --label 'two words'\n  --fail-if \"failed_percent > 1\" --metadata x=$(touch${{IFS}}made)"
    );
    let inputs = [("program", env!("CARGO_BIN_EXE_tare")), ("args", &args), ("name", "by hand")];
    let mut job = Job::new(&github, &inputs);
    assert_eq!(job.step("Install tare").0, 0);
    let (code, said) = job.step("Run");
    assert_eq!((code, job.output("run.outputs.exit-code")), (0, "0"), "{said}");
    let folder = PathBuf::from(job.output("run.outputs.folder"));
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"two words\"") && !job.path("made").exists(), "{manifest}");
    assert!(job.step("Comment").1.contains("commented: "));
    assert!(github.comments()[0].2.starts_with("<!-- tare: by hand -->\n**tare, by hand: all gates kept**"));
    assert_eq!(job.step("Judge").0, 0);
    job.inputs.insert("args".to_owned(), "--label 'open".to_owned());
    let (code, said) = job.step("Run");
    assert!(code == 2 && said.contains("a quote that is not closed"), "{said}");
}

#[test]
fn a_refused_run_fails_the_job_with_its_own_code() {
    let github = Github::default();
    let mut job = Job::new(&github, &[("program", env!("CARGO_BIN_EXE_tare")), ("args", "--num-promts 3")]);
    assert_eq!(job.step("Install tare").0, 0);
    assert_eq!(job.step("Run").0, 0);
    assert_eq!(job.output("run.outputs.exit-code"), "2");
    assert_eq!(job.step("Comment").0, 0);
    assert!(github.comments()[0].2.contains("not run: the command line or configuration is wrong"));
    assert_eq!(job.step("Judge").0, 2);
}

#[test]
fn an_archive_that_is_not_what_its_sum_says_is_not_run() {
    for sums in ["0".repeat(64) + "  tare-9.9.9-NAME.tar.gz\n", String::new()] {
        let target = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
        let wrong = sums.replace("NAME", &format!("{target}-unknown-linux-gnu"));
        let mut job = Job::new(&release(|_| wrong), &[]);
        let (code, said) = job.step("Install tare");
        assert!(code == 2 && said.contains("nothing of it was run"), "{said}");
        assert!(!job.path("path").exists() && job.outputs.is_empty());
    }
}

#[test]
fn without_a_version_there_is_nothing_to_install() {
    let mut job = Job::new(&Github::default(), &[("version", "main")]);
    let (code, said) = job.step("Install tare");
    assert!(code == 2 && said.contains("expected a version such as 0.1.0, found `main`"), "{said}");
}

#[test]
fn a_token_that_may_only_read_and_an_event_without_a_pull_request_fail_nothing() {
    let github = Github { read_only: true, ..Github::default() };
    let mut job = Job::new(&github, &[]);
    job.outputs.insert("steps.run.outputs.exit-code".to_owned(), "0".to_owned());
    let (code, said) = job.step("Comment");
    assert!(code == 0 && said.contains("::warning::") && said.contains("GitHub answered 403"), "{said}");
    std::fs::write(job.path("event.json"), "{\"ref\": \"refs/heads/main\"}").unwrap();
    let (code, said) = job.step("Comment");
    assert!(code == 0 && said.contains("this is no pull request"), "{said}");
}

#[test]
fn only_an_own_comment_is_updated_on_whatever_page_and_a_long_report_is_cut() {
    let github = Github::default();
    let marker = "<!-- tare: tare -->\n";
    let mut comments: Vec<(u64, String, String)> =
        (1..=150).map(|id| (id, "User".to_owned(), format!("{marker}not the action's"))).collect();
    comments[120].1 = "Bot".to_owned();
    *github.comments.lock().unwrap() = comments;
    let mut job = Job::new(&github, &[]);
    std::fs::write(job.path("report.md"), "# long\n".to_owned() + &"ä line of it\n".repeat(9_000)).unwrap();
    let report = job.path("report.md").display().to_string();
    job.outputs.insert("steps.run.outputs.report".to_owned(), report);
    job.outputs.insert("steps.run.outputs.exit-code".to_owned(), "0".to_owned());
    let (code, said) = job.step("Comment");
    assert!(code == 0 && said.contains("updated: https://x/121"), "{said}");
    let changed: Vec<_> =
        github.comments().into_iter().filter(|(_, _, body)| body.contains("# long")).collect();
    assert_eq!(changed.len(), 1);
    let text = &changed[0].2;
    assert!(text.chars().count() <= 65_536 && text.contains("cut: a comment holds no more"));
    assert!(text.ends_with("/actions/runs/12)\n"));
}

/// Keys come from the environment of the caller's step; what a person may write into an event never reaches a shell.
#[test]
fn no_step_has_an_expression_in_its_script() {
    for step in action()["runs"]["steps"].as_array().unwrap() {
        if let Some(run) = step["run"].as_str() {
            assert!(!run.contains("${{"), "{run}");
        }
    }
    for name in action()["inputs"].as_object().unwrap().keys() {
        assert!(!name.contains("key"), "{name}");
    }
}
