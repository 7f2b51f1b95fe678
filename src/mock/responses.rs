//! What answers of the responses API look like on the wire: typed events, each with its name, its number and
//! what it says, key by key as vLLM 0.32 writes them. This file must not know when anything is sent.

use super::body::Job;
use super::chunks::{Label, http_chunk, push, push_json, push_metrics};
use super::parts::{Part, Said, Told};
use super::python;
use super::registry::Finished;
use super::teller::Piece;
use super::tokens::text_hash;

/// The function that every tool call is of.
pub const FUNCTION: &str = "weather";

/// Writes the events of one answer.
pub struct Responses {
    about: About,
    /// Number of the next event.
    sequence: u32,
    /// Number of the item that is being told.
    item: u32,
    part: Option<Part>,
    /// What of it has been told.
    text: String,
    /// The items that are whole.
    output: Vec<String>,
    /// Tokens without text, told with the next ones that have some.
    silent: u32,
}

/// What all events say of the answer.
struct About {
    id: String,
    created_s: i64,
    model: String,
    instructions: Option<String>,
    temperature: f64,
    top_p: f64,
    max_output_tokens: i64,
}

impl Responses {
    pub fn new(job: &Job, label: &Label<'_>) -> Self {
        Self {
            about: About::new(job, label),
            sequence: 0,
            item: 0,
            part: None,
            text: String::new(),
            output: Vec::new(),
            silent: 0,
        }
    }

    pub fn begin(&mut self, told: &mut Told) {
        for name in ["response.created", "response.in_progress"] {
            let mut fields = b"\"response\":".to_vec();
            self.about.write("in_progress", &[], None, &mut fields);
            self.event(name, &fields, "", told);
            told.event(0, false);
        }
    }

    pub fn piece(&mut self, piece: &Piece<'_>, told: &mut Told) {
        let tokens = piece.tokens + std::mem::take(&mut self.silent);
        if self.part != Some(piece.part) {
            self.close(told);
            self.open(piece.part, told);
            if piece.part == Part::Tool {
                // The first tokens of a call are its name.
                told.event(tokens, false);
                return;
            }
            told.event(0, false);
            self.content_part(piece.part, "added", "[]", told);
        }
        if piece.text.is_empty() {
            self.silent = tokens;
            return;
        }
        self.text.push_str(piece.text);
        let delta = json(piece.text);
        let (id, item) = (self.item_id(piece.part), self.item);
        let fields = match piece.part {
            Part::Tool => format!("\"delta\":{delta},\"item_id\":{id},\"output_index\":{item}"),
            Part::Reasoning => {
                format!("\"content_index\":0,\"delta\":{delta},\"item_id\":{id},\"output_index\":{item}")
            }
            Part::Text => format!(
                "\"content_index\":0,\"delta\":{delta},\"item_id\":{id},\"logprobs\":[],\"output_index\":{item}"
            ),
        };
        let name = format!("response.{}.delta", kind(piece.part));
        self.event(&name, fields.as_bytes(), "", told);
        told.event(tokens, piece.part == Part::Text);
    }

    pub fn end(&mut self, done: &Finished, in_band: bool, told: &mut Told) {
        self.close(told);
        let mut fields = b"\"response\":".to_vec();
        self.about.write(status(done), &self.output, Some((done, in_band)), &mut fields);
        self.event("response.completed", &fields, "", told);
        told.event(0, false);
    }

    /// Begins an item; its event is still to be marked.
    fn open(&mut self, part: Part, told: &mut Told) {
        self.part = Some(part);
        let id = self.item_id(part);
        let item = match part {
            Part::Reasoning => format!(
                "{{\"id\":{id},\"summary\":[],\"type\":\"reasoning\",\"content\":null,\"encrypted_content\":null,\"status\":\"in_progress\"}}"
            ),
            Part::Text => format!(
                "{{\"id\":{id},\"content\":[],\"role\":\"assistant\",\"status\":\"in_progress\",\"type\":\"message\",\"phase\":null}}"
            ),
            Part::Tool => self.call("", "in_progress"),
        };
        let fields = format!("\"item\":{item},\"output_index\":{}", self.item);
        self.event("response.output_item.added", fields.as_bytes(), "", told);
    }

