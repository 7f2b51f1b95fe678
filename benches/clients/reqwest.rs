//! The reference client by reqwest: one connection pool for all, one task a stream.

use anyhow::ensure;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;

use crate::reference::{Answer, Sse, Task};

pub const NAME: &str = "reqwest";

pub fn pool() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().build()?)
}

/// One stream: request after request, until the time is over.
pub async fn stream(task: &Task, pool: &Client) -> anyhow::Result<Vec<Answer>> {
    let (url, mut answers) = (task.url(), Vec::new());
    // The pool opens connections for requests alone: one that counts for nothing.
    pool.get(format!("http://{}/health", task.authority)).send().await?.bytes().await?;
    while let Some((id, body)) = task.next() {
        let mut answer = Answer::begin(&id);
        let request = pool.post(&url).header(CONTENT_TYPE, "application/json").header("x-request-id", &id);
        let mut response = request.body(body).send().await?;
        ensure!(response.status().is_success(), "the server answers {}", response.status());
        let mut sse = Sse::default();
        while let Some(bytes) = response.chunk().await? {
            sse.push(&bytes, &mut answer);
        }
        answers.push(answer);
    }
    Ok(answers)
}
