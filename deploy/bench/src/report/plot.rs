//! The report as a picture: a bar for each ratio, with a line where its target is, and latencies by rate.

use std::fmt::Write;

use super::Report;
use super::figures::{Figures, Unit, at};
use super::names::{self as n, open_row};
use super::targets::{Target, Wanted};

const WIDTH: f64 = 1040.0;
/// Height of a bar with the space below it.
const BAR: f64 = 34.0;
/// Where bars begin: to their left stand their names.
const LEFT: f64 = 440.0;
/// The length of a bar of ratio 1.
const ONE: f64 = 380.0;
/// The largest ratio that is drawn to its end.
const MOST: f64 = 1.25;
const HEAD: f64 = 64.0;
const CURVES_WIDTH: f64 = 400.0;
const CURVES_HEIGHT: f64 = 260.0;
const MET: &str = "#2f7d4f";
const MISSED: &str = "#b3423a";
const GREY: &str = "#6b7280";
/// Series of the curves: column, color, dashes.
const SERIES: [(&str, &str, &str); 4] = [
    (n::ACCEPT_P50, "#60a5fa", ""),
    (n::ACCEPT_P99, "#1d4ed8", ""),
    (n::VISIBLE_P50, "#f59e0b", "6 3"),
    (n::VISIBLE_P99, "#b45309", "6 3"),
];

/// An SVG that grows.
struct Canvas(String);

