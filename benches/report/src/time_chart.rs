//! What was measured over time as SVG: a dot for each measurement, with phases as bands behind them.

use crate::chart::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis, head, legend, text, tick_step};
use std::fmt::Write;

/// A chart of dots over time.
#[derive(Clone, Debug)]
pub struct TimeChart {
    pub title: String,
    pub subtitle: String,
    /// At the axis.
    pub unit: &'static str,
    pub phases: Vec<Phase>,
    pub points: Vec<Points>,
}

/// A part of the time, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    pub label: String,
    pub from: f64,
    pub to: f64,
}

/// Dots of one kind.
#[derive(Clone, Debug)]
pub struct Points {
    pub label: String,
    pub colour: &'static str,
    /// Seconds, and what was measured then.
    pub values: Vec<(f64, f64)>,
}

impl TimeChart {
    pub fn svg(&self) -> String {
        let values = || self.points.iter().flat_map(|points| &points.values);
        let highest = values().map(|(_, value)| *value).fold(0.0, f64::max);
        let ends = self.phases.iter().map(|phase| phase.to);
        let last = ends.chain(values().map(|(at, _)| *at)).fold(0.0, f64::max).max(0.001);
        let step = tick_step(highest);
        let top = (highest / step).ceil().max(1.0) * step;
        let x = |at: f64| LEFT + at / last * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);

        let mut out = head(&self.title, &self.subtitle);
        let labels: Vec<(&str, &str)> = self.points.iter().map(|p| (p.label.as_str(), p.colour)).collect();
        legend(&mut out, &labels);
        for (index, phase) in self.phases.iter().enumerate() {
            let (from, width) = (x(phase.from), x(phase.to) - x(phase.from));
            let (height, fill) = (HEIGHT - BOTTOM - TOP, if index % 2 == 0 { "#fff" } else { "#eef3f8" });
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"/>"
            );
            // Of a short phase one above the other.
            let line = TOP - 2.0 - 13.0 * (index % 2) as f64;
            text(&mut out, from, line, "start", "fill=\"#666\" font-size=\"11\"", &phase.label);
        }
        axis(&mut out, self.unit, step, top, &y);
        let seconds = tick_step(last);
        for tick in 0..=(last / seconds) as u32 {
            let at = f64::from(tick) * seconds;
            text(&mut out, x(at), HEIGHT - BOTTOM + 20.0, "middle", "fill=\"#666\"", &format!("{at} s"));
        }
        for points in &self.points {
            for (at, value) in &points.values {
                let (cx, cy, fill) = (x(*at), y(*value), points.colour);
                let _ = writeln!(
                    out,
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.5\" fill=\"{fill}\" fill-opacity=\"0.6\"/>"
                );
            }
        }
        out += "</svg>\n";
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::colours;

    #[test]
    fn dots_are_in_their_phases() {
        let phase = |label: &str, from, to| Phase { label: label.into(), from, to };
        let chart = TimeChart {
            title: "A".into(),
            subtitle: String::new(),
            unit: "ms",
            phases: vec![phase("before", 0.0, 5.0), phase("after <", 5.0, 10.0)],
            points: vec![Points { label: "x".into(), colour: colours::BLUE, values: vec![(0.0, 0.0), (10.0, 6.0)] }],
        };
        let svg = chart.svg();
        // The first is at the lower left, the second at the upper right: 6 is the last tick.
        assert!(svg.contains("cx=\"64.0\" cy=\"472.0\"") && svg.contains("cx=\"1264.0\" cy=\"96.0\""), "{svg}");
        assert!(svg.contains("x=\"664.0\" y=\"96\" width=\"600.0\"") && svg.contains("after &lt;"), "{svg}");
        // Without anything there is still a chart.
        assert!(TimeChart { phases: vec![], points: vec![], ..chart }.svg().ends_with("</svg>\n"));
    }
}
