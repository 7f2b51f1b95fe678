//! What is no single run's report, as a page: sentences, tables, figures. Each writer lays it out in its own
//! way. This file must not know what the page is about.

use super::markdown;
use super::tables::Table;

/// A page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub title: String,
    /// What a reader wants to know first.
    pub first: Vec<String>,
    pub tables: Vec<Table>,
    /// Caption and file of each figure, for writers that show them.
    pub figures: Vec<(String, String)>,
    /// What must be said at the end.
    pub last: Vec<String>,
}

impl Page {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// With one more table, first of all, unless it is empty.
    #[must_use]
    pub fn with(mut self, table: Table) -> Self {
        if !table.rows.is_empty() {
            self.tables.insert(0, table);
        }
        self
    }

    /// Leaves tables without rows out.
    pub(super) fn of(title: String, first: Vec<String>, tables: Vec<Table>, last: Vec<String>) -> Self {
        let tables = tables.into_iter().filter(|table| !table.rows.is_empty()).collect();
        Self { title, first, tables, figures: Vec::new(), last }
    }
}
