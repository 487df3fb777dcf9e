//! The files that the pages need: one stylesheet, one script and an icon. They hold nothing of anybody.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("templates/style.css")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("templates/live.js")),
    ("icon.svg", "image/svg+xml", include_str!("templates/icon.svg")),
];

pub async fn show(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => {
            // Another version has another one, and is asked for within the hour.
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "max-age=3600")], *text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