impl Canvas {
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        self.0.write_fmt(element).expect("a String takes what is written");
        self.0.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, attributes: &str, text: &str) {
        let text = escaped(text);
        self.put(format_args!(r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{text}</text>"#));
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), attributes: &str) {
        self.put(format_args!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {attributes}/>"#));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The picture.
#[must_use]
pub fn svg(report: &Report) -> String {
    let is_ratio = |target: &&Target| target.unit == Unit::Ratio && target.measured.is_some();
    let bars: Vec<_> = report.targets.iter().filter(is_ratio).collect();
    let curves: Vec<_> = [n::PAIR, n::EMBEDDED].into_iter().map(|system| Curves::of(&report.figures, system)).collect();
    let curves: Vec<_> = curves.into_iter().filter(|curves| !curves.rates.is_empty()).collect();
    let bars_end = HEAD + BAR * bars.len() as f64;
    let height = bars_end + if curves.is_empty() { 30.0 } else { CURVES_HEIGHT + 130.0 };
    let mut canvas = Canvas(String::new());
    canvas.put(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="13">"#
    ));
    canvas.put(format_args!(r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##));
    canvas.text(
        20.0,
        30.0,
        r#"font-size="18" font-weight="600""#,
        "Rastro against its ceilings, and how long an event takes",
    );
    let below = format!("{}, {}", report.begun, report.revision);
    canvas.text(20.0, 48.0, &format!(r#"fill="{GREY}""#), &below);
    for (index, target) in bars.iter().enumerate() {
        bar(&mut canvas, HEAD + BAR * index as f64, target);
    }
    for (index, curves) in curves.iter().enumerate() {
        curves.draw(&mut canvas, 70.0 + 470.0 * index as f64, bars_end + 50.0);
    }
    if !curves.is_empty() {
        legend(&mut canvas, bars_end + CURVES_HEIGHT + 110.0);
    }
    canvas.0 + "</svg>\n"
}

fn bar(canvas: &mut Canvas, y: f64, target: &Target) {
    let Some(measured) = target.measured else { return };
    let (Wanted::AtLeast(wanted) | Wanted::AtMost(wanted)) = target.wanted;
    let x = |ratio: f64| LEFT + ONE * ratio.clamp(0.0, MOST);
    let color = if target.met == Some(true) { MET } else { MISSED };
    canvas.text(LEFT - 10.0, y + 16.0, r#"text-anchor="end""#, &target.what);
    let width = x(measured.median) - LEFT;
    canvas.put(format_args!(
        r#"<rect x="{LEFT}" y="{y:.1}" width="{width:.1}" height="20" fill="{color}" opacity="0.85"/>"#
    ));
    let middle = y + 10.0;
    canvas.line((x(measured.min), middle), (x(measured.max), middle), r##"stroke="#111827" stroke-width="2""##);
    canvas.line(
        (x(wanted), y - 4.0),
        (x(wanted), y + 24.0),
        r##"stroke="#111827" stroke-width="2" stroke-dasharray="3 2""##,
    );
    let end = x(measured.median.max(wanted).max(measured.max)) + 8.0;
    canvas.text(end, y + 15.0, "", &format!("{:.2} (≥ {wanted:.2})", measured.median));
}

fn legend(canvas: &mut Canvas, y: f64) {
    for (index, (column, color, dashes)) in SERIES.iter().enumerate() {
        let x = 70.0 + 160.0 * index as f64;
        canvas.line(
            (x, y - 4.0),
            (x + 28.0, y - 4.0),
            &format!(r#"stroke="{color}" stroke-width="2.5" stroke-dasharray="{dashes}""#),
        );
        canvas.text(x + 36.0, y, "", column);
    }
}

/// Latencies of one system by rate, on two logarithmic axes.
struct Curves<'a> {
    figures: &'a Figures,
    system: &'a str,
    rates: Vec<u64>,
}

/// The ends of the axis of milliseconds.
const MILLISECONDS: (f64, f64) = (0.1, 10_000.0);

impl<'a> Curves<'a> {
    fn of(figures: &'a Figures, system: &'a str) -> Self {
        let was_measured = |rate: &u64| figures.get(at(n::OPEN, &open_row(system, *rate), n::ACCEPT_P50)).is_some();
        let rates = crate::report::plan::RATES.into_iter().filter(was_measured).collect();
        Self { figures, system, rates }
    }

    fn x(&self, rate: u64) -> f64 {
        let (low, high) = (self.rates[0] as f64, self.rates[self.rates.len() - 1] as f64);
        if high <= low { 0.0 } else { CURVES_WIDTH * (rate as f64 / low).ln() / (high / low).ln() }
    }

    fn y(millis: f64) -> f64 {
        let (low, high) = MILLISECONDS;
        CURVES_HEIGHT * (1.0 - (millis.clamp(low, high) / low).ln() / (high / low).ln())
    }

    fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        canvas.text(
            left,
            top - 16.0,
            r#"font-weight="600""#,
            &format!("{}: milliseconds by events a second", self.system),
        );
        let mut decade = MILLISECONDS.0;
        while decade <= MILLISECONDS.1 {
            let y = top + Self::y(decade);
            canvas.line((left, y), (left + CURVES_WIDTH, y), r##"stroke="#e5e7eb""##);
            canvas.text(left - 6.0, y + 4.0, &format!(r#"text-anchor="end" fill="{GREY}""#), &decade.to_string());
            decade *= 10.0;
        }
        for &rate in &self.rates {
            let place = format!(r#"text-anchor="middle" fill="{GREY}""#);
            canvas.text(left + self.x(rate), top + CURVES_HEIGHT + 20.0, &place, &rate.to_string());
        }
        for (column, color, dashes) in SERIES {
            let point = |&rate: &u64| {
                let figure = self.figures.get(at(n::OPEN, &open_row(self.system, rate), column))?;
                Some((left + self.x(rate), top + Self::y(figure.spread.median)))
            };
            let points: Vec<_> = self.rates.iter().filter_map(point).collect();
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            canvas.put(format_args!(
                r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2.5" stroke-dasharray="{dashes}"/>"#,
                path.join(" ")
            ));
            for (x, y) in points {
                canvas.put(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{color}"/>"#));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Machine, targets};

    fn report() -> Report {
        let mut figures = Figures::default();
        for rate in crate::report::plan::RATES {
            for (column, ..) in SERIES {
                figures.add(at(n::OPEN, &open_row(n::PAIR, rate), column), Unit::Milliseconds, rate as f64 / 500.0);
            }
        }
        figures.add(at(n::HOT, n::TEN, n::VISIBLE), Unit::PerSecond, 30_000.0);
        figures.add(at(n::HOT, n::SPREAD, n::VISIBLE), Unit::PerSecond, 10_000.0);
        Report {
            begun: "2026-01-01T00:00:00Z".to_owned(),
            took_seconds: 1.0,
            revision: "a <wild> & \"quoted\" name".to_owned(),
            quick: true,
            rounds: 1,
            machine: Machine::default(),
            targets: targets::targets(&figures),
            figures,
            wrong: Vec::new(),
        }
    }

    /// Enough of XML for what is written here: each element is closed in its order, and nothing wild stands in a text.
    fn is_well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        let mut parts = svg.split('<');
        if parts.next() != Some("") {
            return false;
        }
        for part in parts {
            let Some((tag, text)) = part.split_once('>') else { return false };
            if text.contains('&') && !["&amp;", "&lt;", "&gt;", "&quot;"].iter().any(|entity| text.contains(entity)) {
                return false;
            }
            match (tag.strip_prefix('/'), tag.strip_suffix('/')) {
                (Some(name), _) if open.pop() == Some(name) => {}
                (Some(_), _) => return false,
                (None, Some(single)) if single.matches('"').count().is_multiple_of(2) => {}
                (None, Some(_)) => return false,
                (None, None) => open.push(tag.split(' ').next().unwrap_or_default()),
            }
        }
        open.is_empty()
    }

    #[test]
    fn the_picture_is_well_formed_and_draws_what_was_measured() {
        let svg = svg(&report());
        assert!(is_well_formed(&svg), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), SERIES.len(), "of the pair only: embedded was not measured");
        assert!(svg.contains("3.00 (≥ 1.00)"), "{svg}");
        assert!(svg.contains("a &lt;wild&gt; &amp; &quot;quoted&quot; name"));
        assert!(!is_well_formed("<svg><g></svg>") && !is_well_formed("<svg>a & b</svg>"));
    }

    #[test]
    fn longer_latencies_are_drawn_higher_and_within_the_frame() {
        assert!(Curves::y(1.0) > Curves::y(10.0));
        assert_eq!((Curves::y(0.0), Curves::y(1e9)), (CURVES_HEIGHT, 0.0));
    }
}
