//! Figures: each has a place (section, row, column) and a value for each round in which it was measured.

use serde::Serialize;

/// What a value is, and so how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Of something, each second.
    PerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Seconds.
    Seconds,
    /// Megabytes.
    Megabytes,
    /// Hundredths.
    Percent,
    /// A plain ratio.
    Ratio,
    /// How many.
    Count,
}

impl Unit {
    /// The value as it stands in a table.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond | Self::Count => thousands(value),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.1} µs"),
            Self::Seconds => format!("{value:.3} s"),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::Percent => format!("{value:.1} %"),
            Self::Ratio => format!("{value:.2}"),
        }
    }
}

/// `12,345`.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let grouped: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{}{}", if value < 0.0 && digits != "0" { "-" } else { "" }, grouped.join(","))
}

/// Median, smallest and largest of some values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "their names say it")]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of `values`; `None` when there are none. Of an even number the median is the mean of the two in the middle.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { median, min, max })
    }
}

/// Where a figure stands.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "their names say it")]
pub struct Place<'a> {
    pub section: &'a str,
    pub row: &'a str,
    pub column: &'a str,
}

/// A place, in one word.
#[must_use]
pub fn at<'a>(section: &'a str, row: &'a str, column: &'a str) -> Place<'a> {
    Place { section, row, column }
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "their names say it")]
pub struct Figure {
    pub section: String,
    pub row: String,
    pub column: String,
    pub unit: Unit,
    /// One for each round.
    pub values: Vec<f64>,
    /// Of these.
    #[serde(flatten)]
    pub spread: Spread,
}

/// All figures, in the order in which they were first measured.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds the value of another round.
    pub fn add(&mut self, place: Place<'_>, unit: Unit, value: f64) {
        let Place { section, row, column } = place;
        let is_it = |figure: &&mut Figure| figure.section == section && figure.row == row && figure.column == column;
        if let Some(figure) = self.0.iter_mut().find(is_it) {
            figure.values.push(value);
            figure.spread = Spread::of(&figure.values).unwrap_or(figure.spread);
            return;
        }
        let [section, row, column] = [section, row, column].map(str::to_owned);
        let spread = Spread { median: value, min: value, max: value };
        self.0.push(Figure { section, row, column, unit, values: vec![value], spread });
    }

    /// The figure at a place.
    #[must_use]
    pub fn get(&self, place: Place<'_>) -> Option<&Figure> {
        self.0
            .iter()
            .find(|figure| figure.section == place.section && figure.row == place.row && figure.column == place.column)
    }

    /// The medians' ratio of two places, and the spread of the ratios round by round: what was measured in one round was measured side by side.
    /// What was not measured in the same rounds is held against the median.
    #[must_use]
    pub fn ratio(&self, above: Place<'_>, below: Place<'_>) -> Option<Spread> {
        let (above, below) = (self.get(above)?, self.get(below)?);
        if below.spread.median <= 0.0 {
            return None;
        }
        let side_by_side = above.values.len() == below.values.len();
        let under = |round: usize| if side_by_side { below.values[round] } else { below.spread.median };
        let each = above.values.iter().enumerate().map(|(round, above)| (above, under(round)));
        let each = each.filter(|(_, below)| *below > 0.0).map(|(above, below)| above / below);
        let each = Spread::of(&each.collect::<Vec<_>>())?;
        let median = above.spread.median / below.spread.median;
        Some(Spread { median, min: each.min.min(median), max: each.max.max(median) })
    }

    /// Those of a section.
    pub fn section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.0.iter().filter(move |figure| figure.section == section)
    }

    /// The sections, in their order.
    #[must_use]
    pub fn sections(&self) -> Vec<&str> {
        distinct(self.0.iter().map(|figure| figure.section.as_str()))
    }
}

/// The texts, each once, in the order in which they come first.
pub fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once = Vec::new();
    for text in texts {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_the_median_and_the_ends() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn a_ratio_is_that_of_the_medians_and_spreads_over_the_rounds() {
        let (above, below) = (at("s", "a", "rate"), at("s", "b", "rate"));
        let mut figures = Figures::default();
        for (over, under) in [(50.0, 100.0), (60.0, 100.0), (90.0, 150.0)] {
            figures.add(above, Unit::PerSecond, over);
            figures.add(below, Unit::PerSecond, under);
        }
        assert_eq!(figures.ratio(above, below), Some(Spread { median: 0.6, min: 0.5, max: 0.6 }));
        assert_eq!(figures.ratio(above, at("s", "c", "rate")), None);
        figures.add(at("s", "once", "rate"), Unit::PerSecond, 25.0);
        let once = figures.ratio(at("s", "once", "rate"), below);
        assert_eq!(once, Some(Spread { median: 0.25, min: 0.25, max: 0.25 }));
        figures.add(at("s", "zero", "rate"), Unit::PerSecond, 0.0);
        assert_eq!(figures.ratio(above, at("s", "zero", "rate")), None);
        assert_eq!(figures.section("s").count(), 4);
    }

    #[test]
    fn values_are_shown_with_their_unit() {
        let shown = [
            (Unit::PerSecond, 1_234_567.4, "1,234,567"),
            (Unit::Count, 12.0, "12"),
            (Unit::Count, -0.2, "0"),
            (Unit::Milliseconds, 1.234, "1.23 ms"),
            (Unit::Ratio, 0.6, "0.60"),
            (Unit::Percent, 12.34, "12.3 %"),
            (Unit::Megabytes, 59.6, "60 MB"),
        ];
        for (unit, value, text) in shown {
            assert_eq!(unit.show(value), text);
        }
    }
}