    /// Ends the item that is being told, if there is one.
    fn close(&mut self, told: &mut Told) {
        let Some(part) = self.part.take() else { return };
        let (id, item, text) = (self.item_id(part), self.item, json(&self.text));
        let name = format!("response.{}.done", kind(part));
        match part {
            Part::Reasoning => {
                let fields = format!("\"content_index\":0,\"item_id\":{id},\"output_index\":{item}");
                self.event(&name, fields.as_bytes(), &format!(",\"text\":{text}"), told);
            }
            Part::Text => {
                let fields =
                    format!("\"content_index\":0,\"item_id\":{id},\"logprobs\":[],\"output_index\":{item}");
                self.event(&name, fields.as_bytes(), &format!(",\"text\":{text}"), told);
            }
            Part::Tool => {
                let fields = format!("\"arguments\":{text},\"item_id\":{id},\"output_index\":{item}");
                self.event(&name, fields.as_bytes(), "", told);
            }
        }
        told.event(0, false);
        if part != Part::Tool {
            self.content_part(part, "done", "null", told);
        }
        let whole = match part {
            Part::Tool => self.call(&self.text, "completed"),
            _ => item_json(part, &id, &self.text, "\"completed\""),
        };
        let fields = format!("\"item\":{whole},\"output_index\":{item}");
        self.event("response.output_item.done", fields.as_bytes(), "", told);
        told.event(0, false);
        self.output.push(whole);
        self.text.clear();
        self.item += 1;
    }

    fn content_part(&mut self, part: Part, what: &str, logprobs: &str, told: &mut Told) {
        let (id, item, text) = (self.item_id(part), self.item, json(&self.text));
        let part = match part {
            Part::Text => format!(
                "{{\"annotations\":[],\"text\":{text},\"type\":\"output_text\",\"logprobs\":{logprobs}}}"
            ),
            _ => format!("{{\"text\":{text},\"type\":\"reasoning_text\"}}"),
        };
        let fields = format!("\"content_index\":0,\"item_id\":{id},\"output_index\":{item},\"part\":{part}");
        self.event(&format!("response.content_part.{what}"), fields.as_bytes(), "", told);
        told.event(0, false);
    }

    /// Appends an event; `after` comes between its number and its type.
    fn event(&mut self, name: &str, fields: &[u8], after: &str, told: &mut Told) {
        let mut payload = format!("event: {name}\ndata: {{").into_bytes();
        payload.extend_from_slice(fields);
        // The one event that has a key after its type.
        let last = match name {
            "response.function_call_arguments.done" => format!(",\"name\":{}", json(FUNCTION)),
            _ => String::new(),
        };
        push(
            &mut payload,
            format_args!(",\"sequence_number\":{}{after},\"type\":\"{name}\"{last}}}\n\n", self.sequence),
        );
        self.sequence += 1;
        http_chunk(&payload, &mut told.bytes);
    }

    fn item_id(&self, part: Part) -> String {
        item_id(&self.about.id, part, self.item)
    }

    fn call(&self, arguments: &str, status: &str) -> String {
        call_json(&self.about.id, self.item, arguments, status)
    }
}

/// A whole answer in one body.
pub fn whole(job: &Job, label: &Label<'_>, said: &Said, done: &Finished, in_band: bool) -> Vec<u8> {
    let about = About::new(job, label);
    let mut output = Vec::new();
    for (part, text) in [(Part::Reasoning, &said.reasoning), (Part::Text, &said.text)] {
        if !text.is_empty() {
            let id = item_id(&about.id, part, output.len() as u32);
            let status = if part == Part::Text { "\"completed\"" } else { "null" };
            output.push(item_json(part, &id, text, status));
        }
    }
    if let Some(arguments) = &said.tool {
        output.push(call_json(&about.id, output.len() as u32, arguments, "completed"));
    }
    let mut out = Vec::new();
    about.write(status(done), &output, Some((done, in_band)), &mut out);
    out
}

/// An error in the middle of a stream, as the API's description has it.
pub fn stream_error(out: &mut Vec<u8>) {
    let event = "event: error\ndata: {\"code\":\"server_error\",\"message\":\"Internal server error\",\"param\":null,\"sequence_number\":0,\"type\":\"error\"}\n\n";
    http_chunk(event.as_bytes(), out);
}

impl About {
    fn new(job: &Job, label: &Label<'_>) -> Self {
        Self {
            id: label.response_id.to_owned(),
            created_s: label.created_s,
            model: label.model.to_owned(),
            instructions: job.instructions.clone(),
            temperature: job.params.temperature,
            top_p: job.params.top_p,
            max_output_tokens: job.params.max_tokens,
        }
    }

