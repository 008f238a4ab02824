//! Plots, as SVG that can be read on a light page and on a dark one.

use std::fmt::Write as _;

use crate::report::count;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Around the plot: above, right, below, left.
const MARGIN: [f64; 4] = [44.0, 24.0, 52.0, 84.0];
/// Lines across the plot, at about so many values.
const TICKS: f64 = 5.0;
/// Told apart by those who see few colours, on either ground.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Values over a common axis.
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What lies on the axis across.
    pub across: String,
    /// What lies on the axis up, which begins at 0.
    pub up: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// One line.
pub struct Series {
    /// What it is of.
    pub name: String,
    /// Its points, across and up.
    pub points: Vec<(f64, f64)>,
}

/// Where values lie in the picture.
struct Scale {
    most: (f64, f64),
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        MARGIN[3] + value / self.most.0 * (WIDTH - MARGIN[1] - MARGIN[3])
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - MARGIN[2] - value / self.most.1 * (HEIGHT - MARGIN[0] - MARGIN[2])
    }
}

impl Plot {
    /// The picture.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max).max(1e-9);
        let (across, up) = (most(|point| point.0), step(most(|point| point.1)));
        let scale = Scale { most: (across, (most(|point| point.1) / up).ceil() * up) };
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>{}</title>\n<style>\
             text{{fill:#24292f}}.grid{{stroke:#8c959f;stroke-opacity:.35}}\
             @media (prefers-color-scheme:dark){{text{{fill:#d0d7de}}}}</style>\n",
            escaped(&self.title)
        );
        self.axes(&mut text, &scale, step(across), up);
        for (number, series) in self.series.iter().enumerate() {
            line(&mut text, &scale, number, series);
        }
        text + "</svg>\n"
    }

    fn axes(&self, text: &mut String, scale: &Scale, across: f64, up: f64) {
        let (left, bottom) = (MARGIN[3], HEIGHT - MARGIN[2]);
        // Writing to memory can't fail.
        for value in ticks(up, scale.most.1) {
            let y = scale.y(value);
            let _ = writeln!(
                text,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - MARGIN[1]
            );
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                y + 4.0,
                count(value)
            );
        }
        for value in ticks(across, scale.most.0) {
            let shown = if across < 1.0 { format!("{value:.1}") } else { count(value) };
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{shown}</text>",
                scale.x(value),
                bottom + 20.0
            );
        }
        let _ = writeln!(text, "<text x=\"{left}\" y=\"20\" font-weight=\"600\">{}</text>", escaped(&self.title));
        let middle = left + (WIDTH - left - MARGIN[1]) / 2.0;
        let _ = writeln!(
            text,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 12.0,
            escaped(&self.across)
        );
        let (x, y) = (18.0, MARGIN[0] + (bottom - MARGIN[0]) / 2.0);
        let _ = writeln!(
            text,
            "<text transform=\"translate({x},{y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(&self.up)
        );
    }
}

fn line(text: &mut String, scale: &Scale, number: usize, series: &Series) {
    let colour = COLOURS[number % COLOURS.len()];
    let points: Vec<String> =
        series.points.iter().map(|(x, y)| format!("{:.1},{:.1}", scale.x(*x), scale.y(*y))).collect();
    let _ = writeln!(
        text,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
        points.join(" ")
    );
    for point in &points {
        let (x, y) = point.split_once(',').unwrap_or_default();
        let _ = writeln!(text, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3.5\" fill=\"{colour}\"/>");
    }
    if let Some((x, y)) = series.points.last() {
        let name = escaped(&series.name);
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            scale.x(*x),
            scale.y(*y) - 10.0
        );
    }
}

/// A round number of which some make up the whole: 1, 2 or 5 with zeros.
fn step(most: f64) -> f64 {
    let rough = most / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough)
}

fn ticks(step: f64, most: f64) -> impl Iterator<Item = f64> {
    (0..=(most / step + 1e-9) as usize).map(move |number| number as f64 * step)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_and_reach_beyond_the_largest() {
        assert_eq!([step(20.0), step(73_211.0), step(0.5)], [5.0, 20_000.0, 0.1]);
        assert_eq!(ticks(5.0, 20.0).collect::<Vec<_>>(), [0.0, 5.0, 10.0, 15.0, 20.0]);
        let series = vec![Series { name: "a < b".into(), points: vec![(0.0, 70_000.0), (20.0, 69_000.0)] }];
        let plot = Plot { title: "t".into(), across: "x".into(), up: "y".into(), series };
        let svg = plot.svg();
        assert!(svg.contains(">80,000<") && svg.contains("a &lt; b") && svg.contains("prefers-color-scheme"), "{svg}");
    }
}
