//! Bars as SVG: a group for each thing that was measured, a bar in it for each way to do it.

use std::fmt::Write;

pub(crate) const WIDTH: f64 = 1280.0;
pub(crate) const HEIGHT: f64 = 520.0;
pub(crate) const LEFT: f64 = 64.0;
pub(crate) const RIGHT: f64 = 16.0;
pub(crate) const TOP: f64 = 96.0;
pub(crate) const BOTTOM: f64 = 48.0;
/// Part of a group's width that is left free between groups.
const GAP: f64 = 0.22;
/// About so many lines across the chart.
const TICKS: f64 = 6.0;

/// Okabe and Ito's colours, which those who do not see all colours can tell apart, and lighter ones of the same hues.
pub mod colours {
    pub const BLUE: &str = "#0072b2";
    pub const LIGHT_BLUE: &str = "#56b4e9";
    pub const ORANGE: &str = "#e69f00";
    pub const GREEN: &str = "#009e73";
    pub const LIGHT_GREEN: &str = "#8fd3bf";
    pub const RED: &str = "#d55e00";
    pub const PINK: &str = "#cc79a7";
}

/// A chart of bars.
#[derive(Clone, Debug)]
pub struct BarChart {
    pub title: String,
    pub subtitle: String,
    /// At the axis.
    pub unit: &'static str,
    /// Behind each value.
    pub unit_short: &'static str,
    pub series: Vec<Series>,
    pub groups: Vec<Group>,
}

/// What is compared.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the bars' tooltips.
    pub name: String,
    /// In the legend.
    pub label: String,
    pub colour: &'static str,
}

/// Bars side by side.
#[derive(Clone, Debug)]
pub struct Group {
    pub label: String,
    /// One for each series, in order.
    pub bars: Vec<Bar>,
}

/// One bar's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    Value(f64),
    /// A cross.
    Failed,
    /// Nothing: there is no such measurement.
    Absent,
}

impl BarChart {
    pub fn svg(&self) -> String {
        let values = self.groups.iter().flat_map(|group| &group.bars).filter_map(|bar| match bar {
            Bar::Value(value) => Some(*value),
            Bar::Failed | Bar::Absent => None,
        });
        let highest = values.fold(0.0, f64::max);
        let step = tick_step(highest);
        let top = (highest / step).ceil().max(1.0) * step;
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);

        let mut out = head(&self.title, &self.subtitle);
        self.legend(&mut out);
        axis(&mut out, self.unit, step, top, &y);
        self.bars(&mut out, &y);
        out += "</svg>\n";
        out
    }

    fn legend(&self, out: &mut String) {
        let labels: Vec<(&str, &str)> = self.series.iter().map(|s| (s.label.as_str(), s.colour)).collect();
        legend(out, &labels);
    }

    fn bars(&self, out: &mut String, y: &dyn Fn(f64) -> f64) {
        let room = (WIDTH - LEFT - RIGHT) / self.groups.len().max(1) as f64;
        let width = room * (1.0 - GAP) / self.series.len().max(1) as f64;
        for (index, group) in self.groups.iter().enumerate() {
            let start = LEFT + room * index as f64;
            text(out, start + room / 2.0, HEIGHT - BOTTOM + 20.0, "middle", "", &group.label);
            for (place, (series, bar)) in self.series.iter().zip(&group.bars).enumerate() {
                let x = start + room * GAP / 2.0 + width * place as f64;
                let (fill, name) = (series.colour, escaped(&format!("{}, {}", group.label, series.name)));
                match bar {
                    Bar::Value(value) => {
                        let (at, unit) = (y(*value), self.unit_short);
                        let height = HEIGHT - BOTTOM - at;
                        let _ = writeln!(
                            out,
                            "<rect x=\"{x:.1}\" y=\"{at:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                             fill=\"{fill}\"><title>{name}: {value:.3} {unit}</title></rect>"
                        );
                    }
                    Bar::Failed => {
                        let attributes = format!("fill=\"{fill}\" font-weight=\"bold\"");
                        text(out, x + width / 2.0, HEIGHT - BOTTOM - 4.0, "middle", &attributes, "×");
                    }
                    Bar::Absent => {}
                }
            }
        }
    }
}

/// Up to the legend.
pub(crate) fn head(title: &str, subtitle: &str) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    text(&mut out, LEFT, 24.0, "start", "font-size=\"18\" font-weight=\"bold\"", title);
    text(&mut out, LEFT, 44.0, "start", "fill=\"#666\"", subtitle);
    out
}

/// Labels with their colours.
pub(crate) fn legend(out: &mut String, labels: &[(&str, &str)]) {
    let room = (WIDTH - LEFT - RIGHT) / labels.len().max(1) as f64;
    for (index, (label, fill)) in labels.iter().enumerate() {
        let x = LEFT + room * index as f64;
        // Writing to a String cannot fail.
        let _ = writeln!(out, "<rect x=\"{x:.1}\" y=\"58\" width=\"12\" height=\"12\" fill=\"{fill}\"/>");
        text(out, x + 18.0, 69.0, "start", "", label);
    }
}

/// Lines across the chart, with their values.
pub(crate) fn axis(out: &mut String, unit: &str, step: f64, top: f64, y: &dyn Fn(f64) -> f64) {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    for tick in 0..=(top / step).round() as u32 {
        let value = f64::from(tick) * step;
        let (height, end) = (y(value), WIDTH - RIGHT);
        let stroke = if tick == 0 { "#222" } else { "#ddd" };
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{height:.1}\" x2=\"{end}\" y2=\"{height:.1}\" stroke=\"{stroke}\"/>"
        );
        text(out, LEFT - 8.0, height + 4.0, "end", "fill=\"#666\"", &format!("{value:.decimals$}"));
    }
    let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    let turned = format!("fill=\"#666\" transform=\"rotate(-90 16 {middle:.1})\"");
    text(out, 16.0, middle, "middle", &turned, unit);
}

pub(crate) fn text(out: &mut String, x: f64, y: f64, anchor: &str, attributes: &str, content: &str) {
    let content = escaped(content);
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {attributes}>{content}</text>");
}

pub(crate) fn escaped(content: &str) -> String {
    content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// 1, 2 or 5 times a power of ten, so that `highest` has about [`TICKS`] steps.
pub(crate) fn tick_step(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let rough = highest / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&step| step >= rough).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (highest, step) in [(0.0, 1.0), (0.5, 0.1), (0.7, 0.2), (30.0, 5.0), (6.0, 1.0), (0.013, 0.005)] {
            assert!((tick_step(highest) - step).abs() < 1e-12, "{highest}: {}", tick_step(highest));
        }
    }

    #[test]
    fn bars_that_are_absent_leave_a_gap() {
        let series = ["x", "y & z"].map(|name| Series { name: name.into(), label: name.into(), colour: colours::BLUE });
        let group = |bars: [Bar; 2]| Group { label: "g".into(), bars: bars.to_vec() };
        let chart = BarChart {
            title: "A <B>".into(),
            subtitle: String::new(),
            unit: "seconds",
            unit_short: "s",
            series: series.to_vec(),
            groups: vec![group([Bar::Value(1.0), Bar::Failed]), group([Bar::Absent, Bar::Value(2.0)])],
        };
        let svg = chart.svg();
        // Two bars, the background, two of the legend; a cross for what failed.
        assert_eq!(svg.matches("<rect").count(), 5, "{svg}");
        assert_eq!(svg.matches('×').count(), 1, "{svg}");
        assert!(svg.contains("A &lt;B&gt;") && svg.contains("<title>g, y &amp; z: 2.000 s</title>"), "{svg}");
    }
}
