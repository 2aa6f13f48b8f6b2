//! The page at `/`: a few lines that point further, as text or, for browsers, with links.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::codec::negotiate;

/// A page that describes a server and where to go next.
pub struct Home {
    /// Short name of the server.
    pub title: &'static str,
    /// Paths and their descriptions.
    pub links: &'static [(&'static str, &'static str)],
    /// A closing note.
    pub note: &'static str,
}

impl Home {
    /// Renders the page in the form that the client prefers.
    pub fn page(&self, headers: &HeaderMap) -> Response {
        let (kind, text) = match negotiate(headers, ["text/plain", "text/html"]) {
            Ok(1) => ("text/html; charset=utf-8", self.html()),
            _ => ("text/plain; charset=utf-8", self.text()),
        };
        let mut response = text.into_response();
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        let vary = HeaderValue::from_static("accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (path, what) in self.links {
            let _ = writeln!(text, "  {path:<16} {what}");
        }
        let _ = write!(text, "\n{}\n", self.note);
        text
    }

    fn html(&self) -> String {
        let Home { title, note, .. } = self;
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <style>body {{ font-family: sans-serif; max-width: 40em; margin: 3em auto }}</style>\n\
             <h1>{title}</h1>\n<ul>\n"
        );
        for (path, what) in self.links {
            let _ = writeln!(html, "<li><a href=\"{path}\">{path}</a>: {what}</li>");
        }
        let _ = write!(html, "</ul>\n<p>{note}</p>\n</html>\n");
        html
    }
}
