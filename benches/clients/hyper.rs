//! The reference client by hyper: one connection and one task a stream, and hyper's own task for the
//! connection.

use anyhow::ensure;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tare::record::Endpoint;
use tokio::net::TcpStream;

use crate::reference::{Answer, Sse, Task};

pub const NAME: &str = "hyper";

/// One stream: request after request, until the time is over.
pub async fn stream(task: &Task) -> anyhow::Result<Vec<Answer>> {
    let (mut sender, mut answers) = (connect(&task.authority).await?, Vec::new());
    while let Some((id, body)) = task.next() {
        let mut answer = Answer::begin(&id);
        sender.ready().await?;
        let request = Request::post(Endpoint::Chat.path())
            .header(HOST, &task.authority)
            .header(CONTENT_TYPE, "application/json")
            .header("x-request-id", &id)
            .body(Full::new(body))?;
        let mut response = sender.send_request(request).await?;
        ensure!(response.status().is_success(), "the server answers {}", response.status());
        let mut sse = Sse::default();
        while let Some(frame) = response.body_mut().frame().await {
            if let Some(bytes) = frame?.data_ref() {
                sse.push(bytes, &mut answer);
            }
        }
        answers.push(answer);
    }
    Ok(answers)
}

async fn connect(authority: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(authority).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