    /// The answer as an object; usage once it is done, with metrics where the server gives them.
    fn write(&self, status: &str, output: &[String], done: Option<(&Finished, bool)>, out: &mut Vec<u8>) {
        let incomplete = if status == "incomplete" { "{\"reason\":\"max_output_tokens\"}" } else { "null" };
        push(
            out,
            format_args!(
                "{{\"id\":{},\"created_at\":{},\"incomplete_details\":{incomplete},\"instructions\":",
                json(&self.id),
                self.created_s
            ),
        );
        push_json(out, &self.instructions);
        push(
            out,
            format_args!(
                ",\"metadata\":null,\"model\":{},\"object\":\"response\",\"output\":[{}],\"parallel_tool_calls\":true,\
                 \"temperature\":{},\"tool_choice\":\"none\",\"tools\":[],\"top_p\":{},\"background\":false,\
                 \"max_output_tokens\":{},\"max_tool_calls\":null,\"previous_response_id\":null,\"prompt\":null,\
                 \"reasoning\":null,\"service_tier\":\"auto\",\"status\":\"{status}\",\"text\":null,\"top_logprobs\":null,\
                 \"truncation\":\"disabled\",\"usage\":",
                json(&self.model),
                output.join(","),
                python::repr(self.temperature),
                python::repr(self.top_p),
                self.max_output_tokens
            ),
        );
        match done {
            None => out.extend_from_slice(b"null"),
            Some((done, _)) => {
                let (prompt, cached, output) = (done.prompt_tokens, done.cached_tokens, done.output_tokens);
                let total = prompt + output;
                push(
                    out,
                    format_args!(
                        "{{\"input_tokens\":{prompt},\"input_tokens_details\":{{\"cached_tokens\":{cached},\
                         \"cache_write_tokens\":0,\"input_tokens_per_turn\":[],\"cached_tokens_per_turn\":[]}},\
                         \"output_tokens\":{output},\"output_tokens_details\":{{\"reasoning_tokens\":0,\
                         \"tool_output_tokens\":0,\"output_tokens_per_turn\":[],\"tool_output_tokens_per_turn\":[]}},\
                         \"total_tokens\":{total}}}"
                    ),
                );
            }
        }
        out.extend_from_slice(b",\"user\":null");
        if let Some((done, true)) = done {
            out.extend_from_slice(b",\"metrics\":");
            push_metrics(out, done, true);
        }
        out.extend_from_slice(
            b",\"presence_penalty\":0.0,\"frequency_penalty\":0.0,\"kv_transfer_params\":null,\"ec_transfer_params\":null,\
              \"input_messages\":null,\"output_messages\":null}",
        );
    }
}

fn status(done: &Finished) -> &'static str {
    if done.reason.is_stop() { "completed" } else { "incomplete" }
}

/// The middle of an event's name.
fn kind(part: Part) -> &'static str {
    match part {
        Part::Reasoning => "reasoning_text",
        Part::Text => "output_text",
        Part::Tool => "function_call_arguments",
    }
}

/// An id of a kind, made of the answer's own and the item's number.
fn id(prefix: &str, response: &str, item: u32) -> String {
    format!("{prefix}{:016x}", text_hash(&format!("{response}/{item}")))
}

fn item_id(response: &str, part: Part, item: u32) -> String {
    let prefix = match part {
        Part::Reasoning => "rs_",
        Part::Text => "msg_",
        Part::Tool => "fc_",
    };
    json(&id(prefix, response, item))
}

fn item_json(part: Part, id: &str, text: &str, status: &str) -> String {
    let text = json(text);
    match part {
        Part::Reasoning => format!(
            "{{\"id\":{id},\"summary\":[],\"type\":\"reasoning\",\"content\":[{{\"text\":{text},\"type\":\"reasoning_text\"}}],\
             \"encrypted_content\":null,\"status\":{status}}}"
        ),
        _ => format!(
            "{{\"id\":{id},\"content\":[{{\"annotations\":[],\"text\":{text},\"type\":\"output_text\",\"logprobs\":null}}],\
             \"role\":\"assistant\",\"status\":{status},\"type\":\"message\",\"phase\":null}}"
        ),
    }
}

fn call_json(response: &str, item: u32, arguments: &str, status: &str) -> String {
    format!(
        "{{\"arguments\":{},\"call_id\":{},\"name\":{},\"type\":\"function_call\",\"id\":{},\"async\":null,\"caller\":null,\
         \"namespace\":null,\"status\":\"{status}\"}}",
        json(arguments),
        json(&id("chatcmpl-tool-", response, item)),
        json(FUNCTION),
        item_id(response, Part::Tool, item)
    )
}

fn json(text: &str) -> String {
    // Texts always serialise.
    serde_json::to_string(text).unwrap_or_default()
}
