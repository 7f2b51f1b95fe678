//! `tare man`: a page of the manual on stdout, or all of them as files of a folder.

use std::io::Write;
use std::path::Path;

use crate::cli::{ManArgs, Page, pages};
use crate::error::{Exit, Explain, usage};

/// Runs the verb.
pub fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    let pages = pages()?;
    if let Some(folder) = &args.out {
        write_all(&pages, folder)?;
        return Ok(Exit::Finished);
    }
    let wanted = std::iter::once("tare").chain(args.verb.iter().map(String::as_str));
    let wanted = wanted.collect::<Vec<_>>().join("-");
    let Some(page) = pages.iter().find(|page| page.name == wanted) else {
        let verbs: Vec<String> = pages
            .iter()
            .filter_map(|page| page.name.strip_prefix("tare-"))
            .map(|v| v.replace('-', " "))
            .collect();
        return Err(usage(format!("there is no verb `{}`", args.verb.join(" ")))
            .hint(format!("the verbs are {}", verbs.join(", ")))
            .into());
    };
    super::unless_closed(crate::plain::stdout().write_all(&page.text))?;
    Ok(Exit::Finished)
}

fn write_all(pages: &[Page], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).or_usage(format!("{} could not be made", folder.display()))?;
    for page in pages {
        let path = folder.join(format!("{}.1", page.name));
        std::fs::write(&path, &page.text).or_broken(format!("{} could not be written", path.display()))?;
    }
    Ok(())
}
