//! Plots as SVG, drawn here: bars, each with its number for whoever hovers, and the same as a table for whoever cannot see them.
//! What they look like stands in the stylesheet: the page allows no style of its own.

use serde::Serialize;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// A bar, and which of the colours it has.
#[derive(Debug, Serialize)]
pub struct Bar {
    pub label: String,
    pub value: i64,
    /// `good`, `fair` or `bad`.
    pub tone: &'static str,
    #[serde(flatten)]
    place: Place,
}

#[derive(Debug, Default, Serialize)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Bar {
    pub fn new(label: impl Into<String>, value: i64, tone: &'static str) -> Self {
        Self { label: label.into(), value, tone, place: Place::default() }
    }
}

/// A plot as its template needs it.
#[derive(Debug, Serialize)]
pub struct Plot {
    /// For the whole page, to name its parts.
    pub id: &'static str,
    pub title: String,
    pub bars: Vec<Bar>,
    pub most: i64,
    pub width: f64,
    pub height: f64,
}

impl Plot {
    pub fn new(id: &'static str, title: impl Into<String>, mut bars: Vec<Bar>) -> Self {
        let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
        let slot = WIDTH / bars.len().max(1) as f64;
        for (n, bar) in bars.iter_mut().enumerate() {
            // What there is shows, however little it is.
            let height = (bar.value as f64 / most as f64 * HEIGHT).max(if bar.value > 0 { 2.0 } else { 0.0 });
            let place = Place { x: n as f64 * slot + slot * 0.1, y: HEIGHT - height, width: slot * 0.8, height };
            bar.place = Place {
                x: rounded(place.x),
                y: rounded(place.y),
                width: rounded(place.width),
                height: rounded(place.height),
            };
        }
        Self { id, title: title.into(), bars, most, width: WIDTH, height: HEIGHT }
    }
}

fn rounded(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_one_line_and_the_smallest_can_be_seen() {
        let plot = Plot::new("x", "x", [1000, 500, 1, 0].map(|value| Bar::new("", value, "good")).into());
        let shown: Vec<_> = plot.bars.iter().map(|bar| (bar.place.x, bar.place.y, bar.place.height)).collect();
        assert_eq!(shown, [(18.0, 0.0, 120.0), (198.0, 60.0, 60.0), (378.0, 118.0, 2.0), (558.0, 120.0, 0.0)]);
        assert_eq!(Plot::new("x", "x", Vec::new()).most, 1);
    }
}
