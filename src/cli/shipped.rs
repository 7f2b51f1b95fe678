//! What packages carry beside the program, made from the same types: completions for shells, pages of the
//! manual. This file must not know where they are put.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;

/// `tare completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to complete for: bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

impl CompletionsArgs {
    /// Writes the script.
    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tare", &mut script);
        out.write_all(&script)
    }
}

/// `tare man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// The verb whose page is wanted, such as run, or bench serve [default: the program's own]
    #[arg(value_name = "VERB")]
    pub verb: Vec<String>,
    /// Write all pages into this folder instead, such as tare.1 and tare-run.1
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub out: Option<PathBuf>,
}

/// A page of the manual.
#[derive(Clone, Debug)]
pub struct Page {
    /// As `man` is asked for it: `tare-run`.
    pub name: String,
    /// roff with the macros of `man(7)`.
    pub text: Vec<u8>,
}

/// The pages of the program and of each verb, the program's first.
pub fn pages() -> io::Result<Vec<Page>> {
    let mut tare = Cli::command().disable_help_subcommand(true);
    tare.build();
    let mut names = Vec::new();
    collect(&tare, &mut |command| names.push(name(command).to_owned()));
    let mut pages = Vec::new();
    collect(&tare, &mut |command| pages.push(page(command, &names)));
    pages.into_iter().collect()
}

fn collect(command: &Command, with: &mut impl FnMut(&Command)) {
    with(command);
    for verb in command.get_subcommands() {
        collect(verb, with);
    }
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// One page, with the sections that `man-pages(7)` asks for and in its order.
fn page(command: &Command, names: &[String]) -> io::Result<Page> {
    let name = name(command).to_owned();
    let man = Man::new(command.clone());
    let version = env!("CARGO_PKG_VERSION");
    // Written out: an empty date must stand in quotes. The file's own date would differ from build to build.
    let mut text = Roff::new().render().into_bytes();
    writeln!(text, ".TH \"{}\" \"1\" \"\" \"tare {version}\" \"tare\"", name.to_uppercase())?;
    let mut add = |section: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| -> io::Result<()> {
        let mut rendered = Vec::new();
        section(&mut rendered)?;
        let preamble = Roff::new().render().into_bytes();
        text.extend_from_slice(rendered.strip_prefix(preamble.as_slice()).unwrap_or(&rendered));
        Ok(())
    };
    add(&|out| man.render_name_section(out))?;
    add(&|out| synopsis(command).to_writer(out))?;
    add(&|out| man.render_description_section(out))?;
    add(&|out| man.render_options_section(out))?;
    if command.has_subcommands() {
        add(&|out| man.render_subcommands_section(out))?;
    }
    add(&|out| ending(&name, names).to_writer(out))?;
    Ok(Page { name, text })
}

/// In short: with every flag, of which a run has more than a hundred, nobody would see the rest.
fn synopsis(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let called = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let rest = usage.strip_prefix(called).unwrap_or(usage);
    roff.control("SH", ["SYNOPSIS"]).text([bold(called), roman(rest)]);
    roff
}

fn ending(name: &str, names: &[String]) -> Roff {
    let mut roff = Roff::new();
    if let Some(codes) = Cli::command().get_after_help() {
        roff.control("SH", ["EXIT STATUS"]).text([roman(codes.to_string())]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others: Vec<&String> = names.iter().filter(|other| *other != name).collect();
    for (n, other) in others.iter().enumerate() {
        let comma = if n + 1 < others.len() { "(1)," } else { "(1)" };
        roff.text([bold(other.as_str()), roman(comma)]);
    }
    roff
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_verb_has_a_page_of_its_own_that_names_each_of_its_flags() {
        let pages = pages().unwrap();
        let mut tare = Cli::command().disable_help_subcommand(true);
        tare.build();
        let mut seen = 0;
        collect(&tare, &mut |command| {
            let page = pages.iter().find(|page| page.name == name(command)).unwrap();
            // roff has its dashes escaped.
            let text = String::from_utf8(page.text.clone()).unwrap().replace("\\-", "-");
            let shown = command.get_arguments().filter(|flag| !flag.is_hide_set());
            for flag in shown.filter_map(clap::Arg::get_long) {
                assert!(text.contains(&format!("--{flag}")), "{} does not say --{flag}", page.name);
            }
            seen += 1;
        });
        assert_eq!(pages.len(), seen);
        assert_eq!(pages.first().unwrap().name, "tare");
        assert!(pages.iter().any(|page| page.name == "tare-bench-serve"));
    }

    #[test]
    fn every_shell_is_told_every_verb() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            CompletionsArgs { shell: *shell }.write(&mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for verb in Cli::command().get_subcommands() {
                assert!(script.contains(verb.get_name()), "{shell}: {}", verb.get_name());
            }
            assert!(script.contains("step-summary"), "{shell}");
        }
    }
}
